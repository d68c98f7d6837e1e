package event

import (
	"fmt"
	"testing"

	"github.com/hashicorp/go-memdb"
)

func TestForWhom(t *testing.T) {
	services := []Service{
		{Name: "web", Tags: []string{"blue", "v2"}},
		{Name: "db"},
	}
	for _, tc := range []struct {
		rule     string
		event    Event
		services []Service
		want     bool
	}{
		{"without filters an event is for everybody", Event{}, nil, true},
		{"the node's name must match", Event{NodeFilter: "^node-1$"}, nil, true},
		{"another node's does not", Event{NodeFilter: "^node-2$"}, nil, false},
		{"expressions are not anchored", Event{NodeFilter: "ode"}, nil, true},
		{"case counts", Event{NodeFilter: "NODE"}, nil, false},
		{"a service must match", Event{ServiceFilter: "^w"}, services, true},
		{"a service that the node lacks does not", Event{ServiceFilter: "cache"}, services, false},
		{"a node without services has none", Event{ServiceFilter: ".*"}, nil, false},
		{"a tag of that service must match", Event{ServiceFilter: "web", TagFilter: "^v"}, services, true},
		{"a tag of another service does not count", Event{ServiceFilter: "db", TagFilter: "blue"}, services, false},
		{"a service without tags matches no tag", Event{ServiceFilter: "db", TagFilter: ".*"}, services, false},
		{"node and service must both match", Event{NodeFilter: "node-2", ServiceFilter: "web"}, services, false},
		{"a filter that is none matches nobody", Event{NodeFilter: "("}, nil, false},
		{"nor does one of services", Event{ServiceFilter: "("}, services, false},
		{"nor one of tags", Event{ServiceFilter: "web", TagFilter: "("}, services, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := tc.event.For("node-1", tc.services); got != tc.want {
				t.Errorf("%+v is for the node: %v, want %v", tc.event, got, tc.want)
			}
		})
	}
}

func newDB(t *testing.T) *memdb.MemDB {
	t.Helper()
	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: Schema()})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// batch runs commands on db and writes what they have changed.
func batch(db *memdb.MemDB, do func(*Tx)) {
	tx := Begin(db.Txn(false))
	do(tx)
	txn := db.Txn(true)
	tx.Flush(txn)
	txn.Commit()
}

func indexes(db *memdb.MemDB) []uint64 {
	var list []uint64
	NewView(db.Txn(false)).List(func(e *Event) bool {
		list = append(list, e.Index)
		return true
	})
	return list
}

func TestOnlyTheNewestAreKept(t *testing.T) {
	db := newDB(t)
	// Beyond 255, so that an order by text would show; in batches of several.
	const fired = Kept + 300
	for from := uint64(1); from <= fired; from += 7 {
		batch(db, func(tx *Tx) {
			for i := from; i < from+7 && i <= fired; i++ {
				tx.Fire(&Event{ID: fmt.Sprint(i), Index: i})
				tx.Accept()
			}
		})
	}
	got := indexes(db)
	if len(got) != Kept {
		t.Fatalf("%d events are kept, want %d", len(got), Kept)
	}
	for i, index := range got {
		if want := uint64(fired - Kept + 1 + i); index != want {
			t.Fatalf("event %d has index %d, want %d: oldest first", i, index, want)
		}
	}
}

func TestARefusedCommandFiresNothing(t *testing.T) {
	db := newDB(t)
	batch(db, func(tx *Tx) {
		tx.Fire(&Event{Index: 1})
		tx.Accept()
		tx.Fire(&Event{Index: 2})
		tx.Reject()
	})
	if got := indexes(db); len(got) != 1 || got[0] != 1 {
		t.Errorf("events are %v, want that of index 1", got)
	}
}

func TestListStopsWhenToldTo(t *testing.T) {
	db := newDB(t)
	batch(db, func(tx *Tx) {
		tx.Fire(&Event{Index: 1})
		tx.Fire(&Event{Index: 2})
		tx.Accept()
	})
	n := 0
	NewView(db.Txn(false)).List(func(*Event) bool { n++; return false })
	if n != 1 {
		t.Errorf("%d events were visited, want 1", n)
	}
}

func TestImport(t *testing.T) {
	db := newDB(t)
	txn := db.Txn(true)
	for _, index := range []uint64{300, 2} {
		if err := Import(txn, &Event{Index: index}); err != nil {
			t.Fatal(err)
		}
	}
	txn.Commit()
	if got := indexes(db); len(got) != 2 || got[0] != 2 || got[1] != 300 {
		t.Errorf("events are %v, want 2 and 300", got)
	}
}
