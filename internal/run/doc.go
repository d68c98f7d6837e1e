// Package run starts long-lived goroutines under a name and waits for them.
//
// It owns the rule "one parent": whoever creates a Group is the parent of all
// that runs in it, ends them through one context and does not return from Close
// before the last of them has returned.
//
// It does not restart anything, limit how many run at once, or handle work that
// belongs to one request (net/http owns that goroutine).
//
// The way through it: New, then Go for each goroutine, then Close. A goroutine
// that fails or panics ends the whole group, and Wait and Close say which one it
// was: a server that lost one of its duties must stop rather than carry on
// without it.
//
// Invariants: no goroutine outlives Close; a panic never ends the process
// unnamed; the number of kept errors is bounded by the goroutines that were
// running when the first one failed, because none is started afterwards.
//
// Why not golang.org/x/sync/errgroup: it has no names, so neither a stuck Close
// nor a failure can say which goroutine it is about, and it repeats a panic in
// the caller of Wait, which here would lose the other goroutines' orderly end.
package run
