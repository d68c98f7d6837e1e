// Package limitserver holds the servers that mark how fast this machine and
// Go's net/http can be when there is no store behind them. The benchmark
// divides every figure by theirs.
//
//   - Ready answers every request with the same ready-made bytes.
//   - Park lets every GET wait on one channel; a PUT wakes them all, and each
//     answers with the ready-made bytes.
//   - Append writes every request body to the end of a file, shares one
//     fdatasync among all who wait, then answers with the ready-made bytes.
//
// It owns these three handlers, the [Answer] they send, and the [Command]
// protocol by which the benchmark steers a limit that runs as a process of its
// own: JSON lines on standard input, one JSON line back for each.
//
// Invariants: a handler does nothing beyond what its limit is for, no routing
// and no check; a limit process ends when its standard input does, so it cannot
// outlive the benchmark.
//
// Why net/http and not a faster loop: the question is what the store costs on
// top of the server library everybody uses, not what HTTP could cost.
package limitserver
