package staging

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"
)

// Row is what a Table holds. A row that was put in is never changed, only replaced.
type Row interface {
	comparable
	// RowID is the primary key; rows are ordered by its bytes.
	RowID() string
}

// Table is one memdb table with the changes of a batch on top. It is used by one
// goroutine.
type Table[R Row] struct {
	name string
	base *memdb.Txn

	staged map[string]R // the zero R for a row that is removed
	undo   []undo[R]    // of the current command
}

type undo[R Row] struct {
	id     string
	row    R
	staged bool
}

// Schema returns the schema of a table of rows of type R.
func Schema[R Row](name string) *memdb.TableSchema {
	return &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{
		"id": {Name: "id", Unique: true, Indexer: indexer[R]{}},
	}}
}

// indexer orders rows by RowID.
type indexer[R Row] struct{}

func (indexer[R]) FromObject(obj any) (bool, []byte, error) {
	row, ok := obj.(R)
	if !ok {
		return false, nil, fmt.Errorf("row is a %T", obj)
	}
	return true, []byte(row.RowID()), nil
}

func (indexer[R]) FromArgs(args ...any) ([]byte, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("want one id, got %d arguments", len(args))
	}
	id, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("id is a %T", args[0])
	}
	return []byte(id), nil
}

func (x indexer[R]) PrefixFromArgs(args ...any) ([]byte, error) { return x.FromArgs(args...) }

// New returns the table of that name as it is in base, with nothing on top. It costs
// nothing until a row changes, and must not be copied after that.
func New[R Row](base *memdb.Txn, name string) Table[R] {
	return Table[R]{name: name, base: base}
}

// Get returns the row with that id, the zero R when there is none.
func (t *Table[R]) Get(id string) R {
	if row, ok := t.staged[id]; ok {
		return row
	}
	return Get[R](t.base, t.name, id)
}

// Put adds or replaces a row.
func (t *Table[R]) Put(row R) { t.set(row.RowID(), row) }

// Delete removes the row with that id, if there is one.
func (t *Table[R]) Delete(id string) {
	var none R
	if t.Get(id) != none {
		t.set(id, none)
	}
}

func (t *Table[R]) set(id string, row R) {
	if t.staged == nil {
		t.staged = map[string]R{}
	}
	old, ok := t.staged[id]
	t.undo = append(t.undo, undo[R]{id, old, ok})
	t.staged[id] = row
}

// Walk calls visit for every row whose id starts with prefix, in the order of ids,
// until it returns false. visit must not change the table.
func (t *Table[R]) Walk(prefix string, visit func(R) bool) {
	var none R
	var mine []string
	for id := range t.staged {
		if strings.HasPrefix(id, prefix) {
			mine = append(mine, id)
		}
	}
	slices.Sort(mine)
	show := func(row R) bool { return row == none || visit(row) }
	goOn := true
	Walk(t.base, t.name, prefix, func(row R) bool {
		id := row.RowID()
		for goOn && len(mine) > 0 && mine[0] < id {
			goOn = show(t.staged[mine[0]])
			mine = mine[1:]
		}
		if goOn && len(mine) > 0 && mine[0] == id {
			row = t.staged[id]
			mine = mine[1:]
		}
		goOn = goOn && show(row)
		return goOn
	})
	for _, id := range mine {
		if !goOn {
			return
		}
		goOn = show(t.staged[id])
	}
}

// Accept keeps what the current command has changed and begins the next one.
func (t *Table[R]) Accept() { t.undo = t.undo[:0] }

// Reject takes back what the current command has changed.
func (t *Table[R]) Reject() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		if u := t.undo[i]; u.staged {
			t.staged[u.id] = u.row
		} else {
			delete(t.staged, u.id)
		}
	}
	t.undo = t.undo[:0]
}

// Flush puts the changes into a write transaction begun on the same state.
func (t *Table[R]) Flush(txn *memdb.Txn) {
	var none R
	//archtest:any-order a memdb table is the same however it came to be
	for id, row := range t.staged {
		if row != none {
			must(txn.Insert(t.name, row))
		} else if old := Get[R](t.base, t.name, id); old != none {
			must(txn.Delete(t.name, old))
		}
	}
}

// Get returns the row of a table with that id, the zero R when there is none.
func Get[R Row](txn *memdb.Txn, table, id string) R {
	raw, err := txn.First(table, "id", id)
	must(err)
	row, _ := raw.(R)
	return row
}

// Walk calls visit for every row of a table whose id starts with prefix, in the
// order of ids, until it returns false.
func Walk[R Row](txn *memdb.Txn, table, prefix string, visit func(R) bool) {
	it, err := txn.Get(table, "id_prefix", prefix)
	must(err)
	for raw := it.Next(); raw != nil; raw = it.Next() {
		if !visit(raw.(R)) {
			return
		}
	}
}

// must turns an error that only a broken schema can cause into a panic.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("staging: schema is broken: %v", err))
	}
}
