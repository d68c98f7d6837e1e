// Package target starts, watches and ends the processes that the benchmark
// measures: the holdfast server, and the limits, which are this same program
// started anew under a hidden command.
//
// It owns the life of those processes: free ports, folders, readiness, kill -9
// and restart, and that nothing is left behind. What is asked of them is decided
// elsewhere.
//
// Invariants: every process is a process of its own, so that its CPU time and
// memory can be read apart from the generator's; none outlives the benchmark,
// even if that is killed (the kernel then kills the servers, and a limit sees
// its standard input end).
//
// Why servers are killed and not asked to stop: their data is thrown away, and
// what a drain costs is not measured here.
package target
