// Command bench measures a holdfast server against the limits of the machine it
// runs on.
//
// It builds the server, starts it on a fresh data dir, and lets it take turns,
// round by round, with servers that do nothing but what cannot be avoided: a bare
// net/http server that sends the same ready-made bytes, one that parks requests
// on a channel, and one that appends to a file and shares fdatasync. For each
// cell it prints throughput, latency, the CPU time of the server process per
// operation, the ratio of all that to the limit, and whether the bar is reached.
//
//	go run ./internal/bench              # everything; some ten minutes
//	go run ./internal/bench -quick       # does it work? The figures mean little
//	go run ./internal/bench -cell put    # the cells whose name matches
//	go run ./internal/bench -list        # their names
//
// "make bench" is the first of these; flags go into ARGS, as in
// make bench ARGS='-cell put -check'.
//
// The cells whose name begins with trio- are about three servers on this machine. There
// the column of the limit is a single server, or, of a follower, the leader.
//
// Ratios taken in one run can be compared; figures of different runs or machines
// cannot. BENCH_PEER=http://address adds any server that speaks the same API as
// a further column, BENCH_PEER_PID=pid also its CPU and memory. Point it at a
// server that is there to be thrown away: several hundred thousand keys are
// written to it, below the prefix bench/, and deleted afterwards.
//
// Exit status: 0 done · 1 a bar was missed, with -check · 2 something broke, or a
// flag is wrong · 130 interrupted.
//
// The program needs Linux: it reads /proc and drives sockets by epoll.
package main
