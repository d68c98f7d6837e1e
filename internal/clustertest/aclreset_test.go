package clustertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// guarded are the options of a server that checks rights, with the operator's token.
func guarded(set map[string]any) testcluster.Options {
	acl := map[string]any{"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": operatorToken}}
	for k, v := range set {
		acl[k] = v
	}
	return testcluster.Options{Token: operatorToken, Config: map[string]any{"acl": acl}}
}

// anonymously sends a request without the operator's token.
func anonymously(t *testing.T, s *testcluster.Server, method, path, token string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if token == "" {
		return sendTo(t, client, method, s.URL()+path, "")
	}
	return sendTo(t, client, method, s.URL()+path, "", "X-Consul-Token", token)
}

// TestBootstrapAgain: whoever owns the files of any server gets a token with all rights
// by writing the index of the bootstrap before into one of them, once.
func TestBootstrapAgain(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{Each: guarded(nil)})
	leader, follower := c.Leader(), c.Followers()[0]
	status, text := anonymously(t, follower, http.MethodPut, "/v1/acl/bootstrap", "")
	said := regexp.MustCompile(`\(reset index: (\d+)\)$`).FindStringSubmatch(text)
	if status != http.StatusForbidden || said == nil {
		t.Fatalf("a second bootstrap: %d %s", status, text)
	}
	file := filepath.Join(follower.DataDir, "acl-bootstrap-reset")
	if err := os.WriteFile(file, []byte(said[1]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, text := anonymously(t, leader, http.MethodPut, "/v1/acl/bootstrap", ""); status != http.StatusForbidden {
		t.Errorf("a server without the file: %d %s", status, text)
	}
	status, text = anonymously(t, follower, http.MethodPut, "/v1/acl/bootstrap", "")
	var token struct{ SecretID string }
	if status != http.StatusOK || json.Unmarshal([]byte(text), &token) != nil {
		t.Fatalf("with the file: %d %s", status, text)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	for _, s := range c.Servers() {
		await(t, func() error {
			if status, text := anonymously(t, s, http.MethodGet, "/v1/acl/tokens", token.SecretID); status != http.StatusOK {
				return fmt.Errorf("%s: %d %s", s.Name(), status, text)
			}
			return nil
		})
	}
	if status, text := anonymously(t, follower, http.MethodPut, "/v1/acl/bootstrap", ""); status != http.StatusForbidden {
		t.Errorf("a third time: %d %s", status, text)
	}
}

// TestTokensOfAServerAreKept: what is put into a slot over the API outlives the process
// if the configuration says so, in a file that its owner alone can read.
func TestTokensOfAServerAreKept(t *testing.T) {
	for name, kept := range map[string]bool{"when asked": true, "not otherwise": false} {
		t.Run(name, func(t *testing.T) {
			s := testcluster.Start(t, guarded(map[string]any{"enable_token_persistence": kept}))
			const secret = "5d3c8f52-31f5-4b74-8f3f-2f86a6d9a0c1"
			ask(t, s, http.MethodPut, "/v1/acl/policy", `{"Name":"reads","Rules":"key_prefix \"\" { policy = \"read\" }"}`, nil)
			ask(t, s, http.MethodPut, "/v1/acl/token", `{"SecretID":"`+secret+`","Policies":[{"Name":"reads"}]}`, nil)
			ask(t, s, http.MethodPut, "/v1/agent/token/default", `{"Token":"`+secret+`"}`, nil)
			reads := func() int {
				status, _ := anonymously(t, s, http.MethodGet, "/v1/kv/a", "")
				return status
			}
			if got := reads(); got != http.StatusNotFound {
				t.Errorf("before the restart: %d", got)
			}
			file := filepath.Join(s.DataDir, "acl-tokens.json")
			info, err := os.Stat(file)
			if (err == nil) != kept || kept && info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", file, info, err)
			}
			s.Restart()
			want := http.StatusForbidden
			if kept {
				want = http.StatusNotFound
			}
			if got := reads(); got != want {
				t.Errorf("after the restart: %d, want %d", got, want)
			}
			if !kept {
				return
			}
			ask(t, s, http.MethodPut, "/v1/agent/token/default", `{"Token":""}`, nil)
			s.Restart()
			if got := reads(); got != http.StatusForbidden {
				t.Errorf("after it was taken out, and another restart: %d", got)
			}
			s.Term()
			if err := os.WriteFile(file, []byte(`{"default":"`+secret), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, output := s.StartFailing(); !strings.Contains(output, "is damaged") || strings.Contains(output, secret) {
				t.Errorf("with a damaged file it says: %s", output)
			}
		})
	}
}
