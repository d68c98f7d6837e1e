package kvs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// modelKeys share prefixes, are prefixes of one another, and hold bytes that text
// would not.
var modelKeys = []string{"a", "a/", "a/b", "a/b/c", "a/bc", "ab", "b", "b\x00", "b\x00\x00", "\xff", "\xff\xfe"}

// modelPrefixes are what is listed: every prefix of a key, and others.
var modelPrefixes = func() []string {
	all := map[string]bool{"": true, "c": true, "a/b/c/d": true, "\x00": true, "\xff\xff": true}
	for _, key := range modelKeys {
		for n := range len(key) {
			all[key[:n]] = true
		}
		all[key] = true
	}
	return slices.Sorted(maps.Keys(all))
}()

// model is the key/value state as the contract and the package comment describe it,
// in the plainest form: every change ever made, and what of it is still kept.
type model struct {
	changes []*Version           // every change ever made, by index and key
	rows    map[string]*modelRow // of keys that exist or are remembered
	index   uint64               // of the last effective command
	through uint64               // pruned up to here
	floor   uint64               // deletions up to here may be forgotten
	spans   map[string]uint64    // highest index that was told for a prefix
	times   map[uint64]int64     // of commands
}

type modelRow struct {
	kept  []*Version // oldest first, the last one is current
	floor uint64     // see Item.Floor
}

func newModel() *model {
	return &model{rows: map[string]*modelRow{}, spans: map[string]uint64{}, times: map[uint64]int64{}}
}

// current returns what a key is now, nil when it does not exist.
func (m *model) current(key string) *Version {
	row := m.rows[key]
	if row == nil {
		return nil
	}
	return existing(row.kept[len(row.kept)-1])
}

// truth returns what a key was at an index, from the record of all changes.
func (m *model) truth(key string, index uint64) *Version {
	var is *Version
	for _, c := range m.changes {
		if c.Key == key && c.ModifyIndex <= index {
			is = existing(c)
		}
	}
	return is
}

// modelCommand is the state inside one command: what is visible, and what was changed.
type modelCommand struct {
	index   uint64
	visible map[string]*Version // keys that exist
	made    map[string]*Version // the last change of each key by this command
}

// perform does what the contract says of each verb and returns the refusal, empty if
// there is none.
func (c *modelCommand) perform(op Op) string {
	cur := c.visible[op.Key]
	stale := func(what string) string { return fmt.Sprintf("failed to %s key %q, index is stale", what, op.Key) }
	id := strings.ToLower(op.Session)
	switch op.Verb {
	case Set:
		c.write(op, KindSet, "", 0, true)
	case CAS:
		if cur == nil && op.Index != 0 || cur != nil && (op.Index == 0 || cur.ModifyIndex != op.Index) {
			return stale("set")
		}
		c.write(op, KindSet, "", 0, true)
	case Lock:
		switch {
		case id == "":
			return "missing session"
		case id != "s1" && id != "s2":
			return fmt.Sprintf("invalid session %q", op.Session)
		case cur != nil && cur.Session != "" && cur.Session != id:
			return fmt.Sprintf("failed to lock key %q, lock is already held", op.Key)
		case cur == nil:
			c.write(op, KindLock, id, 1, false)
		case cur.Session == id:
			c.write(op, KindLock, id, cur.LockIndex, false)
		default:
			c.write(op, KindLock, id, cur.LockIndex+1, false)
		}
	case Unlock:
		switch {
		case id == "":
			return "missing session"
		case cur == nil || cur.Session != id:
			return fmt.Sprintf("failed to unlock key %q, lock isn't held, or is held by another session", op.Key)
		}
		c.write(op, KindUnlock, "", cur.LockIndex, false)
	case Delete:
		c.remove(op.Key)
	case DeleteCAS:
		if cur != nil && cur.ModifyIndex != op.Index {
			return stale("delete")
		}
		c.remove(op.Key)
	case DeleteTree:
		for _, key := range slices.Sorted(maps.Keys(c.visible)) {
			if strings.HasPrefix(key, op.Key) {
				c.remove(key)
			}
		}
	case Get:
		if cur == nil {
			return fmt.Sprintf("key %q doesn't exist", op.Key)
		}
	case CheckIndex:
		switch {
		case cur == nil:
			return fmt.Sprintf("failed to check index, key %q doesn't exist", op.Key)
		case cur.ModifyIndex != op.Index:
			return fmt.Sprintf("failed index check for key %q, current modify index %d != %d", op.Key, cur.ModifyIndex, op.Index)
		}
	case CheckSession:
		switch {
		case cur == nil:
			return fmt.Sprintf("failed to check session, key %q doesn't exist", op.Key)
		case cur.Session != id:
			return fmt.Sprintf("failed session check for key %q, current session %q != %q", op.Key, cur.Session, op.Session)
		}
	case CheckNotExists:
		if cur != nil {
			return fmt.Sprintf("key %q exists", op.Key)
		}
	}
	return ""
}

