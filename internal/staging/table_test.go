package staging

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-memdb"
	"pgregory.net/rapid"
)

// word is a row of the tests: an id and what it says.
type word struct{ id, text string }

func (w *word) RowID() string { return w.id }

const words = "words"

func newDB(t interface{ Fatal(...any) }) *memdb.MemDB {
	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: map[string]*memdb.TableSchema{words: Schema[*word](words)}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// filled returns a database with rows given as id=text.
func filled(t *testing.T, rows ...string) *memdb.MemDB {
	t.Helper()
	db := newDB(t)
	txn := db.Txn(true)
	for _, row := range rows {
		id, text, _ := strings.Cut(row, "=")
		if err := txn.Insert(words, &word{id, text}); err != nil {
			t.Fatal(err)
		}
	}
	txn.Commit()
	return db
}

func (w *word) String() string { return w.id + "=" + w.text }

// shown walks everything under prefix, at most most rows of it.
func shown(walk func(string, func(*word) bool), prefix string, most int) []string {
	rows := []string{}
	walk(prefix, func(w *word) bool {
		rows = append(rows, w.String())
		return len(rows) < most
	})
	return rows
}

func stored(db *memdb.MemDB, prefix string) []string {
	return shown(func(prefix string, visit func(*word) bool) { Walk(db.Txn(false), words, prefix, visit) }, prefix, 1e9)
}

func TestChangesAreSeenBeforeTheyAreWritten(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		change func(*Table[*word])
		prefix string
		most   int
		want   []string
	}{
		{"nothing is changed", func(*Table[*word]) {}, "", 9, []string{"a=1", "b1=2", "b2=3", "d=4"}},
		{"rows are added before, between and after", func(x *Table[*word]) {
			for _, id := range []string{"e", "c", "Z"} {
				x.Put(&word{id, "new"})
			}
		}, "", 9, []string{"Z=new", "a=1", "b1=2", "b2=3", "c=new", "d=4", "e=new"}},
		{"a row is replaced where it stands", func(x *Table[*word]) { x.Put(&word{"b1", "new"}) }, "", 9, []string{"a=1", "b1=new", "b2=3", "d=4"}},
		{"a row is removed", func(x *Table[*word]) { x.Delete("b1") }, "", 9, []string{"a=1", "b2=3", "d=4"}},
		{"the last row is removed", func(x *Table[*word]) { x.Delete("d") }, "", 9, []string{"a=1", "b1=2", "b2=3"}},
		{"a row that is not there is removed", func(x *Table[*word]) { x.Delete("c") }, "", 9, []string{"a=1", "b1=2", "b2=3", "d=4"}},
		{"an added row is removed again", func(x *Table[*word]) { x.Put(&word{"c", "new"}); x.Delete("c") }, "", 9, []string{"a=1", "b1=2", "b2=3", "d=4"}},
		{"a removed row is added again", func(x *Table[*word]) { x.Delete("a"); x.Put(&word{"a", "new"}) }, "", 9, []string{"a=new", "b1=2", "b2=3", "d=4"}},
		{"only a prefix is walked", func(x *Table[*word]) { x.Put(&word{"b3", "new"}); x.Put(&word{"c", "new"}) }, "b", 9, []string{"b1=2", "b2=3", "b3=new"}},
		{"a walk ends in the base", func(x *Table[*word]) { x.Put(&word{"c", "new"}) }, "", 2, []string{"a=1", "b1=2"}},
		{"a walk ends in what is added between", func(x *Table[*word]) { x.Put(&word{"b", "new"}); x.Put(&word{"z", "new"}) }, "", 2, []string{"a=1", "b=new"}},
		{"a walk ends in what is added after", func(x *Table[*word]) { x.Put(&word{"x", "new"}); x.Put(&word{"z", "new"}) }, "", 5, []string{"a=1", "b1=2", "b2=3", "d=4", "x=new"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			db := filled(t, "a=1", "b1=2", "b2=3", "d=4")
			x := New[*word](db.Txn(false), words)
			tc.change(&x)
			if diff := cmp.Diff(tc.want, shown(x.Walk, tc.prefix, tc.most)); diff != "" {
				t.Errorf("walked (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"a=1", "b1=2", "b2=3", "d=4"}, stored(db, "")); diff != "" {
				t.Errorf("the base has changed before the flush (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRejectTakesBackOneCommandOnly(t *testing.T) {
	db := filled(t, "a=1", "b=2")
	x := New[*word](db.Txn(false), words)
	x.Put(&word{"a", "first"})
	x.Put(&word{"c", "first"})
	x.Accept()
	x.Put(&word{"a", "second"})
	x.Delete("a")
	x.Delete("b")
	x.Delete("c")
	x.Put(&word{"d", "second"})
	x.Reject()
	if diff := cmp.Diff([]string{"a=first", "b=2", "c=first"}, shown(x.Walk, "", 9)); diff != "" {
		t.Errorf("after the reject (-want +got):\n%s", diff)
	}
	x.Reject() // there is nothing left to take back
	if got := x.Get("a"); got == nil || got.text != "first" {
		t.Errorf("a second reject took back what was accepted: %v", got)
	}
}

func TestFlushWritesWhatWasChanged(t *testing.T) {
	db := filled(t, "a=1", "b=2", "c=3")
	x := New[*word](db.Txn(false), words)
	x.Put(&word{"a", "new"})
	x.Delete("b")
	x.Put(&word{"d", "new"})
	x.Delete("d") // never in the database, and not to be looked for there
	x.Accept()
	txn := db.Txn(true)
	x.Flush(txn)
	txn.Commit()
	if diff := cmp.Diff([]string{"a=new", "c=3"}, stored(db, "")); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	if got := Get[*word](db.Txn(false), words, "b"); got != nil {
		t.Errorf("a removed row is found: %v", got)
	}
}

func TestSchemaThatIsBrokenPanics(t *testing.T) {
	db := filled(t)
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "schema is broken") {
			t.Errorf("recovered %v", v)
		}
	}()
	Get[*word](db.Txn(false), "no such table", "a")
}

// TestTableIsAMap runs random commands, accepted and rejected, in random batches,
// against a plain map.
func TestTableIsAMap(t *testing.T) {
	ids := rapid.SampledFrom([]string{"", "a", "a\x00", "a\x00b", "ab", "b", "\xff"})
	rapid.Check(t, func(t *rapid.T) {
		db := newDB(t)
		model := map[string]string{}
		for batch := range rapid.IntRange(1, 3).Draw(t, "batches") {
			base := db.Txn(false)
			x := New[*word](base, words)
			for command := range rapid.IntRange(0, 4).Draw(t, "commands") {
				next := maps.Clone(model)
				for step := range rapid.IntRange(0, 5).Draw(t, "steps") {
					id := ids.Draw(t, "id")
					if rapid.Bool().Draw(t, "put") {
						text := fmt.Sprint(batch, command, step)
						x.Put(&word{id, text})
						next[id] = text
					} else {
						x.Delete(id)
						delete(next, id)
					}
					compare(t, next, &x, ids.Draw(t, "prefix"))
				}
				if rapid.Bool().Draw(t, "accepted") {
					x.Accept()
					model = next
				} else {
					x.Reject()
				}
				compare(t, model, &x, "")
			}
			txn := db.Txn(true)
			x.Flush(txn)
			txn.Commit()
			if diff := cmp.Diff(modelRows(model, ""), stored(db, "")); diff != "" {
				t.Fatalf("stored (-model +table):\n%s", diff)
			}
		}
	})
}

func compare(t *rapid.T, model map[string]string, x *Table[*word], prefix string) {
	if diff := cmp.Diff(modelRows(model, prefix), shown(x.Walk, prefix, 1e9)); diff != "" {
		t.Fatalf("walked %q (-model +table):\n%s", prefix, diff)
	}
	for id, text := range model {
		if got := x.Get(id); got == nil || got.text != text {
			t.Fatalf("%q is %v, want %q", id, got, text)
		}
	}
}

func modelRows(model map[string]string, prefix string) []string {
	rows := []string{}
	for _, id := range slices.Sorted(maps.Keys(model)) {
		if strings.HasPrefix(id, prefix) {
			rows = append(rows, id+"="+model[id])
		}
	}
	return rows
}
