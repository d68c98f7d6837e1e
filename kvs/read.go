package kvs

import (
	"fmt"
	"strings"

	"github.com/hashicorp/go-memdb"
)

// PrunedError says that what was asked for lies before what is still kept.
type PrunedError struct {
	Oldest uint64 // the lowest index that can still be read back
}

func (e *PrunedError) Error() string {
	return fmt.Sprintf("history before index %d is no longer kept", e.Oldest)
}

// View reads one unchanging state. What it returns is shared with the store:
// read it, never change it.
type View struct {
	txn  *memdb.Txn
	meta *Meta
	rows tree
}

// NewView returns the view of a memdb read transaction. Goroutines may share it.
func NewView(txn *memdb.Txn) View {
	v := View{txn: txn, meta: &Meta{}}
	raw, err := txn.First(tableMeta, "id")
	must(err)
	if raw != nil {
		v.meta = raw.(*Meta)
	}
	raw, err = txn.First(tableItems, "id")
	must(err)
	if raw != nil {
		v.rows = *raw.(*tree)
	}
	return v
}

// Meta returns the facts about the whole state.
func (v View) Meta() Meta { return *v.meta }

// Index is what X-Consul-Index must say for the whole store and for everything
// that has no trace of its own: the highest index of any write or deletion of a
// key, 1 when there never was one.
//
// Source: contract, KV, section 6.
func (v View) Index() uint64 { return max(v.meta.Index, 1) }

// Item returns the row of a key: of one that exists or is remembered as deleted;
// nil when there is none.
func (v View) Item(key string) *Item { return v.rows.get(key) }

// Get returns the current version of a key, nil when it does not exist, and the
// index of the key's own last change: for a missing one that of its deletion, or
// the floor below which deletions are forgotten (0 when none was).
func (v View) Get(key string) (cur *Version, changed uint64) {
	it := v.Item(key)
	if it == nil {
		return nil, v.meta.Floor
	}
	return existing(it.Cur), it.Cur.ModifyIndex
}

// Span is what a read of a prefix learns about the prefix beside its keys.
type Span struct {
	// Changed is the index of the last change under the prefix, deletions
	// included, as far as they are remembered.
	Changed uint64

	// Traced tells that some key exists under the prefix or is remembered as
	// deleted. Without a trace the prefix has no index of its own.
	Traced bool
}

// Index is what X-Consul-Index must say for the prefix: the index of its last
// change, or that of the whole store for the empty prefix and for one without a
// trace.
//
// Source: contract, KV, section 6.
func (s Span) Index(v View, prefix string) uint64 {
	if prefix == "" || !s.Traced {
		return v.Index()
	}
	return max(s.Changed, 1)
}

// List calls visit for every existing key that starts with prefix, in byte
// order. It always walks the whole prefix, whatever visit does with it.
func (v View) List(prefix string, visit func(*Version)) Span {
	var s Span
	v.items(prefix, func(it *Item) bool {
		s.Traced = true
		s.Changed = max(s.Changed, it.Cur.ModifyIndex)
		if it.Live() {
			visit(it.Cur)
		}
		return true
	})
	s.Changed = max(s.Changed, v.meta.Floor)
	return s
}

// ListAfter calls visit for existing keys that start with prefix and are greater
// than after, in byte order, until visit returns false.
func (v View) ListAfter(prefix, after string, visit func(*Version) bool) {
	v.itemsAfter(prefix, after, func(it *Item) bool { return !it.Live() || visit(it.Cur) })
}

// Span returns what List would, without visiting the keys.
func (v View) Span(prefix string) Span { return v.List(prefix, func(*Version) {}) }

// ChangedSince tells whether something under prefix changed after index. It looks
// at the recent end of the change log first, since a poll usually comes back with
// an index close to it, and at the whole prefix only when that is long.
func (v View) ChangedSince(prefix string, index uint64) bool {
	const recent = 1024
	meta := v.Meta()
	if meta.Index <= index {
		return false
	}
	if meta.Floor > index {
		return true
	}
	if prefix == "" {
		return true
	}
	if index >= meta.PrunedThrough {
		looked, changed := 0, false
		v.recentChanges(index, func(c *Version) bool {
			looked++
			changed = strings.HasPrefix(c.Key, prefix)
			return !changed && looked < recent
		})
		if changed || looked < recent {
			return changed
		}
	}
	return v.Span(prefix).Changed > index
}

func (v View) items(prefix string, visit func(*Item) bool) { v.rows.under(prefix, visit) }

func (v View) itemsAfter(prefix, after string, visit func(*Item) bool) {
	if after < prefix {
		v.items(prefix, visit)
		return
	}
	v.rows.ascend(after+"\x00", func(it *Item) bool { return strings.HasPrefix(it.Key, prefix) && visit(it) })
}

// GetAt returns what a key was at an earlier index, nil when it did not exist
// then. The error is a *PrunedError when that is no longer known.
func (v View) GetAt(key string, index uint64) (*Version, error) {
	meta := v.Meta()
	if index < meta.PrunedThrough {
		return nil, &PrunedError{Oldest: meta.PrunedThrough}
	}
	it := v.Item(key)
	if it == nil {
		return nil, nil
	}
	old, known := it.at(index)
	if !known {
		return nil, &PrunedError{Oldest: it.Floor}
	}
	return old, nil
}

// ListAt calls visit for every key that started with prefix and existed at an
// earlier index, in byte order, as it was then, until visit returns false. The
// error is a *PrunedError when the history of one of the keys does not reach
// back so far; visit may have been called before.
func (v View) ListAt(prefix, after string, index uint64, visit func(*Version) bool) error {
	meta := v.Meta()
	if index < meta.PrunedThrough {
		return &PrunedError{Oldest: meta.PrunedThrough}
	}
	var pruned error
	v.itemsAfter(prefix, after, func(it *Item) bool {
		old, known := it.at(index)
		if !known {
			pruned = &PrunedError{Oldest: it.Floor}
			return false
		}
		return old == nil || visit(old)
	})
	return pruned
}

// History returns the versions of a key that are kept, newest first, deletions
// included, at most limit; nil when there is no trace of the key.
func (v View) History(key string, limit int) []*Version {
	it := v.Item(key)
	if it == nil {
		return nil
	}
	all := make([]*Version, 0, min(limit, len(it.Older)+1))
	if limit > 0 {
		all = append(all, it.Cur)
	}
	for i := len(it.Older) - 1; i >= 0 && len(all) < limit; i-- {
		all = append(all, it.Older[i])
	}
	return all
}
