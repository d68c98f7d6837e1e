package clustertest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// management is the token with all rights of the clusters below. What it may not do is
// tested with other tokens.
const management = "11111111-2222-3333-4444-555555555555"

// acls is the configuration of a server that checks requests. Without a token everything
// but the ACLs is allowed, so that the cluster can be watched while it forms.
func acls(secrets string) map[string]any {
	return map[string]any{
		"enabled": true, "default_policy": "allow", "secrets": secrets, "tokens": map[string]any{"initial_management": management},
	}
}

// newToken makes a token that may write keys, and returns both its ids.
func newToken(t *testing.T, s *testcluster.Server) (accessor, secret string) {
	t.Helper()
	var made struct{ AccessorID, SecretID string }
	ask(t, s, http.MethodPut, "/v1/acl/token?token="+management, `{"Policies":[{"Name":"global-management"}]}`, &made)
	return made.AccessorID, made.SecretID
}

// TestRevokedTokenOnALaggingFollowerWritesNothing: once a token's deletion is
// acknowledged no server lets it write, though the followers may not have heard of it
// yet. They are asked at the very moment that the leader answers.
func TestRevokedTokenOnALaggingFollowerWritesNothing(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Each: testcluster.Options{Config: map[string]any{"acl": acls("clear")}},
	})
	leader, followers := c.Leader(), c.Followers()
	answers := func(s *testcluster.Server, path string, status int) {
		t.Helper()
		await(t, func() error {
			if resp := s.Do(http.MethodGet, path, nil); resp.Status != status {
				return fmt.Errorf("%s answers %d to %s", s.Name(), resp.Status, path)
			}
			return nil
		})
	}
	answers(leader, "/v1/acl/tokens?token="+management, http.StatusOK)
	archive, voters := leader.Do(http.MethodGet, "/v1/snapshot?token="+management, nil), raftServers(t, leader)
	for i := range 12 { // a server that is asked with too many unknown tokens says no more than that
		accessor, secret := newToken(t, leader)
		key := fmt.Sprintf("attack/%d", i)
		for _, s := range followers { // they know it, and have looked up its rights
			answers(s, "/v1/kv/none?stale&token="+secret, http.StatusNotFound)
			if resp := s.Do(http.MethodPut, "/v1/kv/before?token="+secret, []byte("v")); resp.Status != http.StatusOK {
				t.Fatalf("before: %d %s", resp.Status, resp.Body)
			}
		}
		if resp := leader.Do(http.MethodDelete, "/v1/acl/token/"+accessor+"?token="+management, nil); resp.Status != http.StatusOK {
			t.Fatalf("delete the token: %d %s", resp.Status, resp.Body)
		}
		for _, s := range followers {
			if resp := s.Do(http.MethodPut, "/v1/kv/"+key+"?token="+secret, []byte("v")); resp.Status != http.StatusForbidden || string(resp.Body) != "ACL not found" {
				t.Fatalf("round %d: %s answers a write with the deleted token with %d %s", i, s.Name(), resp.Status, resp.Body)
			}
			body := fmt.Sprintf(`[{"KV":{"Verb":"set","Key":%q,"Value":"dg=="}}]`, key)
			if resp := s.Do(http.MethodPut, "/v1/txn?token="+secret, []byte(body)); resp.Status != http.StatusForbidden {
				t.Fatalf("round %d: %s answers a transaction with the deleted token with %d %s", i, s.Name(), resp.Status, resp.Body)
			}
		}
		for _, act := range []struct{ method, path, body string }{
			{"DELETE", "/v1/operator/raft/peer?id=" + voters[followers[i%2].Name()].ID, ""},
			{"PUT", "/v1/snapshot", string(archive.Body)},
			{"POST", "/v1/operator/raft/transfer-leader", ""},
			{"PUT", "/v1/operator/autopilot/configuration", "{}"},
		} {
			s := followers[(i+1)%2]
			path := act.path + map[bool]string{true: "&", false: "?"}[strings.Contains(act.path, "?")] + "token=" + secret
			if resp := s.Do(act.method, path, []byte(act.body)); resp.Status != http.StatusForbidden || string(resp.Body) != "ACL not found" {
				t.Fatalf("round %d: %s answers %s %s with the deleted token with %d %s", i, s.Name(), act.method, act.path, resp.Status, resp.Body)
			}
		}
		if resp := leader.Do(http.MethodGet, "/v1/kv/attack/?keys&consistent", nil); resp.Status != http.StatusNotFound {
			t.Fatalf("round %d: %s was written", i, resp.Body)
		}
	}
}

