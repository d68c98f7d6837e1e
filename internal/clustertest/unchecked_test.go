package clustertest

import (
	"fmt"
	"net/http"
	"strings"
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
