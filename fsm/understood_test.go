package fsm

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/kvs"
)

// understood tells whether this version may apply a log entry.
func understood(entry []byte) bool {
	_, ok := Needs(entry)
	return ok
}

// TestUnderstood: a leader takes from other servers only what it can apply.
func TestUnderstood(t *testing.T) {
	for _, c := range []Command{write(set("k", "v")), txn(set("a", "1")), {Restored: true}, {Autopilot: &SetAutopilot{}}, {ACL: &acl.Change{DeletePolicy: "p"}}} {
		data, err := EncodeToStamp(&c)
		if err != nil {
			t.Fatal(err)
		}
		if !understood(data) {
			t.Errorf("%+v is not understood", c)
		}
		if plain := entry(t, 1, 1, c).Data; !understood(plain) {
			t.Errorf("%+v is not understood when it is stamped already", c)
		}
	}
	stamped := func(plain []byte) []byte {
		return append(append([]byte{formatStamped}, make([]byte, stampBytes)...), plain[1:]...)
	}
	if !understood(stamped(future(t, true))) {
		t.Error("what may be skipped is refused")
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "a kind from later": stamped(future(t, false)), "another format": {9, 1, 2, 3}, "cut off": {formatStamped, 0},
		"no message": append(append([]byte{formatStamped}, make([]byte, stampBytes)...), 0xff),
	} {
		if understood(data) {
			t.Errorf("%s is understood", name)
		}
	}
}

// TestNeeds: a kind of command needs the same version whether it is asked of the command,
// of its log entry, or when it is applied; and the state, and its snapshot, remember the
// highest.
func TestNeeds(t *testing.T) {
	checked := write(set("k", "v"))
	checked.Checked = &acl.Checked{Index: 1, Accessor: "a", Trusted: true}
	for _, tc := range []struct {
		rule    string
		command Command
		want    uint32
	}{
		{"a write", write(set("k", "v")), 1},
		{"a transaction", txn(set("a", "1")), 1},
		{"a write of somebody who was asked for", checked, 2},
		{"a transaction of somebody who was asked for", Command{Txn: []kvs.Op{set("a", "1")}, Checked: &acl.Checked{Accessor: "a"}}, 2},
		{"a write that may end its key", ending(checked), 3},
		{"a transaction that may", ending(Command{Txn: []kvs.Op{set("a", "1")}, Checked: &acl.Checked{Accessor: "a"}}), 3},
		{"one with ties", ending(Command{Write: checked.Write, Ties: Ties{TTL: 1}, Checked: &acl.Checked{Accessor: "a", Vars: map[string]string{"x": "y"}}}), 3},
		{"one of nobody", ending(write(set("k", "v"))), 1},
		{"a change of ACLs", Command{ACL: &acl.Change{DeleteTokens: &acl.DeleteTokens{}}}, 2},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := tc.command.Needs(); got != tc.want {
				t.Errorf("the command needs version %d, want %d", got, tc.want)
			}
			e := entry(t, 1, 1, tc.command)
			if got, ok := Needs(e.Data); got != tc.want || !ok {
				t.Errorf("its entry needs version %d, %v, want %d", got, ok, tc.want)
			}
			toStamp, err := EncodeToStamp(&tc.command)
			if err != nil {
				t.Fatal(err)
			}
			for _, data := range [][]byte{e.Data, toStamp} {
				if got, want := IsChecked(data), tc.command.Checked != nil; got != want {
					t.Errorf("its entry says who was asked for: %v, want %v", got, want)
				}
			}
			store := NewStore()
			machine := New(store, hclog.NewNullLogger(), func(err error) { t.Error(err) })
			machine.Apply(e)
			machine.Apply(entry(t, 2, 2, write(set("later", "v"))))
			if got := store.View().Used(); got != tc.want {
				t.Errorf("the state has used version %d, want %d", got, tc.want)
			}
			var snapshot bytes.Buffer
			if err := (&Snapshot{view: store.View()}).persist(&snapshot); err != nil {
				t.Fatal(err)
			}
			if got, err := SnapshotNeeds(bytes.NewReader(snapshot.Bytes())); err != nil || got != tc.want {
				t.Errorf("the snapshot needs version %d, %v, want %d", got, err, tc.want)
			}
			again := NewStore()
			if err := New(again, hclog.NewNullLogger(), func(err error) { t.Error(err) }).Restore(io.NopCloser(&snapshot)); err != nil {
				t.Fatal(err)
			}
			if got := again.View().Used(); got != tc.want {
				t.Errorf("after a restore the state has used version %d, want %d", got, tc.want)
			}
		})
	}
	if _, err := SnapshotNeeds(strings.NewReader("no snapshot")); err == nil {
		t.Error("rubbish is taken for a snapshot")
	}
	if got, ok := Needs(future(t, true)); got != 1 || !ok {
		t.Errorf("what may be skipped needs version %d, %v", got, ok)
	}
}
