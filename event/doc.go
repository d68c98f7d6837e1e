// Package event holds the user events: short messages that clients fire and list.
//
// It owns their table, a ring of the newest [Kept]. Who may see an event is decided
// when it is listed, by the filters it was fired with: [Event.For]. It knows nothing
// of Raft, HTTP or clocks.
//
// # Invariants
//
//   - Events are in the order of the log; the index of its entry is an event's
//     logical time.
//   - There are never more than [Kept].
//
// # Why not
//
// Events could go by gossip, which needs no leader; then every server would have
// others, in another order, and none after a restart.
package event
