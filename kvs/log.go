package kvs

import (
	"sort"

	"github.com/hashicorp/go-memdb"
)

// chunkVersions is how many versions a chunk of the change log holds before the
// next one is begun. A command is never split over two, so a chunk may be longer.
const chunkVersions = 256

// chunk is a run of the change log: versions in the order of (index, key).
type chunk struct {
	first    uint64 // index of versions[0]
	versions []*Version
}

// appendLog puts the changes of a batch, which are in order, at the end of the
// log. The last chunk's backing array is shared with its successor: readers of
// the old one never look beyond its length, and there is one writer.
func appendLog(txn *memdb.Txn, changes []*Version) {
	if len(changes) == 0 {
		return
	}
	var open *chunk
	if raw, err := txn.Last(tableLog, "id"); err != nil {
		must(err)
	} else if raw != nil {
		open = raw.(*chunk)
	}
	for len(changes) > 0 {
		if open == nil || len(open.versions) >= chunkVersions {
			open = &chunk{first: changes[0].ModifyIndex}
		}
		n := 0
		for n < len(changes) && len(open.versions)+n < chunkVersions {
			n = endOfIndex(changes, n)
		}
		open = &chunk{first: open.first, versions: append(open.versions, changes[:n]...)}
		must(txn.Insert(tableLog, open))
		changes = changes[n:]
	}
}

// endOfIndex returns the position after the run of changes that have the same
// index as changes[i].
func endOfIndex(changes []*Version, i int) int {
	index := changes[i].ModifyIndex
	for i < len(changes) && changes[i].ModifyIndex == index {
		i++
	}
	return i
}

// dropLogThrough removes every change up to and with index.
func dropLogThrough(txn *memdb.Txn, index uint64) {
	it, err := txn.Get(tableLog, "id")
	must(err)
	var whole []*chunk
	var cut *chunk
	for raw := it.Next(); raw != nil; raw = it.Next() {
		c := raw.(*chunk)
		if c.first > index {
			break
		}
		n := sort.Search(len(c.versions), func(i int) bool { return c.versions[i].ModifyIndex > index })
		whole = append(whole, c)
		if n < len(c.versions) {
			cut = &chunk{first: c.versions[n].ModifyIndex, versions: append([]*Version(nil), c.versions[n:]...)}
			break
		}
	}
	for _, c := range whole {
		must(txn.Delete(tableLog, c))
	}
	if cut != nil {
		must(txn.Insert(tableLog, cut))
	}
}

// removeFromLog takes single versions out of the log; gone is in the order of
// (index, key).
func removeFromLog(txn *memdb.Txn, gone []*Version) {
	for len(gone) > 0 {
		raw, err := chunkAt(txn, gone[0].ModifyIndex)
		must(err)
		if raw == nil {
			gone = gone[1:]
			continue
		}
		c := raw
		dead := map[*Version]bool{}
		n := 0
		for n < len(gone) && gone[n].ModifyIndex <= c.versions[len(c.versions)-1].ModifyIndex {
			dead[gone[n]] = true
			n++
		}
		if n == 0 { // not in the log (any more)
			gone = gone[1:]
			continue
		}
		gone = gone[n:]
		kept := make([]*Version, 0, len(c.versions))
		for _, v := range c.versions {
			if !dead[v] {
				kept = append(kept, v)
			}
		}
		must(txn.Delete(tableLog, c))
		if len(kept) > 0 {
			must(txn.Insert(tableLog, &chunk{first: kept[0].ModifyIndex, versions: kept}))
		}
	}
}

// chunkAt returns the chunk that holds index or, if none does, the one before
// it; nil when index lies before the whole log.
func chunkAt(txn *memdb.Txn, index uint64) (*chunk, error) {
	it, err := txn.ReverseLowerBound(tableLog, "id", index)
	if err != nil {
		return nil, err
	}
	raw := it.Next()
	if raw == nil {
		return nil, nil
	}
	return raw.(*chunk), nil
}

// Changes calls visit for every change with an index above after, in the order
// of (index, key), until visit returns false. The caller must know that after is
// not below Meta().PrunedThrough; older changes are gone.
func (v View) Changes(after uint64, visit func(*Version) bool) {
	from := uint64(0)
	if c, err := chunkAt(v.txn, after); err != nil {
		must(err)
	} else if c != nil {
		from = c.first
	}
	it, err := v.txn.LowerBound(tableLog, "id", from)
	must(err)
	for raw := it.Next(); raw != nil; raw = it.Next() {
		c := raw.(*chunk)
		i := sort.Search(len(c.versions), func(i int) bool { return c.versions[i].ModifyIndex > after })
		for ; i < len(c.versions); i++ {
			if !visit(c.versions[i]) {
				return
			}
		}
	}
}

// recentChanges calls visit for changes from the newest back to, and without,
// the given index, until visit returns false.
func (v View) recentChanges(downTo uint64, visit func(*Version) bool) {
	it, err := v.txn.GetReverse(tableLog, "id")
	must(err)
	for raw := it.Next(); raw != nil; raw = it.Next() {
		c := raw.(*chunk)
		for i := len(c.versions) - 1; i >= 0; i-- {
			if c.versions[i].ModifyIndex <= downTo || !visit(c.versions[i]) {
				return
			}
		}
	}
}

// IndexAt returns the index of the last change made at or before the given time
// (Unix nanoseconds): the state at that index is the state at that time. It
// returns a *PrunedError when the state of that time is no longer kept.
func (v View) IndexAt(time int64) (uint64, error) {
	it, err := v.txn.GetReverse(tableLog, "id")
	must(err)
	meta := v.Meta()
	for raw := it.Next(); raw != nil; raw = it.Next() {
		c := raw.(*chunk)
		if c.versions[0].Time > time {
			continue
		}
		n := sort.Search(len(c.versions), func(i int) bool { return c.versions[i].Time > time })
		return c.versions[n-1].ModifyIndex, nil
	}
	if meta.PrunedThrough > 0 && time < meta.PrunedTime {
		return 0, &PrunedError{Oldest: meta.PrunedThrough}
	}
	return meta.PrunedThrough, nil // 0 when nothing was pruned: before the first change
}
