package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/kvs"
)

func TestResults(t *testing.T) {
	type result struct {
		applied bool
		invalid string
		shown   string
		errors  []TxnError
	}
	for _, tc := range []struct {
		rule    string
		command Command
		want    result
		after   string
	}{
		{
			"a write that applies", write(set("k", "b")),
			result{applied: true},
			"k=b@2",
		},
		{
			"a write that changes nothing applies all the same", write(set("k", "a")),
			result{applied: true},
			"k=a@1",
		},
		{
			"a lost check-and-set", write(kvs.Op{Verb: kvs.CAS, Key: "k", Value: []byte("b"), Index: 9}),
			result{},
			"k=a@1",
		},
		{
			"a delete of something that is not there", write(del("none")),
			result{applied: true},
			"k=a@1",
		},
		{
			"a lock without a session that lives", write(kvs.Op{Verb: kvs.Lock, Key: "k", Session: "s"}),
			result{invalid: `invalid session "s"`},
			"k=a@1",
		},
		{
			"a lock without a session", write(kvs.Op{Verb: kvs.Lock, Key: "k"}),
			result{invalid: "missing session"},
			"k=a@1",
		},
		{
			"an unlock by nobody", write(kvs.Op{Verb: kvs.Unlock, Key: "k", Session: "s"}),
			result{},
			"k=a@1",
		},
		{
			"a transaction", txn(set("t", "1"), get("t"), del("k"), kvs.Op{Verb: kvs.GetTree}),
			result{applied: true, shown: "t@2 t=1@2 t=1@2"},
			"t=1@2",
		},
		{
			"an empty transaction",
			Command{Txn: []kvs.Op{}},
			result{applied: true},
			"k=a@1",
		},
		{
			"a transaction that is refused shows nothing and names every refusal", txn(
				set("t", "1"), get("none"), get("t"), kvs.Op{Verb: kvs.CheckNotExists, Key: "k"}, kvs.Op{Verb: kvs.Lock, Key: "t", Session: "s"}),
			result{errors: []TxnError{{1, `key "none" doesn't exist`}, {3, `key "k" exists`}, {4, `invalid session "s"`}}},
			"k=a@1",
		},
		{
			"a prune", prune(kvs.Plan{Through: 1}),
			result{applied: true},
			"k=a@1",
		},
		{
			"a mark of a restore",
			Command{Restored: true},
			result{applied: true},
			"k=a@1",
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			m := newMachine(t)
			m.do(write(set("k", "a")))
			res := m.do(tc.command)
			var rows []string
			for _, s := range res.Shown {
				if s.Value {
					rows = append(rows, fmt.Sprintf("%s=%s@%d", s.Entry.Key, s.Entry.Value, s.Entry.ModifyIndex))
				} else {
					rows = append(rows, fmt.Sprintf("%s@%d", s.Entry.Key, s.Entry.ModifyIndex))
				}
			}
			got := result{res.Applied, res.Invalid, strings.Join(rows, " "), res.Errors}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("result %+v, want %+v", got, tc.want)
			}
			if res.Index != 2 || m.store.Applied() != 2 || m.store.View().Applied() != 2 {
				t.Errorf("index of the result is %d, of the store %d, want 2", res.Index, m.store.Applied())
			}
			if got := content(m.store.View()); got != tc.after {
				t.Errorf("after it the store holds %q, want %q", got, tc.after)
			}
			if len(m.stops) > 0 {
				t.Errorf("stopped: %v", m.stops)
			}
		})
	}
}

