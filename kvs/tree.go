package kvs

import "strings"

// treeWidth is the most rows of a leaf, and the most children of an inner node. A
// write copies one node of each level: wider nodes make that dearer, narrower ones
// make a read look at more of them.
const treeWidth = 32

// tree is an ordered map from key to row that never changes: an edit makes another
// one that shares what did not change. It is a B+ tree.
type tree struct {
	root *treeNode // nil when empty
}

// treeNode is a leaf, which has rows, or an inner node, which has children. All
// leaves are equally deep, and none is empty.
type treeNode struct {
	owner *treeOwner // of the edit that may change it in place, if that is still open

	rows []*Item // in the order of keys

	// Every key under kids[i] is below bounds[i], and none under kids[i+1] is.
	// Bounds are strings of their own, so that none keeps a key's memory.
	kids   []*treeNode
	bounds []string
}

// treeEdit makes a tree out of another one, by one goroutine. It copies a node that
// it changes once, and then changes the copy.
type treeEdit struct {
	tree
	owner *treeOwner
}

// treeOwner marks the nodes of one edit. It is not the edit itself, since that would
// keep every earlier tree in memory. It has a byte so that each has an address of its
// own.
type treeOwner struct{ _ byte }

// edit begins to change t, which itself stays as it is.
func (t tree) edit() treeEdit { return treeEdit{t, new(treeOwner)} }

// done returns the tree that was made. What e changes after that is yet another one.
func (e *treeEdit) done() tree {
	e.owner = new(treeOwner)
	return e.tree
}

// get returns the row of a key, nil when there is none.
func (t tree) get(key string) *Item {
	n := t.root
	if n == nil {
		return nil
	}
	for n.kids != nil {
		n = n.kids[n.kid(key)]
	}
	if i, found := n.row(key); found {
		return n.rows[i]
	}
	return nil
}

