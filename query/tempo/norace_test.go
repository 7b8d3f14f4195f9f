//go:build !race

package tempo

// RaceEnabled says that the race detector is at work.
const RaceEnabled = false
