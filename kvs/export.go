package kvs

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// Export calls visit for every row, of existing and of deleted keys, in byte
// order of the key, until it returns an error.
func (v View) Export(visit func(*Item) error) error {
	var err error
	v.items("", func(it *Item) bool {
		err = visit(it)
		return err == nil
	})
	return err
}

// ExportDelays calls visit for every lock-delay, in the order of keys, until it
// returns an error.
func (v View) ExportDelays(visit func(*Delay) error) error {
	var err error
	staging.Walk(v.txn, tableDelays, "", func(d *Delay) bool {
		err = visit(d)
		return err == nil
	})
	return err
}

// ExportCounters calls visit for every counter, in the order of directories, until
// it returns an error.
func (v View) ExportCounters(visit func(*Counter) error) error {
	var err error
	staging.Walk(v.txn, tableCounters, "", func(c *Counter) bool {
		err = visit(c)
		return err == nil
	})
	return err
}

// Import fills an empty database with rows, in byte order of the key, and the
// facts that cannot be told from them.
type Import struct {
	txn  *memdb.Txn
	rows treeEdit
	meta Meta
	log  []*Version
	last *Item
}

// NewImport begins to fill the database of txn; with nil the rows are only checked.
// Of meta only Index, PrunedThrough, PrunedTime and Floor count, the rest is found
// while rows are added.
func NewImport(txn *memdb.Txn, meta Meta) *Import {
	return &Import{txn: txn, rows: tree{}.edit(), meta: Meta{
		Index: meta.Index, PrunedThrough: meta.PrunedThrough, PrunedTime: meta.PrunedTime, Floor: meta.Floor,
	}}
}

// Add puts one row in. An error means that the rows are not a state that this
// package makes.
func (im *Import) Add(it *Item) error {
	if im.last != nil && im.last.Key >= it.Key {
		return fmt.Errorf("key %q comes after %q", it.Key, im.last.Key)
	}
	im.last = it
	var below uint64
	for _, v := range it.Older {
		if v.ModifyIndex <= below {
			return fmt.Errorf("versions of key %q are out of order", it.Key)
		}
		below = v.ModifyIndex
		im.meta.Superseded++
		im.meta.HistoryBytes += v.size()
		im.toLog(v)
	}
	if it.Cur.ModifyIndex <= below {
		return fmt.Errorf("versions of key %q are out of order", it.Key)
	}
	if it.Cur.ModifyIndex > im.meta.Index {
		return fmt.Errorf("key %q has index %d, above that of the store, %d", it.Key, it.Cur.ModifyIndex, im.meta.Index)
	}
	im.toLog(it.Cur)
	if it.Live() {
		im.meta.Live++
		im.meta.LiveBytes += it.Cur.size()
	} else {
		im.meta.Tombstones++
		im.meta.HistoryBytes += it.Cur.size()
	}
	if im.txn != nil {
		im.rows.push(it)
		for _, row := range heldBy(it) {
			must(im.txn.Insert(tableHeld, row))
		}
		if row := dueOf(it); row != nil {
			must(im.txn.Insert(tableDue, row))
		}
		if row := placeOf(it); row != nil {
			must(im.txn.Insert(tablePlaces, row))
			must(im.txn.Insert(tableLengths, NewView(im.txn).length(row.Queue).plus(1)))
		}
	}
	return nil
}

// AddDelay puts a lock-delay in.
func (im *Import) AddDelay(d *Delay) {
	if im.txn != nil {
		must(im.txn.Insert(tableDelays, d))
		if row := d.due(); row != nil {
			must(im.txn.Insert(tableDue, row))
		}
	}
}

// AddCounter puts the counter of a directory in.
func (im *Import) AddCounter(c *Counter) {
	if im.txn != nil {
		must(im.txn.Insert(tableCounters, c))
	}
}

func (im *Import) toLog(v *Version) {
	if im.txn != nil && v.ModifyIndex > im.meta.PrunedThrough {
		im.log = append(im.log, v)
	}
}

// Finish writes the change log and the facts. The caller commits.
func (im *Import) Finish() {
	if im.txn == nil {
		return
	}
	appendLog(im.txn, inOrder(im.log))
	rows := im.rows.done()
	must(im.txn.Insert(tableItems, &rows))
	must(im.txn.Insert(tableMeta, &im.meta))
}

// inOrder puts changes into the order of the change log that have come in the order of their keys:
// by index alone, since those of one index are in order already. The indexes are sorted beside
// the changes, which lie all over the memory: to look at each some twenty times took a fifth of
// the time of a restore.
func inOrder(changes []*Version) []*Version {
	type place struct {
		index uint64
		n     int // of changes
	}
	places := make([]place, len(changes))
	for i, v := range changes {
		places[i] = place{v.ModifyIndex, i}
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.index != b.index {
			return cmp.Compare(a.index, b.index)
		}
		return cmp.Compare(a.n, b.n)
	})
	sorted := make([]*Version, len(changes))
	for i, p := range places {
		sorted[i] = changes[p.n]
	}
	return sorted
}
