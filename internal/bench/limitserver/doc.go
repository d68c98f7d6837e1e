// Package limitserver holds the servers that mark how fast this machine and
// Go's net/http can be when there is no store behind them. The benchmark
// divides every figure by theirs.
//
//   - Ready answers every request with the same ready-made bytes.
//   - Park answers a GET with the index it asks to wait above when there has been a
//     change, which is what a PUT makes. Each waits on a channel, with its goroutine.
//   - Append writes every request body to the end of a file, shares one
//     fdatasync among all who wait, then answers with the ready-made bytes. It
//     answers a GET at once.
//   - Floor does what Park does without net/http: one thread, epoll, and a list of
//     those who wait.
//
// It owns these handlers, the [Answer] they send, and the [Command]
// protocol by which the benchmark steers a limit that runs as a process of its
// own: JSON lines on standard input, one JSON line back for each.
//
// Invariants: a handler does nothing beyond what its limit is for, no routing
// and no check; a limit process ends when its standard input does, so it cannot
// outlive the benchmark.
//
// Why net/http and not a faster loop: the question is what the store costs on
// top of the server library everybody uses, not what HTTP could cost. There is a floor
// for parked requests since most of what they cost is that library's.
package limitserver
