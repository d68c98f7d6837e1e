package fsm

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// mixed is a log with about everything in it that changes rows.
func mixed() []Command {
	owner := "5f0c7a1e-0000-4000-8000-000000000001"
	return []Command{
		{Register: &catalog.Registration{Node: catalog.Node{Name: "n1", Address: "127.0.0.1"}}},
		{Session: &session.Session{ID: owner, Node: "n1", LockDelay: time.Second}},
		write(set("a", "1")),
		write(set("a", "2")),
		write(kvs.Op{Verb: kvs.CAS, Key: "a", Value: []byte("3"), Index: 1}), // refused
		{Write: &kvs.Op{Verb: kvs.Set, Key: "own"}, Ties: Ties{Owner: owner, TTL: time.Hour}},
		{Write: &kvs.Op{Verb: kvs.Set, Key: "queue/"}, Ties: Ties{Sequential: true}},
		write(kvs.Op{Verb: kvs.Lock, Key: "lock", Session: owner}),
		txn(set("b/1", "x"), set("b/2", "y"), del("a")),
		txn(set("b/3", "x"), kvs.Op{Verb: kvs.CheckIndex, Key: "b/1", Index: 1}), // refused
		{Write: &kvs.Op{Verb: kvs.Set, Key: "own"}, Ties: Ties{Touch: true}},
		{EndSession: &EndSession{IDs: []string{owner}}},
		write(kvs.Op{Verb: kvs.DeleteTree, Key: "b/"}),
		prune(kvs.Plan{Through: 9}),
		change(acl.Change{Init: &acl.Init{Key: theKey}}),
		change(acl.Change{SetPolicy: &acl.Policy{ID: "p", Name: "p", Rules: `key "z" { policy = "write" }`}}),
		change(acl.Change{SetToken: &acl.SetToken{Create: true, Token: &acl.Token{Accessor: "t", Hash: "h", Links: acl.Links{Policies: []string{"p"}}}}}),
		with(write(set("z", "1")), &acl.Checked{Accessor: "t"}),
		with(write(set("y", "1")), &acl.Checked{Accessor: "t"}), // refused
		change(acl.Change{DeletePolicy: "p"}),
		write(set("z", "1")),
	}
}

// TestHashDependsOnTheLogAlone applies one log in batches of every size.
func TestHashDependsOnTheLogAlone(t *testing.T) {
	one := newMachine(t)
	for _, c := range mixed() {
		one.batch(c)
	}
	if h := one.store.Hash(); h.Index != uint64(len(mixed())) || h.Sum == 0 || h.Since != 0 {
		t.Fatalf("hash is %+v", h)
	}
	for size := 2; size <= len(mixed()); size++ {
		m := newMachine(t)
		for rest := mixed(); len(rest) > 0; {
			n := min(size, len(rest))
			m.batch(rest[:n]...)
			rest = rest[n:]
		}
		if got, want := m.store.Hash(), one.store.Hash(); got != want {
			t.Errorf("in batches of %d: %+v, one by one %+v", size, got, want)
		}
	}
}

// TestHashTellsOtherCommandsApart leaves out, doubles or changes one command of a log.
func TestHashTellsOtherCommandsApart(t *testing.T) {
	seen := map[Hash]string{}
	add := func(what string, log []Command) {
		m := newMachine(t)
		m.batch(log...)
		m.index = 100 // from here on all have the same
		m.batch(write(set("end", "1")))
		h := m.store.Hash()
		if other, ok := seen[h]; ok {
			t.Errorf("%s: the same hash as %s", what, other)
		}
		seen[h] = what
	}
	add("the log", mixed())
	for i := range mixed() {
		log := mixed()
		add(fmt.Sprint("without ", i), append(log[:i:i], log[i+1:]...))
	}
	for i := range len(mixed()) - 1 {
		log := mixed()
		log[i], log[i+1] = log[i+1], log[i]
		add(fmt.Sprint("swapped ", i), log)
	}
}

