// Package backup keeps the snapshots of a cluster in a folder.
//
// It owns the names of the files, how one comes to be there, and which go. It does not
// own what is in them, nor when one is due: whoever takes one says how it is read from
// a server and how it is checked.
//
// The way through it: [Open] and [Folder.Sweep], then [Folder.Take] for each snapshot and
// [Folder.Prune] after it.
//
// # Invariants
//
//   - A file under its name is whole, on disk, and was read back and checked there. It
//     is written under another name first, and that one is gone if anything fails.
//   - The order of the names is the order in which the snapshots were taken, also when
//     the clock was put back in between.
//   - Nothing is removed before a newer one is there, and nothing that has not a name of
//     ours.
package backup
