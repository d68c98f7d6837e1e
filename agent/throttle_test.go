package agent

import (
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/logstore"
)

// TestTheEntryOfASnapshotIsKept: when Raft removes the start of the log, one entry more stays
// than it wants; of the end all goes.
func TestTheEntryOfASnapshotIsKept(t *testing.T) {
	store := logstore.Memory()
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	var entries []*raft.Log
	for i := range uint64(10) {
		entries = append(entries, &raft.Log{Index: i + 1, Term: 1, Data: []byte("x")})
	}
	if err := store.StoreLogs(entries); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ min, max, first, last uint64 }{
		{1, 5, 5, 10},
		{5, 5, 5, 10},
		{5, 6, 6, 10},
		{9, 10, 6, 8},
		{6, 8, 0, 0},
	} {
		if err := (cutLog{store}).DeleteRange(step.min, step.max); err != nil {
			t.Fatal(err)
		}
		first, _ := store.FirstIndex()
		last, _ := store.LastIndex()
		if first != step.first || last != step.last {
			t.Fatalf("after %d to %d were removed there are %d to %d, want %d to %d", step.min, step.max, first, last, step.first, step.last)
		}
	}
}
