package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/holdfast-kv/holdfast/kvs"
)

// modelKeys share prefixes and hold bytes that text would not. The API lets no empty
// key through, only an empty prefix.
var modelKeys = []string{"a", "a/", "a/b", "a/b\x00", "a/bc", "b", "\x00", "\xff\xfe"}

// modelPrefixes are what trees are read and deleted by.
var modelPrefixes = []string{"", "a", "a/", "a/b", "a/bc", "b", "c", "\x00", "\xff"}

// modelEntry is a key as a client sees it.
type modelEntry struct {
	value          string
	flags          uint64
	create, modify uint64
}

// modelChange is one record of the change log.
type modelChange struct {
	key     string
	index   uint64
	time    int64
	reason  string
	deleted bool
	entry   modelEntry
}

// model is a plain map and its past. There are no sessions yet, so that every lock
// and unlock is refused.
type model struct {
	keys    map[string]modelEntry
	changes []modelChange
	past    []map[string]modelEntry // by index; never pruned
	index   uint64                  // of the last change
	time    int64                   // of the last command
}

func newModel() *model {
	return &model{keys: map[string]modelEntry{}, past: []map[string]modelEntry{{}}}
}

// step is one command inside the model: what it has changed so far.
type step struct {
	index   uint64
	keys    map[string]modelEntry
	touched map[string]bool
}

func (s *step) write(op kvs.Op) {
	next := modelEntry{string(op.Value), op.Flags, s.index, s.index}
	if cur, ok := s.keys[op.Key]; ok {
		if cur.value == next.value && cur.flags == next.flags {
			return
		}
		next.create = cur.create
	}
	s.keys[op.Key], s.touched[op.Key] = next, true
}

func (s *step) remove(key string) {
	if _, ok := s.keys[key]; ok {
		delete(s.keys, key)
		s.touched[key] = true
	}
}

// perform says whether the operation applies, and what it shows.
func (s *step) perform(op kvs.Op) (shown []string, ok bool) {
	cur, exists := s.keys[op.Key]
	switch op.Verb {
	case kvs.Set:
		s.write(op)
	case kvs.CAS:
		if exists != (op.Index != 0) || exists && cur.modify != op.Index {
			return nil, false
		}
		s.write(op)
	case kvs.Lock, kvs.Unlock:
		return nil, false
	case kvs.Delete:
		s.remove(op.Key)
		return nil, true
	case kvs.DeleteCAS:
		if exists && cur.modify != op.Index {
			return nil, false
		}
		s.remove(op.Key)
		return nil, true
	case kvs.DeleteTree, kvs.GetTree:
		for _, key := range slices.Sorted(maps.Keys(s.keys)) {
			switch {
			case !strings.HasPrefix(key, op.Key):
			case op.Verb == kvs.DeleteTree:
				s.remove(key)
			default:
				shown = append(shown, s.show(key, true))
			}
		}
		return shown, true
	case kvs.Get:
		return []string{s.show(op.Key, true)}, exists
	case kvs.GetOrEmpty:
		if !exists {
			return []string{fmt.Sprintf("%q flags %d, 0/0: %q", op.Key, op.Flags, "")}, true
		}
		return []string{s.show(op.Key, true)}, true
	case kvs.CheckIndex:
		if !exists || cur.modify != op.Index {
			return nil, false
		}
	case kvs.CheckSession:
		if !exists || op.Session != "" {
			return nil, false
		}
	case kvs.CheckNotExists:
		return nil, !exists
	}
	return []string{s.show(op.Key, false)}, true
}

func (s *step) show(key string, value bool) string {
	e := s.keys[key]
	row := fmt.Sprintf("%q flags %d, %d/%d", key, e.flags, e.create, e.modify)
	if value {
		row += fmt.Sprintf(": %q", e.value)
	}
	return row
}

func showShown(shown []kvs.Shown) []string {
	var rows []string
	for _, s := range shown {
		row := fmt.Sprintf("%q flags %d, %d/%d", s.Entry.Key, s.Entry.Flags, s.Entry.CreateIndex, s.Entry.ModifyIndex)
		if s.Value {
			row += fmt.Sprintf(": %q", s.Entry.Value)
		}
		rows = append(rows, row)
	}
	return rows
}