// kid is the position of the child that key belongs to.
func (n *treeNode) kid(key string) int {
	low, high := 0, len(n.bounds)
	for low < high {
		if mid := (low + high) / 2; n.bounds[mid] <= key {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// row is the position of key in a leaf, or where it would be.
func (n *treeNode) row(key string) (i int, found bool) {
	low, high := 0, len(n.rows)
	for low < high {
		if mid := (low + high) / 2; n.rows[mid].Key < key {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(n.rows) && n.rows[low].Key == key
}

// ascend calls visit for the rows with a key not below from, in byte order, until
// it returns false.
func (t tree) ascend(from string, visit func(*Item) bool) {
	if t.root != nil {
		t.root.ascend(from, visit)
	}
}

// under calls visit for the rows with a key that starts with prefix, in byte order,
// until it returns false.
func (t tree) under(prefix string, visit func(*Item) bool) {
	t.ascend(prefix, func(it *Item) bool { return strings.HasPrefix(it.Key, prefix) && visit(it) })
}

func (n *treeNode) ascend(from string, visit func(*Item) bool) bool {
	i := 0
	if n.kids == nil {
		if from != "" {
			i, _ = n.row(from)
		}
		for _, row := range n.rows[i:] {
			if !visit(row) {
				return false
			}
		}
		return true
	}
	if from != "" {
		i = n.kid(from)
	}
	for ; i < len(n.kids); i++ {
		if !n.kids[i].ascend(from, visit) {
			return false
		}
		from = "" // what follows lies behind it
	}
	return true
}

// set puts a row in and returns the one with its key that it replaces, nil when there
// was none.
func (e *treeEdit) set(row *Item) (old *Item) { return e.insert(row, false) }

// push puts a row in whose key is above all others.
func (e *treeEdit) push(row *Item) { e.insert(row, true) }

func (e *treeEdit) insert(row *Item, last bool) (old *Item) {
	if e.root == nil {
		e.root = e.leaf()
	}
	e.root = e.own(e.root)
	old, right, bound := e.insertBelow(e.root, row, last)
	if right != nil {
		root := e.inner()
		root.kids, root.bounds = append(root.kids, e.root, right), append(root.bounds, bound)
		e.root = root
	}
	return old
}

// insertBelow puts a row under n, which is e's own. If n had to be split it returns
// the new node behind it, and the bound between the two.
func (e *treeEdit) insertBelow(n *treeNode, row *Item, last bool) (old *Item, right *treeNode, bound string) {
	if n.kids == nil {
		i, found := len(n.rows), false
		if !last {
			i, found = n.row(row.Key)
		}
		if found {
			old, n.rows[i] = n.rows[i], row
			return old, nil, ""
		}
		if len(n.rows) < treeWidth {
			n.rows = insertAt(n.rows, i, row)
			return nil, nil, ""
		}
		right, bound = e.splitLeaf(n, i, row)
		return nil, right, bound
	}
	i := len(n.kids) - 1
	if !last {
		i = n.kid(row.Key)
	}
	n.kids[i] = e.own(n.kids[i])
	old, right, bound = e.insertBelow(n.kids[i], row, last)
	if right == nil {
		return old, nil, ""
	}
	if len(n.kids) < treeWidth {
		n.kids, n.bounds = insertAt(n.kids, i+1, right), insertAt(n.bounds, i, bound)
		return nil, nil, ""
	}
	right, bound = e.splitInner(n, i, right, bound)
	return nil, right, bound
}

// splitLeaf puts row at position i of a full leaf by moving some of it to a new one.
func (e *treeEdit) splitLeaf(n *treeNode, i int, row *Item) (right *treeNode, bound string) {
	right = e.leaf()
	at := splitAt(i, len(n.rows))
	right.rows = append(right.rows, n.rows[at:]...)
	clear(n.rows[at:])
	n.rows = n.rows[:at]
	if i <= at && at < treeWidth {
		n.rows = insertAt(n.rows, i, row)
	} else {
		right.rows = insertAt(right.rows, i-at, row)
	}
	return right, boundBetween(n.rows[len(n.rows)-1].Key, right.rows[0].Key)
}

// splitInner puts a child behind position i of a full inner node, likewise.
func (e *treeEdit) splitInner(n *treeNode, i int, kid *treeNode, kidBound string) (right *treeNode, bound string) {
	right = e.inner()
	at := splitAt(i+1, len(n.kids))
	if at == len(n.kids) { // the new child is all there is on the right
		right.kids = append(right.kids, kid)
		return right, kidBound
	}
	right.kids = append(right.kids, n.kids[at:]...)
	right.bounds = append(right.bounds, n.bounds[at:]...)
	bound = n.bounds[at-1]
	clear(n.kids[at:])
	clear(n.bounds[at-1:])
	n.kids, n.bounds = n.kids[:at], n.bounds[:at-1]
	if i < at {
		n.kids, n.bounds = insertAt(n.kids, i+1, kid), insertAt(n.bounds, i, kidBound)
	} else {
		right.kids, right.bounds = insertAt(right.kids, i+1-at, kid), insertAt(right.bounds, i-at, kidBound)
	}
	return right, bound
}

// splitAt is where to split a node of n that is to get something at i: in the
// middle, but at the end when it grows there, so that keys that come in order leave
// full nodes behind.
func splitAt(i, n int) int {
	if i == n {
		return n
	}
	return n / 2
}

// boundBetween is the shortest string above a and not above b, which is above a.
func boundBetween(a, b string) string {
	n := 0
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return strings.Clone(b[:n+1])
}

// remove takes the row of a key out and returns it, nil when there is none.
func (e *treeEdit) remove(key string) (old *Item) {
	if old = e.get(key); old == nil {
		return nil
	}
	e.root = e.own(e.root)
	e.removeBelow(e.root, key)
	for len(e.root.kids) == 1 {
		e.root = e.root.kids[0]
	}
	if e.root.empty() {
		e.root = nil
	}
	return old
}

func (n *treeNode) empty() bool { return len(n.rows) == 0 && len(n.kids) == 0 }

// removeBelow takes the row of a key that is there out of n, which is e's own.
func (e *treeEdit) removeBelow(n *treeNode, key string) {
	if n.kids == nil {
		i, _ := n.row(key)
		n.rows = removeAt(n.rows, i)
		return
	}
	i := n.kid(key)
	n.kids[i] = e.own(n.kids[i])
	e.removeBelow(n.kids[i], key)
	switch {
	case n.kids[i].empty():
		n.kids = removeAt(n.kids, i)
		if len(n.bounds) > 0 {
			n.bounds = removeAt(n.bounds, max(i-1, 0))
		}
	case i+1 < len(n.kids) && e.merge(n, i):
	case i > 0:
		e.merge(n, i-1)
	}
}

// merge joins the children i and i+1 of n if they fit well into one, so that a tree
// does not stay large when its rows go.
func (e *treeEdit) merge(n *treeNode, i int) bool {
	const fits = treeWidth * 3 / 4
	a, b := n.kids[i], n.kids[i+1]
	if len(a.rows)+len(b.rows) > fits || len(a.kids)+len(b.kids) > fits {
		return false
	}
	a = e.own(a)
	if a.kids != nil {
		a.bounds = append(append(a.bounds, n.bounds[i]), b.bounds...)
	}
	a.rows, a.kids = append(a.rows, b.rows...), append(a.kids, b.kids...)
	n.kids[i] = a
	n.kids, n.bounds = removeAt(n.kids, i+1), removeAt(n.bounds, i)
	return true
}

// own returns n, or a copy of it, to be changed by e.
func (e *treeEdit) own(n *treeNode) *treeNode {
	if n.owner == e.owner {
		return n
	}
	if n.kids == nil {
		c := e.leaf()
		c.rows = append(c.rows, n.rows...)
		return c
	}
	c := e.inner()
	c.kids, c.bounds = append(c.kids, n.kids...), append(c.bounds, n.bounds...)
	return c
}

func (e *treeEdit) leaf() *treeNode {
	return &treeNode{owner: e.owner, rows: make([]*Item, 0, treeWidth)}
}

func (e *treeEdit) inner() *treeNode {
	return &treeNode{owner: e.owner, kids: make([]*treeNode, 0, treeWidth), bounds: make([]string, 0, treeWidth)}
}

func insertAt[T any](s []T, i int, v T) []T {
	s = append(s, v)
	copy(s[i+1:], s[i:])
	s[i] = v
	return s
}

func removeAt[T any](s []T, i int) []T {
	var none T
	copy(s[i:], s[i+1:])
	s[len(s)-1] = none
	return s[:len(s)-1]
}
