package kvs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unique"

	"github.com/hashicorp/go-memdb"
	"pgregory.net/rapid"
)

var errEnough = errors.New("enough")

// copyOf carries a state over to another database.
func copyOf(t tb, v View) *memdb.MemDB {
	t.Helper()
	db := newDB(t)
	txn := db.Txn(true)
	im := NewImport(txn, v.Meta())
	if err := v.Export(im.Add); err != nil {
		t.Fatal(err)
	}
	im.Finish()
	txn.Commit()
	return db
}

func TestImportRefusesWhatThisPackageNeverMakes(t *testing.T) {
	version := func(key string, index uint64, kind Kind) *Version {
		return &Version{Key: key, ModifyIndex: index, CreateIndex: index, Kind: kind, By: unique.Make(Origin{})}
	}
	item := func(key string, indexes ...uint64) *Item {
		it := &Item{Key: key}
		for _, i := range indexes {
			it.Older = append(it.Older, version(key, i, KindSet))
		}
		last := len(it.Older) - 1
		it.Cur, it.Older = it.Older[last], it.Older[:last]
		return it
	}
	for _, tc := range []struct {
		rule  string
		items []*Item
		err   string // part of it; empty when the rows are fine
	}{
		{"keys in order", []*Item{item("", 1), item("a", 2), item("a\x00", 3), item("b", 4)}, ""},
		{"several keys of one command", []*Item{item("a", 4), item("b", 4)}, ""},
		{"versions in order", []*Item{item("a", 1, 2, 4)}, ""},
		{"a key twice", []*Item{item("a", 1), item("a", 2)}, `key "a" comes after "a"`},
		{"keys out of order", []*Item{item("b", 1), item("a", 2)}, `key "a" comes after "b"`},
		{"versions out of order", []*Item{item("a", 2, 1, 4)}, `versions of key "a" are out of order`},
		{"a version twice", []*Item{item("a", 1, 1, 4)}, `versions of key "a" are out of order`},
		{"a version as new as the current one", []*Item{item("a", 4, 4)}, `versions of key "a" are out of order`},
		{"a version of index 0", []*Item{item("a", 0, 4)}, `versions of key "a" are out of order`},
		{"a current version of index 0", []*Item{item("a", 0)}, `versions of key "a" are out of order`},
		{"a key newer than the store", []*Item{item("a", 5)}, `key "a" has index 5, above that of the store, 4`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			txn := newDB(t).Txn(true)
			defer txn.Abort()
			im := NewImport(txn, Meta{Index: 4})
			var err error
			for _, it := range tc.items {
				if err = im.Add(it); err != nil {
					break
				}
			}
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
		})
	}
}

func TestExportEndsWithTheFirstError(t *testing.T) {
	f := newFixture(t)
	f.do(set("a", "1"), set("b", "1"), set("c", "1"))
	var visited []string
	err := f.view().Export(func(it *Item) error {
		visited = append(visited, it.Key)
		if it.Key == "b" {
			return errEnough
		}
		return nil
	})
	if err != errEnough || strings.Join(visited, "") != "ab" {
		t.Errorf("visited %q, error %v; want a and b, and the visitor's error", visited, err)
	}
}

// TestInOrder: changes that come key by key are sorted as the change log is.
func TestInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var changes []*Version
		for i := range rapid.IntRange(0, 20).Draw(t, "keys") {
			indexes := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 30), 0, 8, rapid.ID).Draw(t, "indexes")
			slices.Sort(indexes)
			for _, index := range indexes {
				changes = append(changes, &Version{Key: fmt.Sprintf("key-%02d", i), ModifyIndex: index})
			}
		}
		want := slices.SortedFunc(slices.Values(changes), compareChanges)
		if got := inOrder(changes); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}