func TestCommandsOfABatchSeeEachOther(t *testing.T) {
	m := newMachine(t)
	answers := m.batch(
		write(kvs.Op{Verb: kvs.CAS, Key: "k", Value: []byte("1")}),
		write(kvs.Op{Verb: kvs.CAS, Key: "k", Value: []byte("2"), Index: 1}),
		txn(set("k", "x"), set("l", "x"), get("none")),
		write(kvs.Op{Verb: kvs.CAS, Key: "k", Value: []byte("3"), Index: 2}),
		txn(kvs.Op{Verb: kvs.CheckNotExists, Key: "l"}, get("k")),
		write(kvs.Op{Verb: kvs.CAS, Key: "k", Value: []byte("4"), Index: 2}))
	var applied []bool
	for _, a := range answers {
		applied = append(applied, a.(Result).Applied)
	}
	if want := []bool{true, true, false, true, true, false}; !slices.Equal(applied, want) {
		t.Errorf("applied %v, want %v", applied, want)
	}
	if got, want := content(m.store.View()), "k=3@4"; got != want {
		t.Errorf("the store holds %q, want %q", got, want)
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	m := newMachine(t)
	apply := func(index uint64, second int64) {
		t.Helper()
		m.fsm.Apply(entry(t, index, second, write(set("k", fmt.Sprint(index)))))
	}
	apply(1, 10)
	apply(2, 5)  // a leader whose clock is behind
	apply(3, -1) // or one that is off
	apply(4, 11)
	var times []int64
	for _, v := range m.store.View().History("k", 9) {
		times = append(times, v.Time/1e9)
	}
	if want := []int64{11, 10, 10, 10}; !slices.Equal(times, want) {
		t.Errorf("the versions, newest first, have the times %v, want %v", times, want)
	}
	// A restored state knows how far time had come, also by commands that left no version.
	m.fsm.Apply(entry(t, 5, 20, write(del("none"))))
	other := newMachine(t)
	if err := other.restore(plain(t, m.store)); err != nil {
		t.Fatal(err)
	}
	other.fsm.Apply(entry(t, 6, 12, write(set("k", "6"))))
	if got := other.store.View().History("k", 1)[0].Time; got != 20e9 {
		t.Errorf("after a restore the time went back to %d", got)
	}
}

func TestHistorySaysWhoAndWhy(t *testing.T) {
	m := newMachine(t)
	by := kvs.Origin{Accessor: "acc", Address: "10.1.2.3", Reason: "because"}
	m.do(Command{Origin: by, Write: &kvs.Op{Verb: kvs.Set, Key: "k"}})
	m.do(Command{Origin: kvs.Origin{Reason: "gone"}, Txn: []kvs.Op{del("k")}})
	h := m.store.View().History("k", 9)
	if len(h) != 2 || h[1].By.Value() != by || h[0].By.Value() != (kvs.Origin{Reason: "gone"}) {
		t.Errorf("history is %+v", h)
	}
}

func TestRestoredMarksItsIndex(t *testing.T) {
	m := newMachine(t)
	m.do(write(set("k", "a")))
	if got := m.store.View().RestoredAt(); got != 0 {
		t.Errorf("restored at %d before there was a restore", got)
	}
	m.do(Command{Restored: true})
	m.do(write(set("k", "b")))
	if got := m.store.View().RestoredAt(); got != 2 {
		t.Errorf("restored at %d, want 2", got)
	}
	other := newMachine(t)
	if err := other.restore(plain(t, m.store)); err != nil {
		t.Fatal(err)
	}
	if got := other.store.View().RestoredAt(); got != 2 {
		t.Errorf("carried over it is restored at %d, want 2", got)
	}
}

func TestSkippableCommandIsSkipped(t *testing.T) {
	m := newMachine(t)
	m.do(write(set("k", "a")))
	m.index++
	answers := m.fsm.ApplyBatch([]*raft.Log{
		{Index: 2, Type: raft.LogCommand, Data: future(t, true)},
		entry(t, 3, 3, write(set("k", "b"))),
	})
	if len(m.stops) > 0 {
		t.Fatalf("stopped: %v", m.stops)
	}
	if res, ok := answers[0].(Result); !ok || res.Applied || res.Index != 2 {
		t.Errorf("answer %+v, want one that says it was not applied", answers[0])
	}
	if got, want := content(m.store.View()), "k=b@3"; got != want {
		t.Errorf("the store holds %q, want %q", got, want)
	}
	m.fsm.Apply(&raft.Log{Index: 4, Type: raft.LogCommand, Data: future(t, true)})
	if m.store.Applied() != 4 {
		t.Errorf("applied %d after a skipped command alone, want 4", m.store.Applied())
	}
}

func TestEntriesThatAreNoCommandsPassBy(t *testing.T) {
	m := newMachine(t)
	answers := m.fsm.ApplyBatch([]*raft.Log{
		{Index: 1, Type: raft.LogNoop},
		{Index: 2, Type: raft.LogConfiguration, Data: []byte{0xff}},
		entry(t, 3, 3, write(set("k", "a"))),
		{Index: 4, Type: raft.LogBarrier},
	})
	if answers[0] != nil || answers[1] != nil || answers[3] != nil || len(m.stops) > 0 {
		t.Errorf("answers %v, stopped %v; want an answer to the command only", answers, m.stops)
	}
	if got := content(m.store.View()); got != "k=a@3" || m.store.Applied() != 3 {
		t.Errorf("the store holds %q at %d, want k=a@3 at 3", got, m.store.Applied())
	}
	if got := m.fsm.ApplyBatch(nil); len(got) != 0 {
		t.Errorf("no entry has the answers %v", got)
	}
}

// TestServerStopsAtWhatItCannotApply: nothing from that entry on is applied, in this
// batch or later, no snapshot without it is made, and no state replaces this one.
func TestServerStopsAtWhatItCannotApply(t *testing.T) {
	for what, tc := range unreadable(t) {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t)
			m.do(write(set("k", "a")))
			before := compressed(t, m.store)

			m.index = 4
			answers := m.fsm.ApplyBatch([]*raft.Log{
				entry(t, 2, 2, write(set("k", "b"))),
				{Index: 3, Type: raft.LogCommand, Data: tc.data},
				entry(t, 4, 4, write(set("k", "c"))),
			})
			if len(m.stops) != 1 || errors.Is(m.stops[0], ErrUnknownCommand) != tc.unknown || !strings.Contains(m.stops[0].Error(), "log entry 3") {
				t.Fatalf("stopped with %v, want once, with the index of the entry", m.stops)
			}
			if res, ok := answers[0].(Result); !ok || !res.Applied {
				t.Errorf("the entry before it has the answer %v", answers[0])
			}
			if answers[1] != m.stops[0] || answers[2] != m.stops[0] {
				t.Errorf("answers %v, want the error for the entry and what follows it", answers[1:])
			}
			check := func(when string) {
				t.Helper()
				v := m.store.View()
				if got := content(v); got != "k=b@2" || v.Applied() != 2 || m.store.Applied() != 2 {
					t.Errorf("%s the state is %q at %d (%d), want k=b@2 at 2", when, got, v.Applied(), m.store.Applied())
				}
			}
			check("after the batch")
			if a := m.fsm.Apply(entry(t, 5, 5, write(set("k", "d")))); a != m.stops[0] {
				t.Errorf("a later entry has the answer %v, want the error", a)
			}
			m.fsm.Apply(&raft.Log{Index: 6, Type: raft.LogCommand, Data: tc.data})
			check("after later entries")
			if _, err := m.fsm.Snapshot(); err != m.stops[0] {
				t.Errorf("a snapshot was made: %v", err)
			}
			if err := m.restore(before); err != m.stops[0] {
				t.Errorf("a restore was accepted: %v", err)
			}
			check("after a restore")
			if len(m.stops) != 1 {
				t.Errorf("onStop was called %d times", len(m.stops))
			}
		})
	}
}

