package httpapi

import (
	"strings"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// shape is what a question about keys asks for.
type shape uint8

const (
	oneEntry shape = iota
	rawValue
	entries
	names
)

// question is a read of keys as a value: what it asks and in which form. It can be
// answered from any state, again and again, and holds nothing of one.
type question struct {
	shape     shape
	key       string // or the prefix
	separator string // names only: where to fold
	after     string // lists only: answer what is greater
	limit     int    // lists only: at most so many; 0: all

	// revision asks for the state as it was at an earlier index; 0: as it is.
	revision uint64
}

func (q *question) tree() bool { return q.shape == entries || q.shape == names }

// spot is part of parkable.
func (q *question) spot(s *fsm.Store) spot { return spot{s.Hub(), q.key, q.tree()} }

// settled tells whether a client that has seen index n must be answered from this
// state rather than wait. It is decided by the last change of what is asked for,
// not by how far the store has moved, so that a missing key or an empty prefix is
// not answered because of others.
//
// Source: contract, blocking queries, sections 1 and 5 and "Where Holdfast should
// differ" 1 and 8.
func (q *question) settled(v *fsm.View, n uint64) bool {
	if q.changedSince(v, n) {
		return true
	}
	if n == 1 { // what an empty store hands out: old news in one that is not
		return storeIndex(v) > 1
	}
	// An index between the last change of what is asked for and the last restore
	// was handed out before that restore, for a state that is gone: since then it
	// is either that of the last change or not below the restore, see storeIndex.
	return n < v.RestoredAt() && !q.changedSince(v, n-1)
}

func (q *question) changedSince(v *fsm.View, n uint64) bool {
	if q.tree() {
		return v.ChangedSince(q.key, n)
	}
	_, changed := v.Get(q.key)
	return changed > n
}

// storeIndex is the index of the whole store, which is also that of everything
// without a trace. A restore counts as a change of all that, so that this index
// never goes down and one from before the restore can be told from one after it.
func storeIndex(v *fsm.View) uint64 { return max(v.Index(), v.RestoredAt()) }

// access is the right that a question needs for each key. Who sees how keys were may see
// what has been deleted since.
func (q *question) access() acl.Access {
	if q.revision > 0 {
		return acl.AccessHistory
	}
	return acl.AccessRead
}

// index is what X-Consul-Index says for an answer from this state.
func (q *question) index(v *fsm.View) uint64 {
	if q.tree() {
		return q.spanIndex(v, v.Span(q.key))
	}
	if cur, _ := v.Get(q.key); cur != nil {
		return cur.ModifyIndex
	}
	return storeIndex(v)
}

// spanIndex is the index of a prefix.
//
// Source: contract, KV, section 6.
func (q *question) spanIndex(v *fsm.View, span kvs.Span) uint64 {
	if q.key == "" || !span.Traced {
		return storeIndex(v)
	}
	return span.Index(v.View, q.key)
}

// reply is an answer to a question.
type reply struct {
	found bool
	index uint64
	raw   []byte       // the value, for rawValue; shared with the store
	of    *kvs.Version // what is shown, when it is one key; shared with the store
	next  string       // lists with a limit: the last name shown, when there are more
	more  bool
	cut   bool // lists: something was left out
}

// answer appends the body of the answer to b.
//
// Of a list it shows what keep keeps, all with nil.
func (q *question) answer(v *fsm.View, b []byte, keep *keyFilter) ([]byte, reply, error) {
	if q.revision > 0 {
		return q.answerAt(v, b, keep)
	}
	switch q.shape {
	case oneEntry, rawValue:
		cur, _ := v.Get(q.key)
		if cur == nil {
			return b, reply{index: storeIndex(v)}, nil
		}
		b, r := q.one(cur, b)
		r.index = cur.ModifyIndex
		return b, r, nil
	}
	l := q.list(b, keep)
	var span kvs.Span
	if q.limit == 0 && q.after == "" {
		span = v.List(q.key, func(cur *kvs.Version) { l.add(cur) })
	} else {
		span = v.Span(q.key)
		v.ListAfter(q.key, q.after, l.add)
	}
	b, r := l.end()
	r.index = q.spanIndex(v, span)
	return b, r, nil
}

// answerAt answers from the state at an earlier index.
func (q *question) answerAt(v *fsm.View, b []byte, keep *keyFilter) ([]byte, reply, error) {
	if !q.tree() {
		old, err := v.GetAt(q.key, q.revision)
		if err != nil || old == nil {
			return b, reply{index: q.revision}, err
		}
		b, r := q.one(old, b)
		r.index = old.ModifyIndex
		return b, r, nil
	}
	l := q.list(b, keep)
	err := v.ListAt(q.key, q.after, q.revision, l.add)
	b, r := l.end()
	r.index = q.revision
	return b, r, err
}

func (q *question) one(cur *kvs.Version, b []byte) ([]byte, reply) {
	if q.shape == rawValue {
		return b, reply{found: true, raw: cur.Value, of: cur}
	}
	b = append(b, '[')
	b = appendEntry(b, cur, true)
	return append(b, ']'), reply{found: true, of: cur}
}

func (q *question) list(b []byte, keep *keyFilter) *listBuilder {
	return &listBuilder{q: q, keep: keep, b: append(b, '['), empty: len(b) + 1}
}

// keyFilter keeps the keys of a list that somebody has the right to see.
type keyFilter struct {
	auth   *acl.Authorizer
	access acl.Access

	cut     bool   // something was left out
	missing string // the last of it
}

func (f *keyFilter) keeps(key string) bool {
	if f == nil || f.auth.Allow(acl.ResourceKey, f.access, key) {
		return true
	}
	f.cut, f.missing = true, key
	return false
}

// listBuilder builds the answer to a question about a prefix.
type listBuilder struct {
	q      *question
	keep   *keyFilter
	b      []byte
	empty  int // length of b with nothing shown
	shown  int
	folded string // last folded name, which is not shown again
	last   string // last key seen
	more   bool
}

// add shows one more key and tells whether to go on.
func (l *listBuilder) add(cur *kvs.Version) bool {
	name := cur.Key
	if !l.keep.keeps(name) {
		return true
	}
	if l.q.shape == names && l.q.separator != "" {
		rest := name[len(l.q.key):]
		if i := strings.Index(rest, l.q.separator); i >= 0 {
			name = name[:len(l.q.key)+i+len(l.q.separator)]
			if name == l.folded {
				l.last = cur.Key
				return true
			}
			l.folded = name
		}
	}
	if l.q.limit > 0 && l.shown == l.q.limit {
		l.more = true
		return false
	}
	if l.shown > 0 {
		l.b = append(l.b, ',')
	}
	if l.q.shape == names {
		l.b = appendString(l.b, name)
	} else {
		l.b = appendEntry(l.b, cur, true)
	}
	l.shown++
	l.last = cur.Key
	return true
}

func (l *listBuilder) end() ([]byte, reply) {
	r := reply{found: l.shown > 0, next: l.last, more: l.more, cut: l.keep != nil && l.keep.cut}
	if l.shown == 0 && l.q.shape == names && l.q.key == "" {
		r.found = true // the root always is: contract, KV, section 3
	}
	return append(l.b, ']'), r
}
