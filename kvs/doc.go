// Package kvs holds the key/value state: what a key is now, what it was, and
// who waits for it to change.
//
// It owns the go-memdb tables of that state, the rules of every write verb, the
// ordered change log, reading back as of an earlier index, retention, and the
// watch hub. It does not know Raft, HTTP, sessions or clocks: the index, the
// time and the origin of a change are arguments.
//
// # The way through it
//
// A write: [Begin] opens a [Tx] over a snapshot; for every command
// [Tx.Command] sets index, time and origin, the verbs ([Tx.Set], [Tx.CAS],
// [Tx.Delete], ...) stage their effects, [Tx.Accept] keeps them and
// [Tx.Reject] takes them back; [Tx.Flush] puts what many commands have staged
// into one memdb write transaction. After that is committed, [Hub.Notify] is
// told the changed keys.
//
// A read: [NewView] over a memdb read transaction, then [View.Get], [View.List],
// [View.GetAt], [View.History].
//
// A wait: [Hub.WatchKey] or [Hub.WatchPrefix] gives a channel, [Hub.JoinKey] or
// [Hub.JoinPrefix] a place in a [Crowd], which is handed over as a whole.
//
// # The state
//
// There is one row ([Item]) for each key that exists or is remembered. It holds
// the current [Version], which for a deleted key is the record of its deletion
// (the tombstone), and the older versions. The change log is the same Version
// values in the order of their index. So a value is stored once, however many
// tables speak of it.
//
// # Invariants
//
//   - An Item, a Version and a chunk of the log are never changed once they are
//     in the database; a change inserts a new one. A node of the tree of items is
//     changed in place only by the Tx that made it, before Flush.
//   - All versions with an index above [Meta.PrunedThrough] are in the log, in
//     the order of index and key. What a key was at any index from PrunedThrough
//     on can be told, unless versions of that key were trimmed by count; then
//     [Item.Floor] says from where.
//   - One command makes at most one version of a key.
//
// # Why not
//
// Items are not rows of a memdb table: all of them are one row, a B+ tree of our
// own (tree.go). A radix tree of memdb takes nine allocations a key, of which two are
// watch channels that nobody waits on, where this one takes a slot in a node. And
// reading from a memdb write transaction clones it, after which the next insert
// copies the path again; an edit of this tree is read and changed at once, so a Tx
// needs no second place for what it has changed. What changes seldom (what keys are
// tied to) is staged on top of a snapshot by package staging.
//
// Change notification does not use memdb's watch channels: a waiter on a missing
// key or an empty prefix would hang on a neighbour's tree node and be woken by
// it, and every insert would pay for channels although nobody waits.
package kvs
