// Package session holds the sessions: records that tie keys to something that can
// die, such as a client that no longer renews, a health check, or a node.
//
// It owns the tables of sessions and of what they are bound to, and the rules of
// creating and ending one. What the end of a session does to keys is told by
// package kvs; package fsm does both in one command. Timers are the leader's
// (package agent); here times are arguments.
//
// # Invariants
//
//   - What the wire shows of a session never changes between its creation and its
//     end. A renewal writes nothing, unless the time of the session had been put
//     into the state ([Session.Due]).
//   - Each session has one binding for its node, and one for each check that it
//     names, so that the end of a node or a check finds its sessions without
//     looking at others.
package session
