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
//     in the database; a change inserts a new one.
//   - All versions with an index above [Meta.PrunedThrough] are in the log, in
//     the order of index and key. What a key was at any index from PrunedThrough
//     on can be told, unless versions of that key were trimmed by count; then
//     [Item.Floor] says from where.
//   - One command makes at most one version of a key.
//
// # Why not
//
// Verbs do not work directly on a memdb write transaction: reading from one
// clones it, and the next insert then copies the path of tree nodes again. With
// staging, a batch of commands reads from an unchanging snapshot and each key is
// inserted once. The price is that prefix reads inside a transaction merge the
// snapshot with what is staged.
//
// Change notification does not use memdb's watch channels: a waiter on a missing
// key or an empty prefix would hang on a neighbour's tree node and be woken by
// it, and every insert would pay for channels although nobody waits.
package kvs
