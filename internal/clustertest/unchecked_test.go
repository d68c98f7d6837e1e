package clustertest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// TestAServerThatChecksNoRightsAmongOthers: a server that was started with acl.enabled =
// false in a cluster with access control shows and changes nothing, for nobody, and says
// so; the others go on. Once all are without, all answer.
func TestAServerThatChecksNoRightsAmongOthers(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Each: testcluster.Options{Config: map[string]any{"acl": acls("clear")}},
	})
	leader, odd := c.Leader(), c.Followers()[0]
	leader.Put("app/a", "secret")

	// What a follower does by itself is taken by a leader that checks rights.
	ask(t, odd, http.MethodPut, "/v1/agent/check/register", `{"Name":"beat","TTL":"100ms"}`, nil)
	await(t, func() error {
		if r := odd.Do(http.MethodGet, "/v1/health/state/critical", nil); !strings.Contains(string(r.Body), "TTL expired") {
			return fmt.Errorf("the check has not failed: %s", r.Body)
		}
		return nil
	})

	odd.SetConfig("acl", map[string]any{"enabled": false})
	odd.Kill9()
	odd.Launch()
	refusals := 0
	await(t, func() error {
		for path, method := range map[string]string{
			"/v1/kv/app/a": "GET", "/v1/kv/app/a?stale": "GET", "/v1/kv/app/?recurse&stale": "GET", "/v1/catalog/nodes?stale": "GET",
			"/v1/snapshot": "GET", "/v1/kv/app/b": "PUT", "/v1/kv/app/c?token=" + management: "PUT", "/v1/session/create": "PUT",
			"/v1/agent/self": "GET",
		} {
			r, err := odd.TryDo(t.Context(), method, path, nil)
			switch {
			case err != nil: // it begins to run
				return err
			case r.Status < http.StatusInternalServerError || strings.Contains(string(r.Body), "secret"):
				t.Fatalf("%s %s: %d %s", method, path, r.Status, r.Body)
			case strings.Contains(string(r.Body), "acl.enabled = false"):
				refusals++
			}
		}
		ready, err := odd.TryDo(t.Context(), http.MethodGet, "/readyz?verbose", nil)
		if err != nil || ready.Status != http.StatusServiceUnavailable || !strings.Contains(string(ready.Body), "others of its cluster do") {
			return fmt.Errorf("it does not say why it is not ready: %v %s", err, ready.Body)
		}
		return nil
	})
	if refusals == 0 {
		t.Error("no refusal says why")
	}
	await(t, func() error {
		if !strings.Contains(odd.Log(), "no request is answered here") {
			return fmt.Errorf("its log does not say so")
		}
		return nil
	})
	if r := leader.Do(http.MethodGet, "/v1/kv/app/?keys", nil); string(r.Body) != `["app/a"]` {
		t.Errorf("the others have %d %s", r.Status, r.Body)
	}

	for _, s := range c.Servers() {
		s.SetConfig("acl", map[string]any{"enabled": false})
	}
	for _, s := range c.Servers() {
		if s != odd {
			s.Kill9()
			s.Launch()
		}
	}
	await(t, func() error {
		for _, s := range c.Servers() {
			r, err := s.TryDo(t.Context(), http.MethodGet, "/v1/kv/app/a?raw", nil)
			if err != nil || string(r.Body) != "secret" {
				return fmt.Errorf("%s answers %d %s, %v", s.Name(), r.Status, r.Body, err)
			}
		}
		return nil
	})
}

// TestAServerThatLagsBehindTheBootstrapRestoresNothingAndRemovesNobody: a server that was
// started with acl.enabled = false stands still while its cluster gets access control. When
// it goes on it has not heard of that, maybe not even that another server was started anew to
// check rights, and is asked at that very moment, by somebody without a token.
func TestAServerThatLagsBehindTheBootstrapRestoresNothingAndRemovesNobody(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{})
	leader, odd, other := c.Leader(), c.Followers()[0], c.Followers()[1]
	archive := odd.Snapshot() // without the key
	leader.Put("app/a", "kept")
	before := raftServers(t, odd)
	other.SetConfig("acl", acls("clear"))
	other.Restart() // it meets the server that will stand still: without that nothing new is written
	odd.Stop()
	await(t, func() error {
		// Until it leads; then that is refused.
		_, _ = leader.TryDo(t.Context(), http.MethodPost, "/v1/operator/raft/transfer-leader?id="+before[other.Name()].ID, nil)
		r, err := other.TryDo(t.Context(), http.MethodGet, "/v1/acl/token/self?consistent&token="+management, nil)
		if err != nil || r.Status != http.StatusOK {
			return fmt.Errorf("there is no access control yet: %d %s, %v", r.Status, r.Body, err)
		}
		return nil
	})
	odd.Cont()
	acts := []struct{ method, path, body string }{
		{"DELETE", "/v1/operator/raft/peer?id=" + before[leader.Name()].ID, ""},
		{"POST", "/v1/operator/raft/transfer-leader", ""},
		{"PUT", "/v1/snapshot", string(archive)},
		{"PUT", "/v1/operator/autopilot/configuration", `{"MaxTrailingLogs":77}`},
		{"PUT", "/v1/agent/force-leave/" + leader.Name(), ""},
		{"POST", "/v1/operator/keyring", `{"Key":"1234567890123456789012=="}`},
		{"GET", "/v1/kv/app/a", ""},
		{"GET", "/v1/kv/?keys&consistent", ""},
		{"GET", "/v1/snapshot", ""},
	}
	var under sync.WaitGroup
	for _, act := range acts {
		under.Go(func() {
			r, err := odd.TryDo(t.Context(), act.method, act.path, []byte(act.body))
			if err == nil && r.Status < http.StatusForbidden {
				t.Errorf("%s %s is answered %d %s", act.method, act.path, r.Status, r.Body)
			}
		})
	}
	under.Wait()
	value := other.Do(http.MethodGet, "/v1/kv/app/a?raw&token="+management, nil)
	if value.Status != http.StatusOK || string(value.Body) != "kept" {
		t.Errorf("the key is %d %q: an archive was restored", value.Status, value.Body)
	}
	if now := len(raftServers(t, other)); now != len(before) {
		t.Errorf("of %d servers %d are left", len(before), now)
	}
	pilot := other.Do(http.MethodGet, "/v1/operator/autopilot/configuration?token="+management, nil)
	if strings.Contains(string(pilot.Body), `"MaxTrailingLogs":77`) {
		t.Errorf("autopilot was configured: %s", pilot.Body)
	}
}
