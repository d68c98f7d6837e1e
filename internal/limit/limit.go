package limit

import "time"

const (
	// ValueBytes is the largest value of one key, in bytes as received.
	// Configuration: limits.kv_max_value_size.
	ValueBytes = 512 << 10

	// TxnBytes is the largest body of one transaction, in bytes of JSON as
	// received. The larger of this and the value limit counts, as clients
	// expect. Configuration: limits.txn_max_req_len.
	TxnBytes = 512 << 10

	// TxnOps is how many operations one transaction may hold.
	// Configuration: limits.txn_max_ops.
	TxnOps = 128

	// ReasonBytes is the longest reason kept with a change. A longer one is
	// refused, never cut: half a sentence in an audit trail misleads.
	ReasonBytes = 1024

	// HeaderBytes is the largest request header block, which also bounds the
	// length of a key in a path.
	HeaderBytes = 1 << 20

	// RecipeNameBytes is the longest name of a lock, an election, a group or a
	// member of one: it stands in a path, and in every key of theirs.
	RecipeNameBytes = 512

	// PlaceBytes is the largest value that stands with a place in a queue or a
	// member of a group: who lists them gets all of these.
	PlaceBytes = 4 << 10

	// QueuePlaces is how many may hold one lock or wait for it.
	QueuePlaces = 16 << 10

	// LockSlots is how many may hold one lock at the same time if they count.
	LockSlots = 4096

	// SnapshotBytes bounds the archive a restore reads.
	SnapshotBytes = 16 << 30
)

const (
	// DefaultQueryTime is how long a blocking query waits when it does not say.
	DefaultQueryTime = 5 * time.Minute

	// MaxQueryTime is the longest wait a blocking query may ask for.
	MaxQueryTime = 10 * time.Minute

	// PlaceGrace is how long a place in a queue is kept after its client was last
	// heard of: enough to ask again, also by way of another server.
	PlaceGrace = 15 * time.Second

	// HoldTime is how long a request is held while there is no leader or the
	// server has not caught up, before it is refused.
	HoldTime = 7 * time.Second
)

const (
	// BareTombstones is how many deleted keys without history are remembered
	// one by one; older ones beyond it are folded into a single floor, so that
	// create-and-delete loops cannot grow the state for ever. (Those that still have
	// history count against the budget of history.max_bytes.)
	BareTombstones = 32 << 10

	// PruneRecords is how many change records one prune command may touch, so
	// that pruning never holds up writes for more than some milliseconds.
	PruneRecords = 2048

	// HistoryAnswer is the most versions one history answer holds.
	HistoryAnswer = 10_000
)
