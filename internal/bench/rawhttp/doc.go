// Package rawhttp is the client side of HTTP/1.1 cut down to what a load
// generator needs: requests rendered once into bytes, and a parser of answers
// that is fed whatever a socket gave and costs a few hundred nanoseconds.
//
// It owns the rendering of requests ([Request]), the incremental [Parser], and
// a blocking one-connection [Client] for setting a benchmark up. It does not
// own sockets under load (package load does) and knows no redirects, no TLS,
// no compression and no answer that ends with its connection.
//
// Invariants: a Parser never reads past the answer it is parsing, so pipelined
// bytes stay with the caller; heads, chunk lines and kept bodies are bounded.
//
// Why not net/http: its client spends more CPU on a request than the server
// under test does on answering it. On a machine with two cores the generator
// would then be what is measured.
package rawhttp
