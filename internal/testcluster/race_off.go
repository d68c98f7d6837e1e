//go:build !race

package testcluster

// raceEnabled says whether the test itself was built with the race detector.
const raceEnabled = false
