package kvs

import (
	"fmt"
	"time"
	"unique"
)

// Kind says how a version came to be.
type Kind uint8

// The kinds of change. The numbers are stored in snapshots: never reuse one.
const (
	KindSet    Kind = 1
	KindDelete Kind = 2
	KindExpire Kind = 3
	KindLock   Kind = 4
	KindUnlock Kind = 5
)

// String is the word that history answers use.
func (k Kind) String() string {
	switch k {
	case KindSet:
		return "set"
	case KindDelete:
		return "delete"
	case KindExpire:
		return "expire"
	case KindLock:
		return "lock"
	case KindUnlock:
		return "unlock"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Origin says who asked for a change and why. Empty fields are unknown.
type Origin struct {
	Accessor string // accessor id of the token; never the secret
	Address  string // address of the client, without the port
	Reason   string // what the client gave as reason
}

// Version is one state of one key, or the record of its deletion. It is shared
// by the current row, the history and the change log, and never changes.
type Version struct {
	Key   string
	Value []byte // nil or empty when the value is empty, and for a deletion

	// Session holds the lock; empty when the key is free.
	Session string

	Flags       uint64
	LockIndex   uint64 // how often the key was acquired in this incarnation
	CreateIndex uint64 // index of the write that created this incarnation
	ModifyIndex uint64 // index of this change
	Time        int64  // proposal time in Unix nanoseconds, never below an earlier version's
	By          unique.Handle[Origin]
	Kind        Kind
}

// Deleted tells whether v records the end of the key.
func (v *Version) Deleted() bool { return v.Kind == KindDelete || v.Kind == KindExpire }

// versionOverhead is about what a version costs beside its key and value: the struct and
// its slots in item and log.
const versionOverhead = 192

// size is what v counts in the budget of history and in the size of the store, in bytes: what
// it takes of the process's memory. That is half more than its bytes, for what allocations are rounded up to and the
// room of a third that the garbage collector is given (the benchmark's cell history-full).
func (v *Version) size() int64 { return int64(len(v.Value)+len(v.Key))*3/2 + versionOverhead }

// Item is the row of a key.
type Item struct {
	Key string
	Cur *Version // current state, or the tombstone; never nil

	// Older holds the superseded versions that are still kept, oldest first.
	Older []*Version

	// Floor is the lowest index from which on the history of the key is complete
	// where versions were trimmed by count; 0 when none were.
	Floor uint64

	// Extra is what few keys have; nil for none of it. It is not part of a version,
	// and a change of it alone is no change of the key.
	Extra *Extra
}

// Extra is what ties a key to something that ends, and what fences its lock.
type Extra struct {
	// Owner is the session with which the key ends; empty for none. Unlike the
	// holder of a lock it keeps nobody from writing.
	Owner string

	// TTL is how long the key lives after it was written or touched, and ExpireAt
	// when it ends by itself, in Unix nanoseconds; 0 for never.
	TTL      time.Duration
	ExpireAt int64

	// Fence is the index at which the lock was last acquired by a new holder; 0 when
	// it never was. It outlives the key as long as its tombstone is remembered.
	Fence uint64
}

// extra returns what the row has, the zero Extra when that is nothing.
func (it *Item) extra() Extra {
	if it == nil || it.Extra == nil {
		return Extra{}
	}
	return *it.Extra
}

// Packed returns e for a row: nil when there is nothing to keep.
func (e Extra) Packed() *Extra {
	if e == (Extra{}) {
		return nil
	}
	kept := e // of its own, so that only what is kept takes memory
	return &kept
}

// Live tells whether the key exists.
func (it *Item) Live() bool { return !it.Cur.Deleted() }

// at returns the version of the key at the given index, nil when it did not
// exist then, and whether that is still known.
func (it *Item) at(index uint64) (v *Version, known bool) {
	if it.Cur.ModifyIndex <= index {
		return existing(it.Cur), true
	}
	for i := len(it.Older) - 1; i >= 0; i-- {
		if it.Older[i].ModifyIndex <= index {
			return existing(it.Older[i]), true
		}
	}
	return nil, index >= it.Floor
}

func existing(v *Version) *Version {
	if v.Deleted() {
		return nil
	}
	return v
}

// Meta is the one row of facts about the whole key/value state.
type Meta struct {
	// Index is the highest index of an effective write or deletion of any key;
	// 0 when there never was one.
	Index uint64

	// PrunedThrough is the index up to which superseded versions were dropped.
	// The state at any index from here on can be read back.
	PrunedThrough uint64

	// PrunedTime is when the last change up to PrunedThrough was made, Unix
	// nanoseconds: the state then, and until the first change in the log, is that
	// at PrunedThrough.
	PrunedTime int64

	// Floor is the highest index of a deletion that is no longer remembered key
	// by key. A missing key without a tombstone may have been deleted then.
	Floor uint64

	Live         int   // keys that exist
	LiveBytes    int64 // their size, with overhead
	Tombstones   int   // deleted keys that are remembered
	Superseded   int   // older versions kept
	HistoryBytes int64 // size of both, tombstones and older versions, with overhead
}

// Valid tells whether k is a kind this version knows.
func (k Kind) Valid() bool { return k >= KindSet && k <= KindUnlock }
