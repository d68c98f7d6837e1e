// Command bench measures a holdfast server against the limits of the machine it
// runs on.
//
// It builds the server, starts it on a fresh data dir, and lets it take turns
// with servers that do nothing but what cannot be avoided: a bare
// net/http server that sends the same ready-made bytes, one that parks requests
// on a channel, one that appends to a file and shares fdatasync; and, as the floor of
// parked requests, a loop that parks them without goroutines. For each
// cell it prints throughput, latency, the CPU time of the server process per
// operation, the ratio of all that to the limit, and whether the bar is reached.
//
//	go run ./internal/bench              # everything; some twenty minutes
//	go run ./internal/bench -quick       # does it work? The figures mean little
//	go run ./internal/bench -cell put    # the cells whose name matches
//	go run ./internal/bench -list        # their names
//
// "make bench" is the first of these; flags go into ARGS, as in
// make bench ARGS='-cell put -check'. "make bench-check" compares a shorter run with
// the ratios in ratios.json, beside this file, and "make bench-record" writes them and
// the results in website/reference/performance.md, which says what each cell does.
//
// The cells whose name begins with trio- are about three servers on this machine. There
// the column of the limit is a single server, or, of a follower, the leader; but of those
// that begin with trio-cost- it is the bare limit.
//
// Ratios taken in one run can be compared; figures of different runs or machines
// cannot. BENCH_PEER=http://address adds any server that speaks the same API as
// a further column, BENCH_PEER_PID=pid also its CPU and memory. Point it at a
// server that is there to be thrown away: several hundred thousand keys are
// written to it, below the prefix bench/, and deleted afterwards.
//
// Where a peer is measured, the bars that are relative to a Consul server are judged too.
//
// Exit status: 0 done · 1 a bar was missed or could not be judged, with -check, or something
// is behind -baseline · 2 something broke, or a flag is wrong · 130 interrupted.
//
// The program needs Linux: it reads /proc and drives sockets by epoll.
package main
