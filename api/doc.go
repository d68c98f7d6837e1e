// Package api is the Go client of a Holdfast server, and of any server that
// speaks the same HTTP API as Consul's key/value store.
//
// It owns the wire: how a key becomes a path, which headers and parameters a
// call sends, what an answer means, and the rules a long poll must follow. It
// does not own policy: it never retries a write, keeps no cache and starts no
// goroutine. It imports the standard library and nothing else, so that a
// program which wants one key does not inherit a server.
//
// # The way through it
//
//	client, err := api.New()                      // CONSUL_HTTP_* and HOLDFAST_* are read
//	entry, _, err := client.KV().Get(ctx, "app/motd")
//	if errors.Is(err, api.ErrNotFound) { … }
//	res, err := client.KV().CAS(ctx, "app/motd", value, entry.ModifyIndex)
//	if err == nil && !res.Applied { … }           // somebody else was faster
//	for ev, err := range client.WatchPrefix("app/").Events(ctx) { … }
//
// [New] takes functional options and reads the environment; [Client.KV],
// [Client.Txn], [Client.WatchKey], [Client.WatchPrefix], [Client.Status],
// [Client.Agent], [Client.Operator] and [Client.Snapshot] lead to the calls.
// Every call takes a context, and the context is the only timeout there is.
//
// # Invariants
//
//   - A Client and everything it hands out is safe for concurrent use, except
//     a [Watch], which belongs to one goroutine.
//   - Any key that is valid UTF-8 round-trips: paths are escaped byte by byte,
//     and a key that no path can carry (one with a control character) goes
//     through a transaction where a transaction can do the same thing.
//   - A refused check-and-set is a result, not an error. A missing key is
//     [ErrNotFound]; an empty list is an empty list.
//   - Every answer is bounded (see [WithMaxAnswerBytes]).
//   - A token is sent in a header, never in a URL, and never to another host
//     than the one the client was made for, whatever a redirect says.
//
// # Why not
//
// Not channels for watches: a pull ([Watch.Next]) needs no goroutine whose
// owner could forget it, and a slow consumer merges changes instead of
// queueing them. Not one error for "not applied" and "failed": a caller that
// loses a race must decide something, a caller whose connection broke does not
// know what happened, and mixing the two loses writes.
package api
