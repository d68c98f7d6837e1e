package crashtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// TestRecoverLostQuorum: with a peers.json that names it alone, the last server of three
// leads with all that it had, and the others can come back empty.
func TestRecoverLostQuorum(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{})
	leader := c.Leader()
	for i := range 30 {
		leader.Put(fmt.Sprintf("k/%02d", i), "v")
	}
	survivor := c.Followers()[0]
	for i := range 30 { // linearizable, so it has them all
		if _, found := survivor.Get(fmt.Sprintf("k/%02d", i)); !found {
			t.Fatalf("key %d is missing before anything happened", i)
		}
	}
	var self struct{ Config struct{ NodeID string } }
	if err := json.Unmarshal(survivor.Do(http.MethodGet, "/v1/agent/self", nil).Body, &self); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Servers() {
		s.Kill9()
	}

	path := filepath.Join(survivor.DataDir, "raft", "peers.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for rule, text := range map[string]string{
		"rubbish":                  `[{"id":`,
		"without this server":      `[{"id":"00000000-0000-0000-0000-000000000001","address":"127.0.0.1:1"}]`,
		"this server without vote": fmt.Sprintf(`[{"id":%q,"address":%q,"non_voter":true}]`, self.Config.NodeID, survivor.PeerAddr()),
	} {
		write(text)
		if code, output := survivor.StartFailing(); code == 0 || !strings.Contains(output, "peers.json") {
			t.Errorf("%s: exit code %d, %q; want an error that names the file", rule, code, output)
		}
	}

	write(fmt.Sprintf(`[{"id":%q,"address":%q}]`, self.Config.NodeID, survivor.PeerAddr()))
	survivor.Start()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file counts again at the next start: %v", err)
	}
	for i := range 30 {
		if _, found := survivor.Get(fmt.Sprintf("k/%02d", i)); !found {
			t.Errorf("key %d is lost", i)
		}
	}
	survivor.Put("after", "x")
	survivor.Restart()
	if v, _ := survivor.Get("after"); v != "x" {
		t.Errorf("after a restart: %q", v)
	}

	for _, s := range c.Servers() {
		if s != survivor { // with what they have they could still form the old cluster
			s.Wipe()
			s.Start()
		}
	}
	for _, s := range c.Servers() {
		if v, _ := s.Get("after"); v != "x" {
			t.Errorf("%s has %q", s.Name(), v)
		}
	}
}
