//go:build !race

package vpa_test

// raceEnabled says that the race detector is at work.
const raceEnabled = false
