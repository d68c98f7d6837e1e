package kvs

import (
	"cmp"
	"slices"
	"strings"
	"unique"

	"github.com/hashicorp/go-memdb"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// Tx stages the effects of a batch of commands over an unchanging base. It is
// used by one goroutine.
//
//	tx := kvs.Begin(view)
//	for each command {
//		tx.Command(index, time, origin)
//		... verbs ...
//		tx.Accept() or tx.Reject()
//	}
//	changed := tx.Flush(writeTxn)
type Tx struct {
	base View
	meta Meta

	index uint64
	time  int64
	by    unique.Handle[Origin]

	rows treeEdit // the rows as they are now

	held     staging.Table[*held]
	due      staging.Table[*due]
	delays   staging.Table[*Delay]
	counters staging.Table[*Counter]
	places   staging.Table[*Place]
	lengths  staging.Table[*length]

	// Of the current command only:
	undo     []undoItem
	metaUndo Meta
	made     []*Version // versions, in the order they were made
	remade   bool       // some key has more than one of them; the last one counts

	disturbed map[string]bool // queues in which somebody's turn may have come; nil for none

	// Of all accepted commands:
	changes     []*Version // for the log, in the order of (index, key)
	trimmed     []*Version // to be taken out of the log
	pruneTo     uint64
	metaChanged bool
}

type undoItem struct {
	key  string
	item *Item // what was there before; nil for nothing
	now  *Item // what was staged instead; nil for nothing
}

// Begin opens a batch over the given base.
func Begin(base View) *Tx {
	return &Tx{
		base: base, meta: base.Meta(), rows: base.rows.edit(),
		held:     staging.New[*held](base.txn, tableHeld),
		due:      staging.New[*due](base.txn, tableDue),
		delays:   staging.New[*Delay](base.txn, tableDelays),
		counters: staging.New[*Counter](base.txn, tableCounters),
		places:   staging.New[*Place](base.txn, tablePlaces),
		lengths:  staging.New[*length](base.txn, tableLengths),
	}
}

// Command starts the next command: its log index, its proposal time in Unix
// nanoseconds and who asked for it.
func (tx *Tx) Command(index uint64, time int64, by unique.Handle[Origin]) {
	tx.index, tx.time, tx.by = index, time, by
	tx.metaUndo = tx.meta
	tx.undo = tx.undo[:0]
	tx.made, tx.remade = tx.made[:0], false
	clear(tx.disturbed)
}

// Accept keeps what the current command has staged. It returns the new versions of
// keys, in the byte order of keys.
func (tx *Tx) Accept() []*Version {
	tx.settle()
	tx.held.Accept()
	tx.due.Accept()
	tx.delays.Accept()
	tx.counters.Accept()
	tx.places.Accept()
	tx.lengths.Accept()
	if len(tx.made) == 0 {
		return nil
	}
	slices.SortStableFunc(tx.made, func(a, b *Version) int { return strings.Compare(a.Key, b.Key) })
	from := len(tx.changes)
	for i, v := range tx.made {
		if tx.remade && i+1 < len(tx.made) && tx.made[i+1].Key == v.Key {
			continue
		}
		tx.changes = append(tx.changes, v)
	}
	tx.meta.Index = tx.index
	tx.metaChanged = true
	return tx.changes[from:]
}

// Reject takes back what the current command has staged.
func (tx *Tx) Reject() {
	for i := len(tx.undo) - 1; i >= 0; i-- {
		if u := tx.undo[i]; u.item != nil {
			tx.rows.set(u.item)
		} else {
			tx.rows.remove(u.key)
		}
	}
	tx.undo = tx.undo[:0]
	tx.meta = tx.metaUndo
	tx.held.Reject()
	tx.due.Reject()
	tx.delays.Reject()
	tx.counters.Reject()
	tx.places.Reject()
	tx.lengths.Reject()
}

// Flush puts everything accepted into a memdb write transaction that was begun
// on the same state as the base. The caller commits it.
func (tx *Tx) Flush(txn *memdb.Txn) {
	if tx.rows.root != tx.base.rows.root {
		rows := tx.rows.done()
		must(txn.Insert(tableItems, &rows))
	}
	tx.held.Flush(txn)
	tx.due.Flush(txn)
	tx.delays.Flush(txn)
	tx.counters.Flush(txn)
	tx.places.Flush(txn)
	tx.lengths.Flush(txn)
	appendLog(txn, tx.changes)
	if len(tx.trimmed) > 0 {
		slices.SortFunc(tx.trimmed, compareChanges)
		removeFromLog(txn, tx.trimmed)
	}
	if tx.pruneTo > 0 {
		dropLogThrough(txn, tx.pruneTo)
	}
	if tx.metaChanged {
		meta := tx.meta
		must(txn.Insert(tableMeta, &meta))
	}
}

// Changed returns the keys of all accepted changes, in the order of the log.
func (tx *Tx) Changed() []string {
	keys := make([]string, len(tx.changes))
	for i, v := range tx.changes {
		keys[i] = v.Key
	}
	return keys
}

// before is the order of the change log.
func before(a, b *Version) bool { return compareChanges(a, b) < 0 }

func compareChanges(a, b *Version) int {
	if a.ModifyIndex != b.ModifyIndex {
		return cmp.Compare(a.ModifyIndex, b.ModifyIndex)
	}
	return strings.Compare(a.Key, b.Key)
}

// item returns the row of a key as the current command sees it. What it has staged last is
// what is asked for most: a write is followed by what else belongs to it.
func (tx *Tx) item(key string) *Item {
	if n := len(tx.undo); n > 0 && tx.undo[n-1].key == key {
		return tx.undo[n-1].now
	}
	return tx.rows.get(key)
}

// live returns the current version of a key as the command sees it, or nil.
func (tx *Tx) live(key string) *Version {
	it := tx.item(key)
	if it == nil {
		return nil
	}
	return existing(it.Cur)
}

// list calls visit for every existing key under prefix as the command sees it,
// in byte order. visit must not write.
func (tx *Tx) list(prefix string, visit func(*Version)) {
	tx.rows.under(prefix, func(it *Item) bool {
		if it.Live() {
			visit(it.Cur)
		}
		return true
	})
}

// stage replaces the row of a key for the rest of the batch; nil removes it.
func (tx *Tx) stage(key string, it *Item) {
	var old *Item
	if it != nil {
		old = tx.rows.set(it)
	} else {
		old = tx.rows.remove(key)
	}
	tx.undo = append(tx.undo, undoItem{key, old, it})
}

// put makes next the current version of its key and keeps the one it replaces,
// unless that was made by this same command.
func (tx *Tx) put(it *Item, next *Version) {
	next.ModifyIndex, next.Time, next.By = tx.index, tx.time, tx.by
	row := &Item{Key: next.Key, Cur: next}
	if it != nil {
		row.Older, row.Floor, row.Extra = it.Older, it.Floor, it.Extra
		tx.account(it.Cur, -1)
		if it.Cur.ModifyIndex == tx.index {
			tx.remade = true
		} else {
			row.Older = append(it.Older, it.Cur)
			tx.superseded(it.Cur, 1)
		}
	}
	switch {
	case next.Deleted(): // what ties the key to others ends with it, its fence does not
		row.Extra = Extra{Fence: it.extra().Fence}.Packed()
	case next.Kind == KindLock && (it == nil || !it.Live() || it.Cur.Session != next.Session):
		e := it.extra()
		e.Fence = tx.index
		row.Extra = e.Packed()
	}
	tx.relink(it, row)
	tx.account(next, 1)
	tx.made = append(tx.made, next)
	tx.stage(row.Key, row)
}

// account counts a current version in or out.
func (tx *Tx) account(v *Version, by int) {
	if v.Deleted() {
		tx.meta.Tombstones += by
		tx.meta.HistoryBytes += int64(by) * v.size()
		return
	}
	tx.meta.Live += by
	tx.meta.LiveBytes += int64(by) * v.size()
}

// superseded counts an older version in or out.
func (tx *Tx) superseded(v *Version, by int) {
	tx.meta.Superseded += by
	tx.meta.HistoryBytes += int64(by) * v.size()
}