// write makes a version, unless nothing but the index would change. A put keeps
// whatever lock there is.
func (c *modelCommand) write(op Op, kind Kind, session string, locks uint64, put bool) {
	next := &Version{
		Key: op.Key, Value: op.Value, Flags: op.Flags, Session: session, LockIndex: locks,
		CreateIndex: c.index, ModifyIndex: c.index, Kind: kind,
	}
	if cur := c.visible[op.Key]; cur != nil {
		next.CreateIndex = cur.CreateIndex
		if put {
			next.Session, next.LockIndex = cur.Session, cur.LockIndex
		}
		if string(cur.Value) == string(next.Value) && cur.Flags == next.Flags && cur.Session == next.Session && cur.LockIndex == next.LockIndex {
			return
		}
	}
	c.visible[op.Key], c.made[op.Key] = next, next
}

func (c *modelCommand) remove(key string) {
	if cur := c.visible[key]; cur != nil {
		delete(c.visible, key)
		c.made[key] = &Version{Key: key, CreateIndex: cur.CreateIndex, ModifyIndex: c.index, LockIndex: cur.LockIndex, Kind: KindDelete}
	}
}

// shows returns what an operation shows, in the form of shown; it is asked before
// the next operation.
func (c *modelCommand) shows(op Op) []string {
	cur := c.visible[op.Key]
	switch op.Verb {
	case Get:
		return []string{show(cur, true)}
	case GetOrEmpty:
		if cur == nil {
			cur = &Version{Key: op.Key, Flags: op.Flags}
		}
		return []string{show(cur, true)}
	case GetTree:
		var rows []string
		for _, key := range slices.Sorted(maps.Keys(c.visible)) {
			if strings.HasPrefix(key, op.Key) {
				rows = append(rows, show(c.visible[key], true))
			}
		}
		return rows
	case Delete, DeleteCAS, DeleteTree, CheckNotExists:
		return nil
	}
	return []string{show(cur, false)}
}

// command performs operations together and returns what they show and refuse.
func (m *model) command(index uint64, time int64, ops []Op) (shown, refused []string) {
	m.times[index] = time
	c := &modelCommand{index: index, visible: map[string]*Version{}, made: map[string]*Version{}}
	for key := range m.rows {
		if cur := m.current(key); cur != nil {
			c.visible[key] = cur
		}
	}
	for i, op := range ops {
		if why := c.perform(op); why != "" {
			refused = append(refused, fmt.Sprintf("%d: %s", i, why))
			continue
		}
		shown = append(shown, c.shows(op)...)
	}
	if refused != nil {
		return shown, refused
	}
	for _, key := range slices.Sorted(maps.Keys(c.made)) {
		version := c.made[key]
		version.Time = time
		m.changes = append(m.changes, version)
		if m.rows[key] == nil {
			m.rows[key] = &modelRow{}
		}
		m.rows[key].kept = append(m.rows[key].kept, version)
		m.index = index
	}
	return shown, nil
}

// prune drops what the comment of Tx.Prune says.
func (m *model) prune(through uint64, trims []Trim, forgets []Forget) {
	if through = min(through, m.index); through > m.through {
		for _, row := range m.rows {
			n := 0
			for n+1 < len(row.kept) && row.kept[n+1].ModifyIndex <= through {
				n++
			}
			// A superseded deletion with nothing before it says no more than absence.
			if old := row.kept[n]; n+1 < len(row.kept) && old.Deleted() && old.ModifyIndex > m.through && old.ModifyIndex <= through {
				n++
			}
			row.kept = row.kept[n:]
		}
		m.through = through
	}
	for _, t := range trims {
		if row := m.rows[t.Key]; row != nil && t.Keep >= 1 && len(row.kept) > t.Keep {
			row.kept = row.kept[len(row.kept)-t.Keep:]
			row.floor = row.kept[0].ModifyIndex
		}
	}
	for _, forget := range forgets {
		row := m.rows[forget.Key]
		if row == nil || len(row.kept) != 1 || !row.kept[0].Deleted() || row.kept[0].ModifyIndex != forget.Index || forget.Index > m.through {
			continue
		}
		delete(m.rows, forget.Key)
		m.floor = max(m.floor, forget.Index)
	}
}

