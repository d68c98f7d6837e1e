package clustertest

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// TestGossipKey: servers with one key are a cluster, and one that has another or none
// is no part of it.
func TestGossipKey(t *testing.T) {
	slow(t)
	key := func(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Each: testcluster.Options{Config: map[string]any{"encrypt": key(1)}},
	})
	c.Followers()[0].Put("a", "1")
	for _, tc := range []struct{ rule, encrypt, says string }{
		{"without a key", "", "Encryption is configured but remote state is not encrypted"},
		{"with another key", key(2), "No installed keys could decrypt the message"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			before := len(c.Server(0).Log())
			stranger := c.Add()
			stranger.SetConfig("encrypt", tc.encrypt)
			stranger.Launch()
			// It says so, and has tried in vain more than once.
			awaitLine(t, stranger, 0, "join other servers: none has answered yet", "again_in=400ms")
			awaitLine(t, c.Server(0), before, tc.says)
			for _, s := range c.Servers()[:3] {
				if status := statusOf(t, s, stranger.Name()); status != 0 {
					t.Errorf("%s knows it as a member with status %d", s.Name(), status)
				}
				if _, there := raftServers(t, s)[stranger.Name()]; there {
					t.Errorf("%s has it in its Raft configuration", s.Name())
				}
			}
			stranger.Kill9()
			c.Forget(stranger)
		})
	}
}