func TestSinceSnapshotCountsWhatMustBeReadAgain(t *testing.T) {
	m := newMachine(t)
	e := entry(t, 1, 1, write(set("k", "a")))
	m.fsm.Apply(e)
	m.fsm.ApplyBatch([]*raft.Log{entry(t, 2, 1, write(set("k", "b"))), entry(t, 3, 1, write(set("k", "c")))})
	if got, want := m.fsm.SinceSnapshot(), int64(3*len(e.Data)); got != want {
		t.Errorf("%d bytes since the last snapshot, want %d", got, want)
	}
	if _, err := m.fsm.Snapshot(); err != nil {
		t.Fatal(err)
	}
	if got := m.fsm.SinceSnapshot(); got != 0 {
		t.Errorf("%d bytes since a snapshot just made", got)
	}
}

func TestReadTxnReadsTheView(t *testing.T) {
	m := newMachine(t)
	m.do(txn(set("a/1", "x"), set("a/2", "y")))
	v := m.store.View()
	m.do(write(set("a/1", "later")))
	shown, refused := v.ReadTxn([]kvs.Op{get("a/1"), {Verb: kvs.GetTree, Key: "a/"}, {Verb: kvs.GetOrEmpty, Key: "b"}, {Verb: kvs.CheckNotExists, Key: "b"}})
	if refused != nil || len(shown) != 4 || string(shown[0].Entry.Value) != "x" || string(shown[1].Entry.Value) != "x" {
		t.Errorf("shown %+v, refused %v", shown, refused)
	}
	shown, refused = v.ReadTxn([]kvs.Op{get("a/1"), get("b"), {Verb: kvs.CheckIndex, Key: "a/2", Index: 9}})
	if shown != nil || len(refused) != 2 || refused[0].OpIndex != 1 || refused[1].OpIndex != 2 {
		t.Errorf("shown %+v, refused %v; want nothing, and the two last", shown, refused)
	}
}

