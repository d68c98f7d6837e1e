package fsm

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-kv/holdfast/kvs"
)

// TestRefusesWhatApplyRefuses: what a state is said to refuse is what it refuses.
func TestRefusesWhatApplyRefuses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		verbs := []kvs.Verb{kvs.Set, kvs.CAS, kvs.CAS, kvs.Delete, kvs.DeleteCAS}
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			c := Command{Write: &kvs.Op{
				Verb: rapid.SampledFrom(verbs).Draw(t, "verb"), Key: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"),
				Index: rapid.Uint64Range(0, m.index+1).Draw(t, "index"), Value: fmt.Append(nil, m.index),
			}}
			refused := c.Compares() && m.store.View().Refuses(&c)
			if res := m.do(c); res.Applied == refused {
				t.Fatalf("%+v: applied = %v, refused = %v", c.Write, res.Applied, refused)
			}
		}
	})
}

// TestCompares: only a compare-and-set and nothing beside it.
func TestCompares(t *testing.T) {
	for _, tc := range []struct {
		command Command
		want    bool
	}{
		{Command{Write: &kvs.Op{Verb: kvs.CAS}}, true},
		{Command{Write: &kvs.Op{Verb: kvs.DeleteCAS}}, true},
		{Command{Write: &kvs.Op{Verb: kvs.Set}}, false},
		{Command{Write: &kvs.Op{Verb: kvs.CAS}, Ties: Ties{FenceKey: "lock", Fence: 1}}, false},
		{Command{Write: &kvs.Op{Verb: kvs.CAS}, Ties: Ties{Owner: "session"}}, false},
		{Command{Txn: []kvs.Op{{Verb: kvs.CAS}}}, false},
	} {
		if got := tc.command.Compares(); got != tc.want {
			t.Errorf("%+v: %v", tc.command, got)
		}
	}
}
