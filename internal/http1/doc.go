// Package http1 serves HTTP/1.1 on raw connections at less cost than net/http does: it
// reads the requests that nearly everybody sends, hands every other connection, with the
// bytes that were read of it, to net/http, and lets a request that has to wait do so
// without a goroutine and without buffers.
//
// It owns the connections that it serves, what is read and written on them, and how they end.
// It does not own what is unusual: HTTP/2, HTTP/1.0, chunked requests, Expect, Upgrade, heads
// beyond 4 KiB or with anything that could be understood in two ways. Those are net/http's, and so
// are their errors. A test compares all bytes that both send.
//
// The way through it: a Server accepts (server_linux.go); a goroutine of its crew (crew.go) reads a
// head (conn.go, head.go), calls the handler (turn.go), which answers (response.go), and goes
// on. What a connection needs meanwhile is a turn, which is reused. A handler that parks its
// request (ticket.go) leaves behind the connection, the head as one string, and what the handler
// keeps: some 900 bytes. The poller (poller.go) tells of a client that leaves. When the request
// is resumed, one of a few lanes (queue.go) calls the handler again, or sends what it has
// answered to another request of the same Share (share.go). From then on the poller tells of
// the connection's next request too, which a lane serves: so it has no goroutine of its own, unless
// something has to wait.
//
// Invariants:
//   - One goroutine at a time serves a connection: the one that took it from resting or waiting
//     to active, under its mutex.
//   - Of Resume and Gone one takes effect, once, also while the handler is still running.
//   - The poller and the lanes never wait for a client. A lane that would have to is left first.
//   - Somebody looks for events: the poller, or a lane; and the poller again at the latest when no
//     lane has looked for some milliseconds.
//   - What arrives while a request waits stays in the socket, or with the connection.
//   - A request, its headers and its ResponseWriter are reused once the handler has returned, all
//     but its strings. A context that somebody has asked for is not.
//
// Lock order: Server.mu, conn.mu, then poller.mu or queue.mu; the last two are leaves, and so are
// crew.mu, Share.mu, deadlines.mu and requestContext.mu. Gone and Shared are called without any.
//
// Why not one epoll loop that reads and writes everything: a handler may wait for the disk or for
// other servers, and a goroutine that blocks in Read costs less for each request while the
// connection is busy: it is one call of the system less. Why not keep net/http and park above it:
// its goroutine, its buffers and its second goroutine, which listens for the client's leaving, are
// what a parked request costs. Not there: trailers of answers, Hijack, and telling a client that has
// only ended its sending side from one that has left.
package http1
