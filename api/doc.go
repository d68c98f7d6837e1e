// Package api is the Go client of a Holdfast server, and of any server that
// speaks the same HTTP API as Consul's key/value store.
//
// It owns the wire: how a key becomes a path, which headers and parameters a
// call sends, what an answer means, the rules a long poll must follow, and the
// recipes that make locks of sessions and keys. It does not own policy: it never
// repeats a write that may have happened, and keeps no cache. It imports the
// standard library and nothing else, so that a program which wants one key does
// not inherit a server.
//
// # The way through it
//
//	client, err := api.New()                      // CONSUL_HTTP_* and HOLDFAST_* are read
//	entry, _, err := client.KV().Get(ctx, "app/motd")
//	if errors.Is(err, api.ErrNotFound) { … }
//	res, err := client.KV().CAS(ctx, "app/motd", value, entry.ModifyIndex)
//	if err == nil && !res.Applied { … }           // somebody else was faster
//	for ev, err := range client.WatchPrefix("app/").Events(ctx) { … }
//	hold, err := client.Lock("jobs/nightly/.lock").Acquire(ctx)
//	defer hold.Release(ctx)
//	err = work(hold.Context())                    // ends when the lock is lost
//
// [New] takes functional options and reads the environment; [Client.KV],
// [Client.Txn], [Client.WatchKey], [Client.WatchPrefix], [Client.Sessions],
// [Client.Events], [Client.Catalog], [Client.Status], [Client.Agent],
// [Client.Operator] and [Client.Snapshot] lead to the calls. Every call takes a
// context, and the context is the only timeout there is.
//
// [Client.Lock], [Client.Semaphore], [Client.Election] and [Client.EphemeralKey]
// are recipes: what they give out holds something with a session that they keep
// alive ([Lease]), and must be given back. [Client.ServerLock],
// [Client.ServerElection] and [Client.Group] are those of the server, one request
// each, with a session that the caller keeps alive.
//
// # How safe a lock is
//
// Sessions of the recipes are exact: the server may end one as soon as its TTL has
// passed since it took in the last renewal, and has ended it a second and a tenth
// of the TTL later. The client renews at a third of the TTL and counts from the
// moment it sent the last renewal that was acknowledged. Nine tenths of the TTL
// after that it says that the lock is lost: before the server may give it away, as
// long as its clock runs at most a tenth too slow. Holders of any age are told
// apart by fencing numbers ([Hold.Fence], [Fence]), which also cover a process
// that was stopped and does not know it. The lock-delay (15s) comes on top.
//
// # Invariants
//
//   - A Client and everything it hands out is safe for concurrent use, except
//     a [Watch], which belongs to one goroutine.
//   - Only a [Lease], a [Hold] and an [EphemeralKey] have goroutines, and each waits
//     for its own when it is closed or released.
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
