package kvs

import (
	"slices"
	"sort"
)

// Trim asks to keep only the newest versions of one key.
type Trim struct {
	Key  string
	Keep int // versions to keep, the current one included; at least 1
}

// Forget asks to drop a tombstone, if it still is the one of that index.
type Forget struct {
	Key   string
	Index uint64
}

// Prune drops old history. It is explicit about what goes, so that every server
// drops the same, and touches no more than it is told.
//
// Through drops what was superseded by a change at or before that index, so that
// the state at Through and every later index can still be read back. A Trim
// drops the oldest versions of a key. A Forget drops a tombstone that has no
// older versions and raises the floor. It must be the only thing in its command.
func (tx *Tx) Prune(through uint64, trims []Trim, forgets []Forget) {
	tx.metaChanged = true
	if through = min(through, tx.meta.Index); through > tx.meta.PrunedThrough {
		tx.pruneThrough(through)
	}
	for _, t := range trims {
		it := tx.item(t.Key)
		if it == nil || t.Keep < 1 || len(it.Older) < t.Keep {
			continue
		}
		tx.cutOlder(it, len(it.Older)-(t.Keep-1), true)
	}
	for _, f := range forgets {
		it := tx.item(f.Key)
		if it == nil || it.Live() || it.Cur.ModifyIndex != f.Index || len(it.Older) > 0 ||
			it.Cur.ModifyIndex > tx.meta.PrunedThrough {
			continue
		}
		tx.account(it.Cur, -1)
		tx.meta.Floor = max(tx.meta.Floor, f.Index)
		tx.stage(f.Key, nil)
	}
}

func (tx *Tx) pruneThrough(through uint64) {
	seen := map[string]bool{}
	visit := func(v *Version) bool {
		if v.ModifyIndex > through {
			return false
		}
		it := tx.item(v.Key)
		// What an earlier command of this batch has trimmed is not in the log for
		// another batch: it must not count here either.
		if it == nil || v.ModifyIndex < it.Floor {
			return true
		}
		tx.meta.PrunedTime = v.Time // they only grow
		if seen[v.Key] {
			return true
		}
		seen[v.Key] = true
		// The newest version at or before through stays: it is the state there.
		n := sort.Search(len(it.Older), func(i int) bool {
			next := it.Cur
			if i+1 < len(it.Older) {
				next = it.Older[i+1]
			}
			return next.ModifyIndex > through
		})
		// A deletion that nothing older leads up to says no more than its absence.
		if n < len(it.Older) && it.Older[n].Deleted() && it.Older[n].ModifyIndex <= through {
			n++
		}
		if n > 0 {
			tx.cutOlder(it, n, false)
		}
		return true
	}
	tx.base.Changes(tx.meta.PrunedThrough, visit)
	for _, v := range tx.changes { // of this batch, not yet in the log
		if v.ModifyIndex <= tx.meta.PrunedThrough {
			continue // an earlier command of this batch has: another batch would not find it either
		}
		if !visit(v) {
			break
		}
	}
	tx.meta.PrunedThrough = through
	tx.pruneTo = max(tx.pruneTo, through)
}

// cutOlder drops the n oldest versions of a row. By a trim they must be taken out
// of the log one by one, and the row remembers from where its history is whole.
func (tx *Tx) cutOlder(it *Item, n int, trim bool) {
	row := &Item{Key: it.Key, Cur: it.Cur, Older: append([]*Version(nil), it.Older[n:]...), Floor: it.Floor, Extra: it.Extra}
	for _, v := range it.Older[:n] {
		tx.superseded(v, -1)
		if trim {
			tx.trimmed = append(tx.trimmed, v)
		}
	}
	if trim {
		oldest := row.Cur
		if len(row.Older) > 0 {
			oldest = row.Older[0]
		}
		row.Floor = oldest.ModifyIndex
	}
	tx.stage(row.Key, row)
}

// Plan decides what to prune, from a snapshot, for one command of bounded size.
type Plan struct {
	Through uint64
	Trims   []Trim
	Forgets []Forget
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return p.Through == 0 && len(p.Trims) == 0 && len(p.Forgets) == 0 }

