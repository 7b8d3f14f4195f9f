//go:build race

package columnar_test

// The race detector multiplies memory, so bounds on it say nothing.
const raceEnabled = true