// same compares versions; who made them is compared by its address only.
func same(a, b *Version) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Key == b.Key && string(a.Value) == string(b.Value) && a.Session == b.Session && a.Flags == b.Flags &&
		a.LockIndex == b.LockIndex && a.CreateIndex == b.CreateIndex && a.ModifyIndex == b.ModifyIndex &&
		a.Time == b.Time && a.Kind == b.Kind
}

// check compares everything that can be asked of a view with the model.
func (m *model) check(t *rapid.T, v View) {
	for _, fault := range metaFaults(v) {
		t.Error(fault)
	}
	meta := v.Meta()
	if meta.Index != m.index || meta.PrunedThrough != m.through || meta.Floor != m.floor || v.Index() != max(m.index, 1) {
		t.Errorf("meta %+v, index %d; want index %d, pruned through %d, floor %d", meta, v.Index(), m.index, m.through, m.floor)
	}
	for _, key := range modelKeys {
		m.checkKey(t, v, key)
	}
	for _, prefix := range modelPrefixes {
		m.checkPrefix(t, v, prefix)
	}
	m.checkLog(t, v)
	m.checkTimes(t, v)
	if t.Failed() {
		t.Fatalf("state:\n%s", dump(v))
	}
}

func (m *model) checkKey(t *rapid.T, v View, key string) {
	cur, changed := v.Get(key)
	wantChanged := m.floor
	var kept []*Version
	var floor uint64
	if row := m.rows[key]; row != nil {
		kept, floor = row.kept, row.floor
		wantChanged = kept[len(kept)-1].ModifyIndex
	}
	if !same(cur, m.current(key)) || changed != wantChanged {
		t.Errorf("get %q: %s changed at %d, want %s changed at %d", key, show(cur, true), changed, show(m.current(key), true), wantChanged)
	}
	history := v.History(key, 1000)
	slices.Reverse(history)
	if !slices.EqualFunc(history, kept, same) {
		t.Errorf("history of %q has %d versions, want %d", key, len(history), len(kept))
	}
	if n := len(v.History(key, 2)); n != min(2, len(kept)) {
		t.Errorf("the newest 2 versions of %q are %d, want %d", key, n, min(2, len(kept)))
	}
	for index := range m.index + 2 {
		got, err := v.GetAt(key, index)
		if oldest := m.oldest(floor, index); oldest > 0 {
			m.mustBePruned(t, fmt.Sprintf("get %q at %d", key, index), err, oldest)
		} else if err != nil || !same(got, m.truth(key, index)) {
			t.Errorf("get %q at %d: %s (%v), want %s", key, index, show(got, true), err, show(m.truth(key, index), true))
		}
	}
}

// oldest is the index that an answer about an index must name because that is no
// longer kept; 0 when it is.
func (m *model) oldest(floor, index uint64) uint64 {
	switch {
	case index < m.through:
		return m.through
	case index < floor:
		return floor
	}
	return 0
}

func (m *model) mustBePruned(t *rapid.T, what string, err error, oldest uint64) {
	var pruned *PrunedError
	if !errors.As(err, &pruned) || pruned.Oldest != oldest {
		t.Errorf("%s: error %v, want one that names %d as the oldest", what, err, oldest)
	}
}

func (m *model) checkPrefix(t *rapid.T, v View, prefix string) {
	var want []*Version
	wantSpan := Span{Changed: m.floor}
	keys := slices.Sorted(maps.Keys(m.rows))
	for _, key := range keys {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		kept := m.rows[key].kept
		wantSpan.Traced = true
		wantSpan.Changed = max(wantSpan.Changed, kept[len(kept)-1].ModifyIndex)
		if cur := m.current(key); cur != nil {
			want = append(want, cur)
		}
	}
	var got []*Version
	span := v.List(prefix, func(c *Version) { got = append(got, c) })
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("list %q has %d keys, want %d", prefix, len(got), len(want))
	}
	if span != wantSpan || v.Span(prefix) != wantSpan {
		t.Errorf("span of %q is %+v, want %+v", prefix, span, wantSpan)
	}
	index := span.Index(v, prefix)
	wantIndex := max(m.index, 1)
	if prefix != "" && wantSpan.Traced {
		wantIndex = max(wantSpan.Changed, 1)
	}
	if index != wantIndex {
		t.Errorf("index of %q is %d, want %d", prefix, index, wantIndex)
	}
	if index < m.spans[prefix] {
		t.Errorf("index of %q went back from %d to %d", prefix, m.spans[prefix], index)
	}
	m.spans[prefix] = index

	for _, after := range modelPrefixes {
		got = nil
		v.ListAfter(prefix, after, func(c *Version) bool { got = append(got, c); return len(got) < 3 })
		rest := slices.DeleteFunc(slices.Clone(want), func(c *Version) bool { return c.Key <= after })
		if !slices.EqualFunc(got, rest[:min(3, len(rest))], same) {
			t.Errorf("list %q after %q has %d keys, want 3 of %d", prefix, after, len(got), len(rest))
		}
	}
	for index := range m.index + 2 {
		m.checkListAt(t, v, prefix, index)
		m.checkChangedSince(t, v, prefix, index)
	}
}

