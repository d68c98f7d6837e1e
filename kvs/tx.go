package kvs

import (
	"sort"
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

	staged map[string]*Item // rows that differ from the base, nil for one that is removed
	order  []string         // keys of staged in the order they were first staged

	held     staging.Table[*held]
	due      staging.Table[*due]
	delays   staging.Table[*Delay]
	counters staging.Table[*Counter]
	places   staging.Table[*Place]
	lengths  staging.Table[*length]

	// Of the current command only:
	undo     []undoItem
	metaUndo Meta
	touched  map[string]bool // keys with a new version

	disturbed map[string]bool // queues in which somebody's turn may have come; nil for none

	// Of all accepted commands:
	changes     []*Version // for the log, in the order of (index, key)
	trimmed     []*Version // to be taken out of the log
	pruneTo     uint64
	metaChanged bool
}

type undoItem struct {
	key    string
	item   *Item // what was staged before
	staged bool  // whether anything was
}

// Begin opens a batch over the given base.
func Begin(base View) *Tx {
	return &Tx{
		base: base, meta: base.Meta(), staged: map[string]*Item{}, touched: map[string]bool{},
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
func (tx *Tx) Command(index uint64, time int64, by Origin) {
	tx.index, tx.time, tx.by = index, time, unique.Make(by)
	tx.metaUndo = tx.meta
	tx.undo = tx.undo[:0]
	clear(tx.touched)
	clear(tx.disturbed)
}

// Accept keeps what the current command has staged. It returns the keys that
// have a new version, in byte order.
func (tx *Tx) Accept() []string {
	tx.settle()
	tx.held.Accept()
	tx.due.Accept()
	tx.delays.Accept()
	tx.counters.Accept()
	tx.places.Accept()
	tx.lengths.Accept()
	if len(tx.touched) == 0 {
		return nil
	}
	keys := make([]string, 0, len(tx.touched))
	for key := range tx.touched {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		tx.changes = append(tx.changes, tx.staged[key].Cur)
	}
	tx.meta.Index = tx.index
	tx.metaChanged = true
	return keys
}

// Reject takes back what the current command has staged.
func (tx *Tx) Reject() {
	for i := len(tx.undo) - 1; i >= 0; i-- {
		u := tx.undo[i]
		if u.staged {
			tx.staged[u.key] = u.item
		} else {
			delete(tx.staged, u.key)
		}
	}
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
	for _, key := range tx.order {
		switch it, ok := tx.staged[key]; {
		case !ok: // staged by a rejected command only
		case it != nil:
			must(txn.Insert(tableItems, it))
		default:
			if old := tx.base.Item(key); old != nil {
				must(txn.Delete(tableItems, old))
			}
		}
		delete(tx.staged, key) // a key may be in the order twice
	}
	tx.held.Flush(txn)
	tx.due.Flush(txn)
	tx.delays.Flush(txn)
	tx.counters.Flush(txn)
	tx.places.Flush(txn)
	tx.lengths.Flush(txn)
	appendLog(txn, tx.changes)
	if len(tx.trimmed) > 0 {
		sort.Slice(tx.trimmed, func(i, j int) bool { return before(tx.trimmed[i], tx.trimmed[j]) })
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
func before(a, b *Version) bool {
	if a.ModifyIndex != b.ModifyIndex {
		return a.ModifyIndex < b.ModifyIndex
	}
	return a.Key < b.Key
}

// item returns the row of a key as the current command sees it.
func (tx *Tx) item(key string) *Item {
	if it, ok := tx.staged[key]; ok {
		return it
	}
	return tx.base.Item(key)
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
	var mine []string
	for key := range tx.staged {
		if strings.HasPrefix(key, prefix) {
			mine = append(mine, key)
		}
	}
	sort.Strings(mine)
	show := func(it *Item) {
		if it != nil && it.Live() {
			visit(it.Cur)
		}
	}
	tx.base.items(prefix, func(it *Item) bool {
		for len(mine) > 0 && mine[0] < it.Key {
			show(tx.staged[mine[0]])
			mine = mine[1:]
		}
		if len(mine) > 0 && mine[0] == it.Key {
			it = tx.staged[mine[0]]
			mine = mine[1:]
		}
		show(it)
		return true
	})
	for _, key := range mine {
		show(tx.staged[key])
	}
}

// stage replaces the row of a key for the rest of the batch; nil removes it.
func (tx *Tx) stage(key string, it *Item) {
	old, ok := tx.staged[key]
	if !ok {
		tx.order = append(tx.order, key)
	}
	tx.undo = append(tx.undo, undoItem{key, old, ok})
	tx.staged[key] = it
}

// put makes next the current version of its key and keeps the one it replaces,
// unless that was made by this same command.
func (tx *Tx) put(it *Item, next *Version) {
	next.ModifyIndex, next.Time, next.By = tx.index, tx.time, tx.by
	row := &Item{Key: next.Key, Cur: next}
	if it != nil {
		row.Older, row.Floor, row.Extra = it.Older, it.Floor, it.Extra
		tx.account(it.Cur, -1)
		if !tx.touched[next.Key] {
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
	tx.touched[next.Key] = true
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
