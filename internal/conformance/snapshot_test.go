package conformance

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// TestSnapshot: what was saved comes back, indexes included, and what came after is gone.
func TestSnapshot(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	kv := c.KV()
	put(t, kv, "snap/a", "1")
	put(t, kv, "snap/gone", "1")
	_, err := kv.Delete("snap/gone", nil)
	must(t, err)
	before, _ := get(t, kv, "snap/a")

	for name, opts := range map[string]*api.QueryOptions{"default": nil, "stale": {AllowStale: true}} {
		archive, meta, err := c.Snapshot().Save(opts)
		must(t, err)
		saved, err := io.ReadAll(archive)
		must(t, err)
		must(t, archive.Close())
		if len(saved) == 0 || meta.LastIndex == 0 {
			t.Fatalf("%s: %d bytes at index %d", name, len(saved), meta.LastIndex)
		}

		put(t, kv, "snap/a", "2")
		put(t, kv, "snap/later", "1")
		must(t, c.Snapshot().Restore(nil, bytes.NewReader(saved)))
		after, _ := get(t, kv, "snap/a")
		if after == nil || string(after.Value) != "1" || after.ModifyIndex != before.ModifyIndex || after.CreateIndex != before.CreateIndex {
			t.Errorf("%s: snap/a is %+v, was %+v", name, after, before)
		}
		keys, _, err := kv.Keys("snap/", "", nil)
		must(t, err)
		if got := strings.Join(keys, " "); got != "snap/a" {
			t.Errorf("%s: keys are %s", name, got)
		}
	}
}

func TestSnapshotThatIsNoneChangesNothing(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	put(t, c.KV(), "snap/a", "1")
	archive, _, err := c.Snapshot().Save(nil)
	must(t, err)
	saved, err := io.ReadAll(archive)
	must(t, err)
	must(t, archive.Close())
	flipped := bytes.Clone(saved)
	flipped[len(flipped)/2] ^= 0x40
	for name, bad := range map[string][]byte{
		"text": []byte("not a snapshot"), "nothing": nil,
		"half of one": saved[:len(saved)/2], "a flipped bit": flipped,
	} {
		if err := c.Snapshot().Restore(nil, bytes.NewReader(bad)); err == nil {
			t.Errorf("%s was restored", name)
		}
		if pair, _ := get(t, c.KV(), "snap/a"); pair == nil || string(pair.Value) != "1" {
			t.Errorf("after %s: snap/a is %v", name, pair)
		}
	}
}

// TestSnapshotMovesToAnotherServer: a backup is for the day when the server is gone.
func TestSnapshotMovesToAnotherServer(t *testing.T) {
	old := testcluster.Start(t, testcluster.Options{LogStore: "wal"})
	put(t, client(t, old).KV(), "snap/a", "1")
	archive := old.Snapshot()
	old.Kill9()

	fresh := testcluster.Start(t, testcluster.Options{LogStore: "boltdb"})
	c := client(t, fresh)
	put(t, c.KV(), "snap/own", "1")
	must(t, c.Snapshot().Restore(nil, bytes.NewReader(archive)))
	check := func() {
		t.Helper()
		keys, _, err := c.KV().Keys("", "", nil)
		must(t, err)
		if got := strings.Join(keys, " "); got != "snap/a" {
			t.Errorf("keys are %s", got)
		}
	}
	check()
	fresh.Kill9() // a restore that was answered is as durable as any write
	fresh.Start()
	check()
}
