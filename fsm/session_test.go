package fsm

import (
	"bytes"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/session"
)

// due returns the times of the sessions in the state, in whole seconds.
func (m *machine) due(ids ...string) []int64 {
	m.t.Helper()
	view, _ := m.store.View().Sessions()
	var all []int64
	for _, id := range ids {
		all = append(all, view.Get(id).Due/1e9)
	}
	return all
}

func TestTheTimeOfSessionsIsInTheState(t *testing.T) {
	m := newMachine(t)
	at := func(second int64, c Command) {
		t.Helper()
		m.index++
		if res, ok := m.fsm.Apply(entry(t, m.index, second, c)).(Result); !ok || !res.Applied {
			t.Fatalf("%+v: %+v", c, res)
		}
	}
	expect := func(when string, exact, twice, never int64) {
		t.Helper()
		got := m.due("exact", "twice", "never")
		if got[0] != exact || got[1] != twice || got[2] != never {
			t.Errorf("%s the times are %v, want %d, %d, %d", when, got, exact, twice, never)
		}
	}
	at(1, Command{Register: &catalog.Registration{Node: catalog.Node{Name: "n", Address: "a"}}})
	for _, s := range []session.Session{
		{ID: "exact", Node: "n", Lifetime: 10 * time.Second, Due: 77},
		{ID: "twice", Node: "n", Lifetime: 10 * time.Second, Grace: -1},
		{ID: "never", Node: "n"},
	} {
		at(100, Command{Session: &s})
	}
	_, index := m.store.View().Sessions()
	expect("when they are new", 0, 0, 0)
	at(110, Command{SessionTime: &SessionTime{Left: []SessionLeft{{"exact", 3 * time.Second}, {"never", time.Second}, {"gone", time.Second}}}})
	expect("after one was settled", 113, 0, 0)
	at(90, Command{SessionTime: &SessionTime{}}) // by a clock that is behind
	expect("after an empty command", 113, 0, 0)
	at(150, Command{SessionTime: &SessionTime{Begin: true}})
	expect("after a leader began 40 s after the last command", 153, 170, 0)
	at(160, Command{SessionTime: &SessionTime{Renewed: []string{"exact", "gone"}}})
	expect("after one was renewed", 0, 170, 0)
	at(165, Command{SessionTime: &SessionTime{Begin: true}})
	expect("after another leader began 5 s later", 175, 175, 0)
	if _, now := m.store.View().Sessions(); now != index {
		t.Errorf("the index of the sessions moved from %d to %d", index, now)
	}

	other := newMachine(t)
	var saved bytes.Buffer
	if _, err := m.store.Snapshot().WriteTo(&saved); err != nil {
		t.Fatal(err)
	}
	if err := other.restore(saved.Bytes()); err != nil {
		t.Fatal(err)
	}
	if got := other.due("exact", "twice", "never"); got[0] != 175 || got[1] != 175 || got[2] != 0 {
		t.Errorf("after a snapshot the times are %v", got)
	}
	at(1000, Command{Restored: true})
	expect("after an archive was restored", 0, 0, 0)
}

func TestReapTimeOfAnOlderVersion(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		check   *fsmpb.Check
		reap    time.Duration
		timeout string
	}{
		{"it stood in the timeout of a check with a TTL", &fsmpb.Check{Type: "ttl", Ttl: 1, Timeout: "1m30s"}, 90 * time.Second, ""},
		{"of another check the timeout is one", &fsmpb.Check{Type: "http", Timeout: "1m30s"}, 0, "1m30s"},
		{"now it has its own field", &fsmpb.Check{Type: "ttl", Ttl: 1, ReapAfter: 1e9}, time.Second, ""},
	} {
		got := checkFromProto(tc.check)
		if got.Reap != tc.reap || got.Timeout != tc.timeout {
			t.Errorf("%s: %s and %q, want %s and %q", tc.rule, got.Reap, got.Timeout, tc.reap, tc.timeout)
		}
		if again := checkFromProto(checkToProto(got)); again.Reap != got.Reap {
			t.Errorf("%s: written and read again it is %s", tc.rule, again.Reap)
		}
	}
}