// TestHashedSecretsLeaveTheDisk: a cluster that is switched to keep hashes alone, one
// server after the other, has no secret of a token in any of its data dirs, nor in an
// archive; the tokens work.
func TestHashedSecretsLeaveTheDisk(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Each: testcluster.Options{Config: map[string]any{"acl": acls("clear")}},
	})
	one := c.Servers()[0]
	await(t, func() error {
		if resp := one.Do(http.MethodGet, "/v1/acl/tokens?token="+management, nil); resp.Status != http.StatusOK {
			return fmt.Errorf("the management token is answered %d", resp.Status)
		}
		return nil
	})
	accessor, secret := newToken(t, one)
	secrets := []string{secret, management}
	for _, s := range c.Servers() {
		await(t, func() error {
			if len(secretsBelow(t, s.DataDir, secrets)) == 0 {
				return fmt.Errorf("%s has no secret before: the search finds nothing", s.Name())
			}
			return nil
		})
	}

	for _, s := range c.Servers() {
		s.SetConfig("acl", acls("hashed"))
		s.Restart()
	}
	clean := func(when string) {
		t.Helper()
		for _, s := range c.Servers() {
			await(t, func() error {
				if found := secretsBelow(t, s.DataDir, secrets); len(found) > 0 {
					return fmt.Errorf("%s secrets are in %q", when, found)
				}
				return nil
			})
		}
	}
	clean("after the switch")
	works := func(when string) {
		t.Helper()
		for _, s := range c.Servers() {
			var own struct{ AccessorID string }
			ask(t, s, http.MethodGet, "/v1/acl/token/self?token="+secret, "", &own)
			if own.AccessorID != accessor {
				t.Errorf("%s %s says that the token is %q, want %q", when, s.Name(), own.AccessorID, accessor)
			}
		}
	}
	works("after the switch")
	var shown struct{ SecretID string }
	ask(t, one, http.MethodGet, "/v1/acl/token/"+accessor+"?token="+management, "", &shown)
	if shown.SecretID != "<hidden>" {
		t.Errorf("the secret is shown: %q", shown.SecretID)
	}

	_, later := newToken(t, one) // shown here, and nowhere else
	secrets = append(secrets, later)
	archive := ask(t, one, http.MethodGet, "/v1/snapshot?token="+management, "", nil)
	z, err := gzip.NewReader(bytes.NewReader(archive.Body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range secrets {
		if bytes.Contains(plain, []byte(x)) {
			t.Errorf("secret %s is in the archive", x)
		}
	}

	one.Put("after", "v")
	for _, s := range c.Servers() { // each starts from its snapshot and what is left of its log
		s.Restart()
		if value, _ := s.Get("after"); value != "v" {
			t.Errorf("%s has %q after another start, want v", s.Name(), value)
		}
	}
	works("after another start")
	clean("after another start")
	for _, s := range c.Servers() {
		for _, x := range secrets {
			if strings.Contains(s.Log(), x) {
				t.Errorf("secret %s is in the log of %s", x, s.Name())
			}
		}
	}
}

// secretsBelow returns the files below dir that have a secret in them.
func secretsBelow(t *testing.T, dir string, secrets []string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) { // a file of the log that was just removed
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		for _, x := range secrets {
			if bytes.Contains(data, []byte(x)) {
				found = append(found, path)
				break
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
