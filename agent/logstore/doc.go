// Package logstore keeps what Raft must not forget: the log, the term and vote,
// and the snapshots, in the folder raft/ of the data dir.
//
//	raft/
//	  wal/              the log, if its backend is "wal" (package waldir)
//	  raft.db           the log, if its backend is "boltdb"
//	  stable.db         term and vote
//	  acked             the last entry that was acknowledged, as far as known
//	  snapshots/        the newest two snapshots
//	  restore-*.tmp/    the state of an archive that is being restored
//
// It owns the judgement, at opening, whether these files together are what the
// server once acknowledged, the checksum in every entry, the cache of recent
// entries, and what happens when the disk fails a write. It does not own who may
// use the folder and whether it was used before (package datadir), nor when a
// server is bootstrapped (the agent, which asks [Store.State]). Its goroutines are
// those that flush a [Kept], which waits for them, and raft-wal's, which Close ends.
//
// The way through it: [Open], or [Memory] for a server without a disk; then
// raft.NewRaft with the Store itself, [Store.Stable] and [Store.Snapshots];
// [Store.Close] after raft has been shut down.
//
// Invariants:
//
//   - An entry is handed out as it was stored or not at all. Each carries a CRC-32C
//     in its Extensions, which nobody above sees.
//   - Open succeeds only if every entry behind the snapshot that the server will
//     start from is there and whole, up to the last one known to be acknowledged;
//     so raft, which panics when it can't read an entry, does not meet one.
//   - What a crash explains is mended (torn tail, unfinished snapshot, unfinished
//     first start). Anything else is one [CorruptError], and what was stored is as
//     it was.
//   - Entries are consecutive, whatever the backend.
//   - A write that failed leaves nothing behind that raft does not know of. Until
//     that has been made sure of, further writes fail.
//   - Nothing is ever begun anew where something was before: see [State.Fresh].
//
// Locks: Store.writing is held while the log is written and flushed, which is
// the point of it: the log has one writer. No reader waits for it. cache.mu and
// walLog.mu are below it and are never held over a write.
//
// Why entries are checked again although both backends have checksums of their
// own: raft-wal checks only the last batch at opening, bbolt only its two meta
// pages; a bit that flips in a value is handed out by either. Why the whole log
// is read at opening: raft does so itself, twice, and panics where we can say
// what is wrong. Why not raft.LogCache: it is bounded by count only, so that
// entries of half a MiB could fill the memory.
package logstore