// apply performs a command. Commands that are no operations change no key.
func (m *model) apply(index uint64, time int64, c Command) (shown []string, refused []int) {
	m.time = max(m.time, time)
	s := &step{index: index, keys: maps.Clone(m.keys), touched: map[string]bool{}}
	ops := c.Txn
	if c.Write != nil {
		ops = []kvs.Op{*c.Write}
	}
	for i, op := range ops {
		rows, ok := s.perform(op)
		if !ok {
			refused = append(refused, i)
			continue
		}
		shown = append(shown, rows...)
	}
	if refused == nil {
		m.keys = s.keys
		for _, key := range slices.Sorted(maps.Keys(s.touched)) {
			e, exists := s.keys[key]
			m.changes = append(m.changes, modelChange{key, index, m.time, c.Origin.Reason, !exists, e})
			m.index = index
		}
	} else {
		shown = nil
	}
	for uint64(len(m.past)) < index {
		m.past = append(m.past, m.past[len(m.past)-1])
	}
	m.past = append(m.past, m.keys)
	return shown, refused
}

// check compares what a view says with the model. log is what the change log was
// seen to hold above the index before.
func (m *model) check(t *rapid.T, v *View, before uint64) {
	if !sameKeys(t, "now", m.keys, func(visit func(*kvs.Version) bool) error {
		v.List("", func(c *kvs.Version) { visit(c) })
		return nil
	}) {
		t.Fatal("the visible state is wrong")
	}
	meta := v.Meta()
	if meta.Index != m.index || v.Index() != max(1, m.index) {
		t.Fatalf("index of the store is %d, want %d", meta.Index, m.index)
	}
	for _, key := range modelKeys {
		cur, changed := v.Get(key)
		if e, ok := m.keys[key]; ok != (cur != nil) || ok && (string(cur.Value) != e.value || cur.ModifyIndex != e.modify || changed != e.modify) {
			t.Fatalf("get %q is %+v changed at %d, want %+v", key, cur, changed, e)
		}
	}
	for _, prefix := range modelPrefixes {
		m.checkPrefix(t, v, prefix)
	}
	m.checkLog(t, v, max(before, meta.PrunedThrough))

	index := rapid.Uint64Range(0, v.Applied()).Draw(t, "look back to")
	if index < meta.PrunedThrough {
		var gone *kvs.PrunedError
		if err := v.ListAt("", "", index, func(*kvs.Version) bool { return true }); !errors.As(err, &gone) || gone.Oldest != meta.PrunedThrough {
			t.Fatalf("list at %d: %v, want that it is kept from %d", index, err, meta.PrunedThrough)
		}
		return
	}
	// A key whose versions were trimmed may be refused, and nothing else.
	was := maps.Clone(m.past[index])
	for _, key := range modelKeys {
		got, err := v.GetAt(key, index)
		if it := v.Item(key); it != nil && index < it.Floor {
			if err == nil {
				t.Fatalf("get %q at %d is %+v, below its floor %d", key, index, got, it.Floor)
			}
			return // a list is refused too
		}
		e, ok := was[key]
		if err != nil || ok != (got != nil) || ok && (string(got.Value) != e.value || got.Flags != e.flags || got.CreateIndex != e.create || got.ModifyIndex != e.modify) {
			t.Fatalf("get %q at %d is %+v (%v), want %+v", key, index, got, err, e)
		}
	}
	sameKeys(t, fmt.Sprint("at ", index), was, func(visit func(*kvs.Version) bool) error { return v.ListAt("", "", index, visit) })
}

