package kvs

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// rowsOf returns the rows of a tree in its order.
func rowsOf(t tree) []*Item {
	var rows []*Item
	t.ascend("", func(it *Item) bool {
		rows = append(rows, it)
		return true
	})
	return rows
}

// checkTree says what is wrong with the shape of a tree.
func checkTree(t tree) error {
	if t.root == nil {
		return nil
	}
	depth := -1
	var walk func(n *treeNode, level int, low, high *string) error
	walk = func(n *treeNode, level int, low, high *string) error {
		if n.empty() || len(n.rows) > treeWidth || len(n.kids) > treeWidth {
			return fmt.Errorf("node with %d rows and %d children", len(n.rows), len(n.kids))
		}
		for i, row := range n.rows {
			if i > 0 && n.rows[i-1].Key >= row.Key || low != nil && row.Key < *low || high != nil && row.Key >= *high {
				return fmt.Errorf("key %q is out of place", row.Key)
			}
		}
		if n.kids == nil {
			if depth < 0 {
				depth = level
			}
			if depth != level {
				return fmt.Errorf("leaves at depth %d and %d", depth, level)
			}
			return nil
		}
		if len(n.rows) > 0 || len(n.bounds) != len(n.kids)-1 {
			return fmt.Errorf("inner node with %d rows, %d children, %d bounds", len(n.rows), len(n.kids), len(n.bounds))
		}
		for i, kid := range n.kids {
			l, h := low, high
			if i > 0 {
				l = &n.bounds[i-1]
			}
			if i < len(n.bounds) {
				h = &n.bounds[i]
			}
			if err := walk(kid, level+1, l, h); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(t.root, 0, nil, nil)
}

func TestTreeIsASortedMapAndEditsLeaveItAlone(t *testing.T) {
	// Few letters make long common beginnings, many keys make several levels.
	key := rapid.StringOfN(rapid.SampledFrom([]rune("ab\x00ÿ")), 0, 9, -1)
	rapid.Check(t, func(r *rapid.T) {
		type past struct {
			tree tree
			rows []*Item
		}
		model := map[string]*Item{}
		sorted := func() []*Item {
			rows := make([]*Item, 0, len(model))
			for _, row := range model {
				rows = append(rows, row)
			}
			sort.Slice(rows, func(i, j int) bool { return rows[i].Key < rows[j].Key })
			return rows
		}
		var pasts []past
		e := tree{}.edit()
		for range rapid.IntRange(1, 12).Draw(r, "edits") {
			for _, k := range rapid.SliceOfN(key, 0, 200).Draw(r, "set") {
				row := &Item{Key: k}
				if old := e.set(row); old != model[k] {
					r.Fatalf("set(%q) replaced %v, want %v", k, old, model[k])
				}
				model[k] = row
			}
			remove := rapid.SliceOfN(key, 0, 50).Draw(r, "remove")
			if rapid.IntRange(0, 3).Draw(r, "clear") == 0 {
				for _, row := range sorted()[:len(model)*9/10] {
					remove = append(remove, row.Key)
				}
			}
			for _, k := range remove {
				if old := e.remove(k); old != model[k] {
					r.Fatalf("remove(%q) gave %v, want %v", k, old, model[k])
				}
				delete(model, k)
			}
			if rapid.Bool().Draw(r, "drop") { // an edit that comes to nothing
				other := e.done().edit()
				other.set(&Item{Key: "a"})
				other.remove("b")
			}
			pasts = append(pasts, past{e.done(), sorted()})
		}
		for i, p := range pasts {
			if err := checkTree(p.tree); err != nil {
				r.Fatalf("after edit %d: %v", i, err)
			}
			if got := rowsOf(p.tree); !slices.Equal(got, p.rows) {
				r.Fatalf("after edit %d: %d rows, want %d", i, len(got), len(p.rows))
			}
			from, prefix := key.Draw(r, "from"), key.Draw(r, "prefix")
			var got, want []*Item
			p.tree.ascend(from, func(it *Item) bool { got = append(got, it); return true })
			for _, row := range p.rows {
				if row.Key >= from {
					want = append(want, row)
				}
			}
			if !slices.Equal(got, want) {
				r.Fatalf("from %q: %d rows, want %d", from, len(got), len(want))
			}
			got, want = nil, nil
			p.tree.under(prefix, func(it *Item) bool { got = append(got, it); return len(got) < 7 })
			for _, row := range p.rows {
				if strings.HasPrefix(row.Key, prefix) && len(want) < 7 {
					want = append(want, row)
				}
			}
			if !slices.Equal(got, want) {
				r.Fatalf("under %q: %d rows, want %d", prefix, len(got), len(want))
			}
			for _, row := range p.rows {
				if p.tree.get(row.Key) != row {
					r.Fatalf("get(%q) does not give its row", row.Key)
				}
			}
			if row := p.tree.get(from); row != nil && !slices.Contains(p.rows, row) {
				r.Fatalf("get(%q) gives a row that is gone", from)
			}
		}
	})
}

// nodes counts the nodes of a tree.
func nodes(n *treeNode) int {
	if n == nil {
		return 0
	}
	sum := 1
	for _, kid := range n.kids {
		sum += nodes(kid)
	}
	return sum
}

func TestTreeOfKeysInOrderIsFull(t *testing.T) {
	const n = treeWidth * treeWidth * treeWidth
	for _, tc := range []struct {
		how string
		put func(*treeEdit, *Item)
	}{
		{"push", func(e *treeEdit, row *Item) { e.push(row) }},
		{"set", func(e *treeEdit, row *Item) { e.set(row) }},
	} {
		t.Run(tc.how, func(t *testing.T) {
			e := tree{}.edit()
			for i := range n {
				tc.put(&e, &Item{Key: fmt.Sprintf("key-%06d", i)})
			}
			if err := checkTree(e.tree); err != nil {
				t.Fatal(err)
			}
			if got, want := nodes(e.root), 1+treeWidth+treeWidth*treeWidth; got != want {
				t.Errorf("%d rows are in %d nodes, want %d", n, got, want)
			}
		})
	}
}

func TestTreeBecomesSmallWithItsRows(t *testing.T) {
	e := tree{}.edit()
	const n = 20_000
	key := func(i int) string { return fmt.Sprintf("key-%06d", i) }
	for i := range n {
		e.set(&Item{Key: key(i)})
	}
	for i := range n {
		if i%100 != 0 {
			e.remove(key(i))
		}
	}
	if err := checkTree(e.tree); err != nil {
		t.Fatal(err)
	}
	if got := nodes(e.root); got > 30 {
		t.Errorf("%d rows are in %d nodes", len(rowsOf(e.tree)), got)
	}
	for i := range n {
		e.remove(key(i))
	}
	if e.root != nil {
		t.Error("a tree without rows has a root")
	}
}

func BenchmarkTreeSet(b *testing.B) {
	rows := make([]*Item, 200_000)
	for i := range rows {
		rows[i] = &Item{Key: fmt.Sprintf("region-%02d/service-%04d/setting-%06d", i%16, i/16%1000, i)}
	}
	b.ReportAllocs()
	for b.Loop() {
		e := tree{}.edit()
		for i, row := range rows {
			e.set(row)
			if i%4096 == 0 {
				e.done()
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
}

func BenchmarkTreeGet(b *testing.B) {
	e := tree{}.edit()
	keys := make([]string, 200_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("region-%02d/service-%04d/setting-%06d", i%16, i/16%1000, i)
		e.set(&Item{Key: keys[i]})
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if e.get(keys[i*7919%len(keys)]) == nil {
			b.Fatal("a key is missing")
		}
		i++
	}
}
