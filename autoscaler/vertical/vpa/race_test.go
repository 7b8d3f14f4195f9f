//go:build race

package vpa_test

// raceEnabled says that the race detector is at work: it makes everything ten times slower or more.
const raceEnabled = true