func sameKeys(t *rapid.T, when string, want map[string]modelEntry, list func(func(*kvs.Version) bool) error) bool {
	var got []string
	err := list(func(c *kvs.Version) bool {
		got = append(got, fmt.Sprintf("%q=%q flags %d, %d/%d", c.Key, c.Value, c.Flags, c.CreateIndex, c.ModifyIndex))
		return true
	})
	var rows []string
	for _, key := range slices.Sorted(maps.Keys(want)) {
		e := want[key]
		rows = append(rows, fmt.Sprintf("%q=%q flags %d, %d/%d", key, e.value, e.flags, e.create, e.modify))
	}
	if err != nil || !slices.Equal(got, rows) {
		t.Errorf("%s the keys are\n%q (%v), want\n%q", when, got, err, rows)
		return false
	}
	return true
}

// checkPrefix holds the index of a prefix against every change there ever was.
func (m *model) checkPrefix(t *rapid.T, v *View, prefix string) {
	var last uint64
	for _, c := range m.changes {
		if strings.HasPrefix(c.key, prefix) {
			last = c.index
		}
	}
	floor := v.Meta().Floor
	if got := v.Span(prefix).Changed; got != max(last, floor) {
		t.Fatalf("%q last changed at %d, want %d", prefix, got, max(last, floor))
	}
	if index := v.Span(prefix).Index(v.View, prefix); index < last {
		t.Fatalf("index of %q is %d, and it changed at %d", prefix, index, last)
	}
	if last > 0 && !v.ChangedSince(prefix, last-1) {
		t.Fatalf("the change of %q at %d is not seen after %d", prefix, last, last-1)
	}
	if v.ChangedSince(prefix, max(last, floor)) {
		t.Fatalf("%q did not change after %d", prefix, max(last, floor))
	}
}

// checkLog compares the change log above an index with the changes there were. Older
// versions of a key may have been trimmed.
func (m *model) checkLog(t *rapid.T, v *View, after uint64) {
	var got []modelChange
	v.Changes(after, func(c *kvs.Version) bool {
		change := modelChange{key: c.Key, index: c.ModifyIndex, time: c.Time, reason: c.By.Value().Reason, deleted: c.Deleted()}
		if !c.Deleted() {
			change.entry = modelEntry{string(c.Value), c.Flags, c.CreateIndex, c.ModifyIndex}
		}
		got = append(got, change)
		return true
	})
	var want []modelChange
	for _, c := range m.changes {
		it := v.Item(c.key)
		if c.index > after && it != nil && c.index >= it.Floor {
			want = append(want, c)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("change log after %d\n%+v, want\n%+v", after, got, want)
	}
}

func (m *model) drawOp(t *rapid.T) kvs.Op {
	op := kvs.Op{
		Verb:    kvs.Verb(rapid.IntRange(int(kvs.Set), int(kvs.CheckNotExists)).Draw(t, "verb")),
		Key:     rapid.SampledFrom(modelKeys).Draw(t, "key"),
		Value:   []byte(rapid.SampledFrom([]string{"", "x", "y", "\x00\xff", strings.Repeat("z", 200)}).Draw(t, "value")),
		Flags:   rapid.SampledFrom([]uint64{0, 0, 0, 1, 1<<64 - 1}).Draw(t, "flags"),
		Session: rapid.SampledFrom([]string{"", "", "s"}).Draw(t, "session"),
	}
	if op.Verb == kvs.DeleteTree || op.Verb == kvs.GetTree {
		op.Key = rapid.SampledFrom(modelPrefixes).Draw(t, "prefix")
	}
	if e, ok := m.keys[op.Key]; ok && rapid.IntRange(0, 3).Draw(t, "right") > 0 {
		op.Index = e.modify
	} else {
		op.Index = rapid.Uint64Range(0, m.index+1).Draw(t, "index")
	}
	return op
}

// drawCommand draws any command that a server proposes. v is the state before it.
func (m *model) drawCommand(t *rapid.T, v *View) Command {
	c := Command{Origin: kvs.Origin{Reason: rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "reason")}}
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	default:
		op := m.drawOp(t)
		c.Write = &op
	case 4, 5, 6:
		c.Txn = make([]kvs.Op, rapid.IntRange(1, 5).Draw(t, "ops"))
		for i := range c.Txn {
			c.Txn[i] = m.drawOp(t)
		}
	case 7: // as the leader does
		plan, _ := v.PlanPrune(kvs.Retention{
			Before:    rapid.Int64Range(0, m.time).Draw(t, "before"),
			Protected: m.time,
			Versions:  rapid.IntRange(1, 4).Draw(t, "versions"),
			MaxBytes:  rapid.Int64Range(0, 4000).Draw(t, "bytes"),
			Tombs:     rapid.IntRange(0, 4).Draw(t, "tombs"),
			Records:   rapid.IntRange(1, 20).Draw(t, "records"),
		}, 0)
		c.Prune = &plan
	case 8: // as no leader does
		plan := kvs.Plan{Through: rapid.Uint64Range(0, m.index+2).Draw(t, "through")}
		for range rapid.IntRange(0, 3).Draw(t, "trims") {
			plan.Trims = append(plan.Trims, kvs.Trim{Key: rapid.SampledFrom(modelKeys).Draw(t, "trim"), Keep: rapid.IntRange(0, 3).Draw(t, "keep")})
		}
		for _, key := range modelKeys {
			if it := v.Item(key); it != nil && rapid.Bool().Draw(t, "forget") {
				plan.Forgets = append(plan.Forgets, kvs.Forget{Key: key, Index: it.Cur.ModifyIndex})
			}
		}
		c.Prune = &plan
	case 9:
		c.Restored = true
	}
	return c
}

