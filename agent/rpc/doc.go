// Package rpc is the server port: the one TCP port on which the servers of a cluster
// talk to each other. Raft's own streams and gRPC share it; the first bytes of a
// connection tell which it is, or ALPN where the connection is encrypted.
//
// The package moves bytes and requests. What a request does is decided by the server
// behind it, through the interface [Backend].
package rpc