func (m *model) checkListAt(t *rapid.T, v View, prefix string, index uint64) {
	var got, want []*Version
	err := v.ListAt(prefix, "", index, func(c *Version) bool { got = append(got, c); return true })
	if index < m.through {
		m.mustBePruned(t, fmt.Sprintf("list %q at %d", prefix, index), err, m.through)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m.rows)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if oldest := m.oldest(m.rows[key].floor, index); oldest > 0 {
			m.mustBePruned(t, fmt.Sprintf("list %q at %d", prefix, index), err, oldest)
			return
		}
		if was := m.truth(key, index); was != nil {
			want = append(want, was)
		}
	}
	if err != nil || !slices.EqualFunc(got, want, same) {
		t.Errorf("list %q at %d has %d keys (%v), want %d", prefix, index, len(got), err, len(want))
	}
}

// checkChangedSince: no change is missed, and none is claimed unless it may have been
// forgotten.
func (m *model) checkChangedSince(t *rapid.T, v View, prefix string, index uint64) {
	changed := slices.ContainsFunc(m.changes, func(c *Version) bool {
		return c.ModifyIndex > index && strings.HasPrefix(c.Key, prefix)
	})
	got := v.ChangedSince(prefix, index)
	if changed && !got {
		t.Errorf("a change under %q after %d was missed", prefix, index)
	}
	if got && !changed && m.floor <= index {
		t.Errorf("a change under %q after %d was made up", prefix, index)
	}
}

func (m *model) checkLog(t *rapid.T, v View) {
	var want []*Version
	for _, row := range m.rows {
		for _, kept := range row.kept {
			if kept.ModifyIndex > m.through {
				want = append(want, kept)
			}
		}
	}
	sort.Slice(want, func(i, j int) bool {
		a, b := want[i], want[j]
		return a.ModifyIndex < b.ModifyIndex || a.ModifyIndex == b.ModifyIndex && a.Key < b.Key
	})
	for after := m.through; after < m.index+2; after++ {
		var got []*Version
		v.Changes(after, func(c *Version) bool { got = append(got, c); return true })
		for len(want) > 0 && want[0].ModifyIndex <= after {
			want = want[1:]
		}
		if !slices.EqualFunc(got, want, same) {
			t.Errorf("change log after %d has %d changes, want %d", after, len(got), len(want))
		}
	}
}

// checkTimes asks for the index of every moment at which something was proposed, and
// between. The state at that index must be the state at that time; it may be refused
// only where it was pruned.
func (m *model) checkTimes(t *rapid.T, v View) {
	moments := []int64{0, 1}
	for _, time := range m.times {
		moments = append(moments, time-1, time, time+1)
	}
	lastPruned := uint64(0) // the last change that the pruned state holds
	for _, c := range m.changes {
		if c.ModifyIndex <= m.through {
			lastPruned = c.ModifyIndex
		}
	}
	for _, moment := range moments {
		var truth uint64
		for _, c := range m.changes {
			if c.Time <= moment {
				truth = c.ModifyIndex
			}
		}
		index, err := v.IndexAt(moment)
		if err != nil {
			m.mustBePruned(t, fmt.Sprintf("index at time %d", moment), err, m.through)
			if truth >= lastPruned {
				t.Errorf("index at time %d is refused (%v), but the state there is that of index %d, and it is kept", moment, err, truth)
			}
			continue
		}
		for _, key := range modelKeys {
			was, err := v.GetAt(key, index)
			if err == nil && !same(was, m.truth(key, truth)) {
				t.Errorf("at time %d, that is at index %d, %q is %s, want %s", moment, index, key, show(was, true), show(m.truth(key, truth), true))
			}
			if floor := m.rows[key]; err != nil && (floor == nil || floor.floor <= truth) {
				t.Errorf("at time %d, that is at index %d, %q is refused: %v", moment, index, key, err)
			}
		}
	}
}

