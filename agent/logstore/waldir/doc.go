// Package waldir owns what lies on disk under the write-ahead log: the folder
// raft/wal, its list of segments, and the judgement of what a crash or a fault
// has left there. The log itself, once open, is raft-wal's.
//
//	raft/wal/
//	  segments                             the list: which files make up the log, in order; one line of JSON with a checksum
//	  <first index>-<id>.wal               a segment; all but the last are sealed (end with an index)
//
// A segment, as raft-wal writes it, is a header of 32 bytes and frames, each
// aligned to 8 bytes: entries, at most one index at the end, and after each batch
// a commit frame with the CRC of the batch. The last segment is filled up with
// zeros, since its space is taken when it is made.
//
// The way through it: [Recover] looks at everything before raft-wal may open
// it, and either returns the list to open it with, having mended what a crash
// explains, or an error and an untouched folder. [FS] is the file system that
// raft-wal then works on.
//
// Why raft-wal is not left to recover by itself. It trusts the disk, and so, as
// read in v0.4.2 and shown by the tests here:
//
//   - without its list (wal-meta.db) it begins an empty log and deletes the segments;
//   - the last segment emptied, or one bit wrong in a frame's header, and it takes
//     everything behind for a torn write and drops it without a word;
//   - the last batch is dropped if one bit of it is wrong, acknowledged or not;
//   - a crash after a segment is full and before the list says so (or a torn write
//     of its index) leaves a log that refuses every write for ever;
//   - its list is kept in a database without checksums over the content.
//
// Invariants:
//
//   - Recover changes nothing unless it succeeds; then every entry it was asked
//     to verify is whole, and none that is known to have been acknowledged is
//     missing.
//   - Whole entries are kept, also those of a batch whose end is missing.
//   - The list names exactly the files that belong to the log, and it is replaced
//     as a whole.
package waldir
