package clustertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slow leaves out a test that starts several servers, in the fast checks.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts several servers")
	}
}

// soon bounds the wait for what ought to be there within seconds.
const soon = 30 * time.Second

// await waits until ok says nothing more.
func await(t *testing.T, ok func() error) {
	t.Helper()
	if err := testcluster.Eventually(t.Context(), soon, ok); err != nil {
		t.Fatal(err)
	}
}

// awaitParked waits until one blocking query waits on a server.
func awaitParked(t *testing.T, s *testcluster.Server) {
	t.Helper()
	await(t, func() error {
		self := s.Do(http.MethodGet, "/v1/agent/self", nil)
		return expect(bytes.Contains(self.Body, []byte(`"parked_queries":"1"`)), "nobody waits: %d", self.Status)
	})
}

// ask sends a request that must be answered with 200, and decodes the answer unless
// into is nil.
func ask(t *testing.T, s *testcluster.Server, method, path, body string, into any) testcluster.Response {
	t.Helper()
	resp := s.Do(method, path, []byte(body))
	if resp.Status != http.StatusOK {
		t.Fatalf("%s %s on %s: %d %s", method, path, s.Name(), resp.Status, resp.Body)
	}
	if into != nil {
		if err := json.Unmarshal(resp.Body, into); err != nil {
			t.Fatalf("%s %s on %s: %v", method, path, s.Name(), err)
		}
	}
	return resp
}

// raftServer is one of the Raft configuration.
type raftServer struct {
	ID, Node, Address string
	Leader, Voter     bool
}

// raftServers is the Raft configuration as a server knows it, by node name.
func raftServers(t *testing.T, s *testcluster.Server) map[string]raftServer {
	t.Helper()
	var config struct{ Servers []raftServer }
	ask(t, s, http.MethodGet, "/v1/operator/raft/configuration?stale", "", &config)
	by := map[string]raftServer{}
	for _, r := range config.Servers {
		by[r.Node] = r
	}
	return by
}

// nodes are the names in the catalog.
func nodes(t *testing.T, s *testcluster.Server) []string {
	t.Helper()
	var list []struct{ Node string }
	ask(t, s, http.MethodGet, "/v1/catalog/nodes", "", &list)
	var names []string
	for _, n := range list {
		names = append(names, n.Node)
	}
	return names
}

// The statuses of members that tests wait for; numbers as on the wire.
const (
	alive  = 1
	left   = 3
	failed = 4
)

// statusOf is how a server knows a member; 0 when it does not.
func statusOf(t *testing.T, s *testcluster.Server, name string) int {
	t.Helper()
	var list []struct {
		Name   string
		Status int
	}
	ask(t, s, http.MethodGet, "/v1/agent/members", "", &list)
	for _, m := range list {
		if m.Name == name {
			return m.Status
		}
	}
	return 0
}

// awaitGone waits until a server has its place nowhere any more: not in Raft, not in
// the catalog, and among the members as one that left.
func awaitGone(t *testing.T, c *testcluster.Cluster, name string) {
	t.Helper()
	await(t, func() error {
		for _, s := range c.Servers() {
			if s.Name() == name {
				continue
			}
			if _, there := raftServers(t, s)[name]; there {
				return fmt.Errorf("%s has it in its Raft configuration", s.Name())
			}
			if slices.Contains(nodes(t, s), name) {
				return fmt.Errorf("%s has it in its catalog", s.Name())
			}
			if status := statusOf(t, s, name); status != left && status != 0 {
				return fmt.Errorf("%s knows it as a member with status %d", s.Name(), status)
			}
		}
		return nil
	})
}

// awaitLine waits for a line in the log of a server, after its first bytes, that has
// all these texts.
func awaitLine(t *testing.T, s *testcluster.Server, after int, texts ...string) {
	t.Helper()
	await(t, func() error {
		for line := range strings.Lines(s.Log()[after:]) {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
				return nil
			}
		}
		return fmt.Errorf("%s has logged no line with %q", s.Name(), texts)
	})
}

// expect is an error with this text, unless ok.
func expect(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}
