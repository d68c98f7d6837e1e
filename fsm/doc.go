// Package fsm is the replicated state machine: the commands, what they do to the
// state, snapshots of it, and the [Store] that every read goes through.
//
// # The way through it
//
// [Encode] turns a [Command] into the bytes of a log entry, on the server that
// proposes it. On every server Raft hands committed entries to
// [FSM.ApplyBatch], which applies all of a batch in one memdb write transaction,
// publishes it, and only then tells the watch hub which keys have changed. Reads
// take a [Store.View], which costs one atomic load and never blocks.
//
// # Invariants
//
//   - The state after an entry depends on the entries up to it and on nothing
//     else: not on how they were batched, not on a clock, not on map order. The
//     time of a change comes with the command and never goes backwards.
//   - A command that fails changes nothing.
//   - A command that this version does not know stops the server (unless the
//     command says that it may be skipped): to go on would be to diverge.
//   - A restore replaces the whole state or nothing of it.
//   - Two servers of the same log have the same rolling hash ([Store.Hash]): what a
//     command did is in it, and nothing that may differ between sound servers, such as
//     the words of a refusal.
//
// # Why not
//
// memdb's watch channels are not used: the store runs on a memdb that does not
// track them (a snapshot of an empty one, which is writable), since package kvs
// has a hub that wakes exactly. It saves a fifth of the cost of an insert and the
// full tree comparison that memdb falls back to for large transactions.
package fsm
