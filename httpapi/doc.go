// Package httpapi is the HTTP API: routes, parameters, blocking queries, encoding
// and status codes. What the wire looks like is fixed by the contract that
// existing clients rely on; the comments name the rule they follow.
//
// It sees the rest of the server through the small interfaces in node.go, which
// package agent implements.
//
// # The way through it
//
// [Server.ServeHTTP] examines a request in the order the contract gives: path,
// route, query string, method, then what the endpoint checks itself. The routes
// are one table (routes.go). A handler takes a [call], answers it, and returns an
// error if it cannot; errors.go is the only place that knows status codes.
//
// A read of keys is a value, the question (question.go). blocking.go answers it:
// at once, or after it has waited in the watch hub of package kvs. Nothing of the
// state is held while a question waits. Where the connection allows it a question
// waits without a goroutine (parked.go), until waker.go has its handler run again.
//
// # Invariants
//
//   - Nothing that a client sends reaches a handler unbounded: headers, body,
//     operations, parked queries and connections have limits (package limit and
//     the configuration) and each has its status code.
//   - No request leaves a goroutine behind.
//
// # Why not
//
// Requests for keys do not go through the router and no middleware wraps the
// ResponseWriter: at 50,000 requests a second each layer is measurable, and the
// order in which the contract wants a request examined does not fit a chain.
package httpapi
