// Package datadir owns the folder a server keeps its state in: that it is ours
// alone, that it can be written, what is in it by which name, and how much room
// is left.
//
//	<data_dir>/           0700
//	  lock                held with flock by the one process that uses the folder; holds its pid
//	  layout              the version of this very layout
//	  node-id             who this server is, for ever
//	  initialised         exists once a Raft entry was stored here; holds the node id again
//	  raft/               everything of package logstore: log, term and vote, snapshots
//
// It does not own what is in raft/ (agent/logstore does) and starts no
// goroutine of its own (the agent runs [Space.Run]).
//
// The way through it: [Open], then [Dir.NodeID], then logstore.Open with
// [Dir.RaftDir] and [Dir.Initialised]; [Dir.Close] last.
//
// Invariants:
//
//   - Two processes never use the folder at once.
//   - A small file has either its old content or its new one, whatever is cut
//     when: it is written beside, flushed, renamed, and the folder flushed. So an
//     empty or half file was made by somebody else, and the error says so.
//   - layout is the first file written, so a folder that has raft/ but no layout
//     belongs to another program and is left alone.
//   - Every refusal is one sentence that says what is wrong and what to do.
//
// Why two witnesses of first use (the raft folder and the file initialised): the
// only thing that could tell an emptied server from a new one would else be what
// was emptied, and the server would begin afresh over the loss.
package datadir