// drawOp draws an operation that has a chance to matter.
func (m *model) drawOp(t *rapid.T) Op {
	op := Op{
		Verb:    Verb(rapid.IntRange(int(Set), int(CheckNotExists)).Draw(t, "verb")),
		Key:     rapid.SampledFrom(modelKeys).Draw(t, "key"),
		Value:   []byte(rapid.SampledFrom([]string{"", "x", "y", "\x00\xff"}).Draw(t, "value")),
		Flags:   rapid.SampledFrom([]uint64{0, 0, 0, 1, 1<<64 - 1}).Draw(t, "flags"),
		Session: rapid.SampledFrom([]string{"s1", "s1", "s2", "S2", "", "s3"}).Draw(t, "session"),
	}
	if op.Verb == DeleteTree || op.Verb == GetTree {
		op.Key = rapid.SampledFrom(modelPrefixes).Draw(t, "prefix")
	}
	switch cur := m.current(op.Key); {
	case cur != nil && rapid.IntRange(0, 3).Draw(t, "right") > 0:
		op.Index = cur.ModifyIndex
	default:
		op.Index = rapid.Uint64Range(0, m.index+1).Draw(t, "index")
	}
	return op
}

func (m *model) drawPrune(t *rapid.T) (through uint64, trims []Trim, forgets []Forget) {
	through = rapid.Uint64Range(0, m.index+2).Draw(t, "through")
	if rapid.Bool().Draw(t, "little") {
		through = min(through, m.through+2)
	}
	for range rapid.IntRange(0, 3).Draw(t, "trims") {
		trims = append(trims, Trim{rapid.SampledFrom(modelKeys).Draw(t, "trim"), rapid.IntRange(0, 3).Draw(t, "keep")})
	}
	for range rapid.IntRange(0, 4).Draw(t, "forgets") {
		f := Forget{Key: rapid.SampledFrom(modelKeys).Draw(t, "forget")}
		if row := m.rows[f.Key]; row != nil {
			f.Index = row.kept[len(row.kept)-1].ModifyIndex
		}
		if rapid.IntRange(0, 5).Draw(t, "wrong") == 0 {
			f.Index++
		}
		forgets = append(forgets, f)
	}
	return through, trims, forgets
}

// TestModel performs random commands in random batches and compares everything that
// can be asked with the model, after each batch. Now and then the state is carried
// over to another database.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, f := newModel(), newFixture(t)
		time := int64(1000)
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			tx := Begin(f.view())
			for range rapid.IntRange(1, 4).Draw(t, "commands") {
				f.index += rapid.Uint64Range(1, 3).Draw(t, "gap")
				time += rapid.Int64Range(0, 3).Draw(t, "seconds") * 10
				tx.Command(f.index, time, Nobody)
				if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
					through, trims, forgets := m.drawPrune(t)
					m.prune(through, trims, forgets)
					tx.Prune(through, trims, forgets)
					tx.Accept()
					continue
				}
				ops := make([]Op, rapid.IntRange(1, 5).Draw(t, "ops"))
				var outcomes []Outcome
				for i := range ops {
					ops[i] = m.drawOp(t)
				}
				accept := true
				for _, op := range ops {
					out := tx.Do(op, twoSessions)
					accept = accept && out.Applied
					outcomes = append(outcomes, out)
				}
				if accept {
					tx.Accept()
				} else {
					tx.Reject()
				}
				wantShown, wantRefused := m.command(f.index, time, ops)
				if got, want := refusals(outcomes), strings.Join(wantRefused, "; "); got != want {
					t.Fatalf("command %d, %+v, refused\n%s, want\n%s", f.index, ops, got, want)
				}
				if got, want := shown(outcomes), strings.Join(wantShown, "; "); got != want {
					t.Fatalf("command %d, %+v, showed\n%s, want\n%s", f.index, ops, got, want)
				}
			}
			f.flush(tx)
			m.check(t, f.view())
			if rapid.IntRange(0, 3).Draw(t, "carry over") == 0 {
				was := dump(f.view())
				f.db = copyOf(t, f.view())
				if now := dump(f.view()); now != was {
					t.Fatalf("after export and import the state is\n%s, want\n%s", now, was)
				}
			}
		}
	})
}
