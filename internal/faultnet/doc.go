// Package faultnet is a network between servers that a test can break.
//
// Every server has two addresses: one that it binds to, and one that it tells the
// others. At the second one listens this package, which forwards what arrives to the
// first: TCP streams and UDP datagrams, on the ports that the server uses. Servers
// dial with their bind address as the source, so that it is known not only to whom
// but also from whom something goes, and each direction between two servers is a
// link with a condition of its own: it can lose everything, refuse, or be slow.
//
// What it does not do: it knows no protocol, and it is not used between a client and
// a server.
//
// The way through it: New, Attach for each server, Set, Isolate and Heal while they
// run, Close. The links and their conditions are in net.go, streams in stream.go,
// datagrams in packet.go.
//
// How it differs from a cable that is cut:
//   - A connection is taken before it is known that the other side can be reached.
//     While the link is cut nothing that is sent on it arrives; and if the dialer
//     closes it before the link is whole again, nothing ever does.
//   - Of a stream one direction can be cut and the other not. A cable that loses
//     everything one way also loses the acknowledgements of the other way, so that
//     the stream comes to rest some tens of kilobytes later there.
//   - What a stream holds back arrives at once when the link is whole, without the
//     pause that a retransmission timer makes.
//
// Invariants: every goroutine ends before Close returns; what is held back is
// bounded; the order within a stream and within a link's datagrams is kept.
//
// Why not network namespaces and traffic control: they need rights that neither a
// container nor a laptop gives to a test.
package faultnet