// Retention is how much history is kept.
type Retention struct {
	Before    int64 // Unix nanoseconds: what was superseded earlier may go
	Protected int64 // Unix nanoseconds: no tombstone of a later deletion goes
	Versions  int   // per key, the current one included
	MaxBytes  int64 // of all superseded versions and tombstones
	Tombs     int   // deleted keys remembered without history
	Records   int   // most records the plan may touch
}

// PlanPrune says what has to go so that the history meets r. trimFrom is the index
// from which on the change log has not been looked at for keys with too many
// versions; it returns the index to pass the next time. Call it again until the
// plan is empty.
func (v View) PlanPrune(r Retention, trimFrom uint64) (p Plan, trimNext uint64) {
	meta := v.Meta()
	p.Through = v.planThrough(r, meta)
	looked := 0
	trimNext = max(trimFrom, meta.PrunedThrough)
	seen := map[string]bool{}
	v.Changes(trimNext, func(c *Version) bool {
		if looked >= r.Records && c.ModifyIndex != trimNext {
			return false
		}
		looked++
		trimNext = c.ModifyIndex
		if seen[c.Key] {
			return true
		}
		seen[c.Key] = true
		if it := v.Item(c.Key); it != nil && len(it.Older) >= r.Versions {
			p.Trims = append(p.Trims, Trim{Key: c.Key, Keep: r.Versions})
		}
		return true
	})
	return p, trimNext
}

// planThrough walks the log from its oldest end as long as the budget of age or
// bytes is exceeded. The tombstone of a deleted key stays in any case.
func (v View) planThrough(r Retention, meta Meta) uint64 {
	over := meta.HistoryBytes - r.MaxBytes
	var through, reached uint64
	looked := 0
	v.Changes(meta.PrunedThrough, func(c *Version) bool {
		if c.ModifyIndex != reached { // only between two commands
			through = reached
			if looked >= r.Records || (c.Time > r.Before && over <= 0) {
				reached = 0
				return false
			}
		}
		looked++
		reached = c.ModifyIndex
		if it := v.Item(c.Key); it != nil {
			if old := it.supersededBy(c.ModifyIndex); old != nil {
				over -= old.size()
			}
			if it.Cur == c && c.Deleted() && c.Time <= r.Protected { // it can be forgotten then
				over -= c.size()
			}
		}
		return true
	})
	return max(through, reached)
}

// supersededBy returns the version that the one at index replaced, or nil.
func (it *Item) supersededBy(index uint64) *Version {
	n := len(it.Older)
	if it.Cur.ModifyIndex == index {
		if n == 0 {
			return nil
		}
		return it.Older[n-1]
	}
	i := sort.Search(n, func(i int) bool { return it.Older[i].ModifyIndex >= index })
	if i == 0 || i == n {
		return nil
	}
	return it.Older[i-1]
}

// PlanForgets picks the tombstones without history that have to go, since there are
// too many of them or they are what fills the budget of bytes: those with the lowest
// index, until half of the bound is left, so that the next deletion does not ask for
// it again. It looks at every key, and is for once in a while.
func (v View) PlanForgets(r Retention) []Forget {
	meta := v.Meta()
	if meta.Tombstones <= r.Tombs && meta.HistoryBytes <= r.MaxBytes {
		return nil
	}
	var bare []*Version
	v.items("", func(it *Item) bool {
		if !it.Live() && len(it.Older) == 0 && it.Cur.ModifyIndex <= meta.PrunedThrough && it.Cur.Time <= r.Protected {
			bare = append(bare, it.Cur)
		}
		return true
	})
	slices.SortFunc(bare, compareChanges)
	left, bytes := meta.Tombstones, meta.HistoryBytes
	if left <= r.Tombs {
		left = 0 // only the bytes are too many
	}
	var forgets []Forget
	for _, t := range bare {
		if left <= r.Tombs/2 && bytes <= r.MaxBytes {
			break
		}
		forgets = append(forgets, Forget{t.Key, t.ModifyIndex})
		left, bytes = left-1, bytes-t.size()
	}
	return forgets
}
