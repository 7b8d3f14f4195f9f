//go:build race

package tempo

// RaceEnabled says that the race detector is at work: it makes everything ten times
// slower or more, and finds in a fifth of the random queries what it finds in all.
const RaceEnabled = true
