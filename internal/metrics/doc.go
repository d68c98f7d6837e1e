// Package metrics keeps what a server measures and shows it in two forms: the
// text that Prometheus reads, and the JSON of the last complete interval.
//
// It owns the [Registry], the form of names, the interval, and the measurements
// that the Raft library makes of itself ([Raft]). It does not own what the server
// measures: whoever counts something keeps an atomic, and a collector of package
// agent reads it when somebody asks. So a request costs no more for being
// counted than the atomic.
//
// The way through it: [New] with the collectors, [Registry.Run] for as long as
// the server lives, then [Registry.WriteText], [Registry.Interval] and
// [Registry.Next].
//
// # Names
//
// A metric is called holdfast_<part>_<what>_<unit>, with base units (seconds,
// bytes), and _total for what only grows. <part> is one word. In the JSON form
// the name has dots after the first two words: holdfast.store.keys. The metrics
// of the Go runtime (go_) and the process (process_) keep the names that every Go
// program has.
//
// Every series exists from the start, so that a rate over the first event is not
// lost; label values come from fixed lists (routes, classes of status codes,
// states), never from a key, a token or a client.
//
// # Why not
//
// The in-memory sink of the Raft library's metrics would give the JSON form for
// nothing, but makes a string, a map look-up and a lock out of every count, and
// answers 500 when a mean has no samples. Deltas of two scrapes cost nothing
// between them. The price: the least and the greatest sample of an interval are
// known only to the width of a histogram's bucket.
package metrics