// TestRestoreIsNewsToEverybody: once the log says that an archive was restored, every
// waiter looks again, for the index it waits on may be from before.
func TestRestoreIsNewsToEverybody(t *testing.T) {
	m := newMachine(t)
	m.do(write(set("k", "a")))
	w := m.store.Hub().WatchKey("other")
	defer w.Stop()
	m.batch(Command{Restored: true})
	select {
	case <-w.Reset:
	default:
		t.Error("the waiter was not told")
	}
}

func TestWatchersAreToldAfterTheirChangeCanBeRead(t *testing.T) {
	m := newMachine(t)
	m.do(write(set("k", "a")))
	hub := m.store.Hub()
	changed, other, prefix := hub.WatchKey("k"), hub.WatchKey("other"), hub.WatchPrefix("")
	m.batch(write(set("k", "a")), txn(set("other", "x"), get("none")), prune(kvs.Plan{Through: 1}), write(del("none")))
	for what, w := range map[string]kvs.Watch{"k": changed, "other": other, "everything": prefix} {
		select {
		case <-w.C:
			t.Errorf("the waiter of %s was woken, and no key has changed", what)
		default:
		}
	}
	m.batch(write(set("k", "b")), write(set("k", "c")))
	for what, w := range map[string]kvs.Watch{"k": changed, "everything": prefix} {
		select {
		case <-w.C:
		default:
			t.Errorf("the waiter of %s was not woken", what)
		}
	}
	select {
	case <-other.C:
		t.Error("the waiter of other was woken")
	case <-changed.Reset:
		t.Error("a change looks like a restore")
	default:
	}
	for _, w := range []kvs.Watch{changed, other, prefix} {
		w.Stop()
	}
	if hub.Len() != 0 {
		t.Errorf("%d things are waited for", hub.Len())
	}
}

// tellings counts how often the hub calls, and for how many keys.
type tellings struct{ calls, keys int }

func (n *tellings) Woken(crowds []*kvs.Crowd, _ kvs.Cause) {
	n.calls++
	n.keys += len(crowds)
}

// TestWatchersAreToldOncePerBatch: whoever waits is woken by a batch, not by each of its commands.
func TestWatchersAreToldOncePerBatch(t *testing.T) {
	const size = 64
	m := newMachine(t)
	told := &tellings{}
	waiters, puts := make([]kvs.Waiter, size), make([]Command, size)
	for i := range size {
		key := fmt.Sprintf("k/%d", i)
		m.store.Hub().JoinKey(key, &waiters[i], told)
		puts[i] = write(set(key, "v"))
	}
	m.batch(puts...)
	if want := (tellings{calls: 1, keys: size}); *told != want {
		t.Errorf("the hub told of %d keys in %d calls, want %d in %d", told.keys, told.calls, want.keys, want.calls)
	}
}

// TestTwoPrunesInOneBatch: what an earlier command of the batch has pruned does not count for a later
// one, as it would not where they come in two batches.
func TestTwoPrunesInOneBatch(t *testing.T) {
	commands := []Command{
		write(set("a", "1")),
		write(set("b", "1")),
		write(set("a", "2")),
		prune(kvs.Plan{Through: 3}),
		write(set("a", "3")),
		write(set("a", "4")),
		prune(kvs.Plan{Trims: []kvs.Trim{{Key: "a", Keep: 1}}}),
		prune(kvs.Plan{Through: 4}),
	}
	single, batched := newMachine(t), newMachine(t)
	for _, c := range commands {
		single.do(c)
	}
	batched.batch(commands...)
	want, got := single.store.View().Meta(), batched.store.View().Meta()
	if want.PrunedTime != 3e9 || got != want || !bytes.Equal(plain(t, batched.store), plain(t, single.store)) {
		t.Errorf("in one batch it is %+v, one by one %+v", got, want)
	}
}