// TestHashTellsOtherStatesApart gives two servers the same command to apply to
// states that are not the same.
func TestHashTellsOtherStatesApart(t *testing.T) {
	other := func(change func(*kvs.Version)) func(*kvs.Item) *kvs.Item {
		return func(it *kvs.Item) *kvs.Item {
			row, cur := *it, *it.Cur
			change(&cur)
			row.Cur = &cur
			return &row
		}
	}
	for _, tc := range []struct {
		rule   string
		change func(*kvs.Item) *kvs.Item // of the row of "lock"
		then   Command
	}{
		{"created at another index", other(func(v *kvs.Version) { v.CreateIndex-- }), write(set("lock", "2"))},
		{"acquired more often", other(func(v *kvs.Version) { v.LockIndex++ }), write(set("lock", "2"))},
		{"held by another", other(func(v *kvs.Version) { v.Session = "" }), write(set("lock", "2"))},
		{"with other flags", other(func(v *kvs.Version) { v.Flags++ }), Command{EndSession: &EndSession{IDs: []string{"5f0c7a1e-0000-4000-8000-000000000001"}}}},
		{"with a longer value", other(func(v *kvs.Version) { v.Value = []byte("x") }), Command{EndSession: &EndSession{IDs: []string{"5f0c7a1e-0000-4000-8000-000000000001"}}}},
		{"modified at another index: a check-and-set is refused", other(func(v *kvs.Version) { v.ModifyIndex-- }), write(kvs.Op{Verb: kvs.CAS, Key: "lock", Index: 3})},
		{"deleted: a deletion has nothing to do", other(func(v *kvs.Version) { v.Kind = kvs.KindDelete }), write(del("lock"))},
		{"without its history", func(it *kvs.Item) *kvs.Item { row := *it; row.Floor = 1; return &row }, write(set("lock", "2"))},
		{"owned by a session", func(it *kvs.Item) *kvs.Item {
			row := *it
			row.Extra = kvs.Extra{Owner: "x", Fence: 3}.Packed()
			return &row
		}, write(set("lock", "2"))},
		{"with another fence", func(it *kvs.Item) *kvs.Item { row := *it; row.Extra = kvs.Extra{Fence: 2}.Packed(); return &row }, write(set("lock", "2"))},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			machines := [2]*machine{newMachine(t), newMachine(t)}
			id := "5f0c7a1e-0000-4000-8000-000000000001"
			for _, m := range machines {
				m.batch(Command{Register: &catalog.Registration{Node: catalog.Node{Name: "n1", Address: "127.0.0.1"}}},
					Command{Session: &session.Session{ID: id, Node: "n1"}}, write(kvs.Op{Verb: kvs.Lock, Key: "lock", Session: id}))
			}
			view := machines[0].store.View()
			txn := view.db.Txn(true)
			im := kvs.NewImport(txn, view.Meta())
			if err := view.Export(func(it *kvs.Item) error {
				if it.Key == "lock" {
					it = tc.change(it)
				}
				return im.Add(it)
			}); err != nil {
				t.Fatal(err)
			}
			im.Finish()
			txn.Commit()
			machines[0].store.publish(view.db, view.state, view.Generation, false)
			for i, h := range [2]Hash{machines[0].store.Hash(), machines[1].store.Hash()} {
				if h.Index != 3 {
					t.Fatalf("machine %d is at %d, want 3", i, h.Index)
				}
			}
			for _, m := range machines {
				m.batch(tc.then)
			}
			equal, comparable := machines[0].store.Hash().Compare(machines[1].store.Hash())
			if !comparable || equal {
				t.Errorf("equal %v, comparable %v; want a difference", equal, comparable)
			}
		})
	}
}

func TestHashGoesOnAfterARestore(t *testing.T) {
	whole, first := newMachine(t), newMachine(t)
	whole.batch(mixed()...)
	first.batch(mixed()[:6]...)
	for form, bytesOf := range map[string]func(tb, *Store) []byte{"plain": plain, "zstd": compressed} {
		second := newMachine(t)
		second.batch(write(set("of another state", "1")))
		if err := second.fsm.Restore(io.NopCloser(bytes.NewReader(bytesOf(t, first.store)))); err != nil {
			t.Fatal(err)
		}
		if got, want := second.store.Hash(), first.store.Hash(); got != want {
			t.Errorf("%s: %+v after the restore, want %+v", form, got, want)
		}
		second.index = 6
		second.batch(mixed()[6:]...)
		if got, want := second.store.Hash(), whole.store.Hash(); got != want {
			t.Errorf("%s: %+v in the end, want %+v", form, got, want)
		}
	}
}

// TestHashOfASnapshotWithout begins anew where a chain can't be continued, says so, and
// is comparable again after the next beginning.
func TestHashOfASnapshotWithout(t *testing.T) {
	old, now := newMachine(t), newMachine(t)
	old.batch(mixed()[:6]...)
	now.batch(mixed()[:6]...)
	view := old.store.View()
	st := view.state
	st.Chain = chainFromSnapshot(&fsmpb.SnapshotHeader{Index: st.Index})
	old.store.publish(view.db, st, view.Generation, false)
	for _, m := range []*machine{old, now} {
		m.batch(mixed()[6:]...)
	}
	if _, comparable := old.store.Hash().Compare(now.store.Hash()); comparable {
		t.Error("a chain that began later is compared")
	}
	for _, m := range []*machine{old, now} {
		m.index = epochLength + 5
		m.batch(write(set("z", "2")), write(set("y", "1")))
	}
	equal, comparable := old.store.Hash().Compare(now.store.Hash())
	if !comparable || !equal {
		t.Errorf("after the next beginning: equal %v, comparable %v, want both; %+v %+v", equal, comparable, old.store.Hash(), now.store.Hash())
	}
}

