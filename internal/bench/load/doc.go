// Package load puts load on an HTTP/1.1 server from as few CPU cycles as can be,
// and times the answers.
//
// The way through it: a [Loop] owns a set of raw TCP sockets and one epoll set
// and runs on one thread. A [Plan] drives loops in a closed loop (each
// connection sends its next request when the last is answered) and gives a
// [Result]. [Watchers] parks one blocking query on each connection and times
// who is answered after a write.
//
// It does not know what is asked (requests are ready-made bytes) nor whom
// (an address). It does not judge figures.
//
// Invariants: a Loop is used by one goroutine at a time; a connection has at
// most one request outstanding; every answer is checked by its caller and the
// first one that is wrong ends the run, since the speed of wrong answers means
// nothing.
//
// Why not one goroutine a connection: waking it costs more than the socket
// calls. On two cores that would be taken from the server.
package load
