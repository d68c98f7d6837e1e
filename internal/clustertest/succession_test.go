package clustertest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/faultnet"
	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// What servers say of elections in their logs.
const (
	standsAtOnce = "this server stands for election"
	missesLeader = "heartbeat timeout reached"
)

// outcomeUnknown ends the answer to a write of which a server has heard no more.
const outcomeUnknown = "whether the write happened is unknown"

// TestADeadLeaderIsReplacedAtOnce: when the process of the leader is gone nobody waits
// for Raft's timeouts, which are 5 s here, and more.
func TestADeadLeaderIsReplacedAtOnce(t *testing.T) {
	slow(t)
	for _, size := range []int{3, 5} {
		c := testcluster.StartCluster(t, testcluster.ClusterOptions{
			Servers: size,
			Each:    testcluster.Options{Config: map[string]any{"log_level": "info", "performance": map[string]any{"raft_multiplier": 10}}},
		})
		dead, survivors := c.Leader(), c.Followers()
		from := map[*testcluster.Server]int{}
		for _, s := range survivors {
			from[s] = len(s.Log())
		}
		dead.Kill9()
		for _, s := range survivors { // held until somebody leads
			putDespiteDeath(t, s, "after/"+s.Name())
		}
		stood := 0
		for _, s := range survivors {
			said := s.Log()[from[s]:]
			stood += strings.Count(said, standsAtOnce)
			if strings.Contains(said, missesLeader) {
				t.Errorf("of %d: %s has waited for Raft's timeout", size, s.Name())
			}
		}
		if stood == 0 {
			t.Errorf("of %d: nobody stood for election at once", size)
		}
	}
}

// putDespiteDeath writes a key through a server whose leader was killed just now. It may have sent
// the write to the dead before it could notice: its answer must be, once, that nobody knows whether it
// happened.
func putDespiteDeath(t *testing.T, s *testcluster.Server, key string) {
	t.Helper()
	resp := s.Do(http.MethodPut, "/v1/kv/"+key, []byte("v"))
	if resp.Status == http.StatusInternalServerError && strings.HasSuffix(string(resp.Body), outcomeUnknown) {
		t.Logf("%s had sent its write to the dead leader", s.Name())
		s.Put(key, "v")
		return
	}
	if resp.Status != http.StatusOK {
		t.Fatalf("put %s: %d %s", key, resp.Status, resp.Body)
	}
}

// TestALivingLeaderIsLeftAlone: one follower alone finds that the leader's address
// refuses connections, and misses it in the end; the others hear of the leader, so it
// leads on.
func TestALivingLeaderIsLeftAlone(t *testing.T) {
	slow(t)
	if err := testcluster.CanFault(); err != nil {
		t.Skipf("NOT TESTED HERE: the network between servers cannot be broken on this system: %v", err)
	}
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Faults: true, Each: testcluster.Options{Config: map[string]any{"log_level": "info"}},
	})
	leader, cut := c.Leader(), c.Followers()[0]
	before := termOf(t, leader)
	from := len(cut.Log())
	c.Network.Between(leader.ID(), cut.ID(), faultnet.Condition{Refuse: true})
	awaitLine(t, cut, from, missesLeader)
	leader.Put("during", "v")
	c.Network.Heal()
	c.AwaitFormed()
	for _, s := range c.Servers() {
		if strings.Contains(s.Log(), standsAtOnce) {
			t.Errorf("%s stood for election at once", s.Name())
		}
	}
	if l := c.Leader(); l != leader {
		t.Errorf("%s leads now; it was %s", l.Name(), leader.Name())
	}
	if now := termOf(t, leader); now != before {
		t.Errorf("the term is %g, it was %g", now, before)
	}
}

// termOf is Raft's term at a server, as its metrics have it.
func termOf(t *testing.T, s *testcluster.Server) float64 {
	t.Helper()
	return seriesOf(t, s, "holdfast_raft_term")
}

// seriesOf is the value of a metric without labels.
func seriesOf(t *testing.T, s *testcluster.Server, name string) float64 {
	t.Helper()
	page := ask(t, s, http.MethodGet, "/v1/agent/metrics?format=prometheus", "", nil)
	for line := range strings.Lines(string(page.Body)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no metric %s", s.Name(), name)
	return 0
}