// TestModel applies a random log one entry after the other and compares everything
// with the model. Two other servers get the same log: one in other batches, one that
// is saved and restored in between. At the end of each batch all have the same bytes.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		single, batched, restored := newMachine(t), newMachine(t), newMachine(t)
		var index uint64
		var waiting []*raft.Log // applied by single only
		sync := func() {
			batched.fsm.ApplyBatch(waiting)
			restored.fsm.ApplyBatch(waiting)
			waiting = nil
			want := plain(t, single.store)
			for _, other := range []*machine{batched, restored} {
				if !bytes.Equal(plain(t, other.store), want) {
					t.Fatalf("the same log gives other states: %q with %+v, want %q with %+v", content(other.store.View()),
						other.store.View().Meta(), content(single.store.View()), single.store.View().Meta())
				}
				if got, want := other.store.View().Meta(), single.store.View().Meta(); got != want {
					t.Fatalf("the same log gives other facts: %+v, want %+v", got, want)
				}
			}
			if rapid.Bool().Draw(t, "restore") {
				snapshot := plain(t, restored.store)
				if rapid.Bool().Draw(t, "compressed") {
					snapshot = compressed(t, restored.store)
				}
				if err := restored.restore(snapshot); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(plain(t, restored.store), want) {
					t.Fatal("restored it is another state")
				}
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			before := m.index
			index += rapid.Uint64Range(1, 2).Draw(t, "gap")
			second := rapid.Int64Range(0, 20).Draw(t, "second") + int64(index)
			c := m.drawCommand(t, single.store.View())
			e := entry(t, index, second, c)
			waiting = append(waiting, e)
			res, ok := single.fsm.Apply(e).(Result)
			if !ok || res.Index != index {
				t.Fatalf("command %+v has no result: %v", c, single.stops)
			}
			shown, refused := m.apply(index, second*1e9, c)
			if res.Applied != (refused == nil) {
				t.Fatalf("command %+v: applied = %v, want refusals of %v", c, res.Applied, refused)
			}
			if c.Txn != nil {
				var got []int
				for _, e := range res.Errors {
					got = append(got, e.OpIndex)
				}
				if !slices.Equal(got, refused) || !slices.Equal(showShown(res.Shown), shown) {
					t.Fatalf("transaction %+v showed\n%q, refused %v; want\n%q, %v", c, showShown(res.Shown), got, shown, refused)
				}
			}
			if single.store.Applied() != index {
				t.Fatalf("applied %d, want %d", single.store.Applied(), index)
			}
			m.check(t, single.store.View(), before)
			if rapid.IntRange(0, 4).Draw(t, "end of batch") == 0 {
				sync()
			}
		}
		sync()
	})
}
