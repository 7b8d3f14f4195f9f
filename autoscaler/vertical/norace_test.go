//go:build !race

package vertical_test

// raceEnabled says that the race detector is at work.
const raceEnabled = false