func TestHashesOfOtherRulesAreNotCompared(t *testing.T) {
	h := Hash{Index: 5, Rules: 1, Sum: 7}
	for _, other := range []Hash{{Index: 6, Rules: 1, Sum: 7}, {Index: 5, Since: 1, Rules: 1, Sum: 7}, {Index: 5, Rules: 2, Sum: 7}} {
		if equal, comparable := h.Compare(other); equal || comparable {
			t.Errorf("%+v and %+v: equal %v, comparable %v", h, other, equal, comparable)
		}
	}
}

// TestHashMarks compares the marks of two servers whose batches are cut differently,
// and of which one is behind.
func TestHashMarks(t *testing.T) {
	far, near := newMachine(t), newMachine(t)
	apply := func(m *machine, until uint64, size int) {
		for m.index < until {
			batch := make([]Command, 0, size)
			for range min(size, int(until-m.index)) {
				batch = append(batch, write(set(fmt.Sprint("k", (m.index+uint64(len(batch)))%7), "1")))
			}
			m.batch(batch...)
		}
	}
	if got := near.store.HashMarks(); len(got) != 0 {
		t.Fatalf("an empty store has the marks %v", got)
	}
	apply(far, 5*markEvery+3, 700)
	apply(near, 2*markEvery+1, 1)
	marks := near.store.HashMarks()
	if len(marks) != 2 || marks[0].Index != markEvery || marks[1].Index != 2*markEvery {
		t.Fatalf("marks of the near one: %+v", marks)
	}
	for _, mark := range marks {
		other, ok := far.store.HashAt(mark.Index)
		if equal, comparable := mark.Compare(other); !ok || !comparable || !equal {
			t.Errorf("%+v and %+v: equal %v, comparable %v", mark, other, equal, comparable)
		}
	}
	if h, ok := far.store.HashAt(5*markEvery + 3); !ok || h != far.store.Hash() {
		t.Errorf("the hash at the last command is %+v, %v", h, ok)
	}
	for _, index := range []uint64{0, markEvery + 1, 6 * markEvery} {
		if h, ok := far.store.HashAt(index); ok {
			t.Errorf("there is a hash at %d: %+v", index, h)
		}
	}
	// A gap in the log, as of entries that are no commands, passes a mark as well.
	far.index = (marksKept + 10) * markEvery
	far.batch(write(set("x", "1")))
	apply(far, far.index+2*markEvery, 64)
	all := far.store.HashMarks()
	if len(all) == 0 || len(all) > marksKept {
		t.Fatalf("%d marks", len(all))
	}
	for i := 1; i < len(all); i++ {
		if all[i].Index <= all[i-1].Index {
			t.Fatalf("marks are not in order: %d after %d", all[i].Index, all[i-1].Index)
		}
	}
	if last := all[len(all)-1].Index; last != far.index/markEvery*markEvery {
		t.Errorf("the last mark is %d, the last command %d", last, far.index)
	}
	if err := far.fsm.Restore(io.NopCloser(bytes.NewReader(plain(t, near.store)))); err != nil {
		t.Fatal(err)
	}
	if got := far.store.HashMarks(); len(got) != 0 {
		t.Errorf("after a restore there are marks of the state before: %v", got)
	}
}

// BenchmarkHash is what the rolling hash adds to the apply of a put of 1 KiB.
func BenchmarkHash(b *testing.B) {
	m := newMachine(b)
	m.batch(write(set("app/0000001", "1")))
	e := entry(b, 2, 2, write(set("app/0000001", fmt.Sprintf("%01024d", 1))))
	p, err := new(reader).parse(e.Data)
	if err != nil {
		b.Fatal(err)
	}
	batch := m.store.begin()
	if _, err := batch.apply(2, e.Data); err != nil {
		b.Fatal(err)
	}
	res := Result{Applied: true}
	before := batch.base.state
	b.ReportAllocs()
	for b.Loop() {
		batch.link(before, 2, e.Data, batch.outcome(p, &res, 0))
	}
}
