package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// TestConsulCommand runs Consul's own command line, where there is one, through what it
// manages access control with, and a little of the rest.
func TestConsulCommand(t *testing.T) {
	consul, err := exec.LookPath("consul")
	if err != nil {
		t.Skip("there is no consul on the PATH: its command line is not tried")
	}
	s := testcluster.Start(t, testcluster.Options{Dev: true, Config: map[string]any{
		"acl": map[string]any{"enabled": true, "default_policy": "deny"},
	}})
	dir, token := t.TempDir(), ""
	run := func(want string, exit int, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), consul, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+s.Addr(), "CONSUL_HTTP_TOKEN="+token)
		out, _ := cmd.CombinedOutput() // its exit code is looked at
		if code := cmd.ProcessState.ExitCode(); code != exit || !regexp.MustCompile(want).Match(out) {
			t.Errorf("consul %s exits with %d, want %d; its output must match %s:\n%s", strings.Join(args, " "), code, exit, want, out)
		}
		return string(out)
	}
	field := func(out, name string) string {
		t.Helper()
		found := regexp.MustCompile(name + `: +(\S+)`).FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("no %s in %s", name, out)
		}
		return found[1]
	}
	token = field(run(`Description: +Bootstrap Token`, 0, "acl", "bootstrap"), "SecretID")
	run(`403 \(Permission denied: ACL bootstrap no longer allowed`, 1, "acl", "bootstrap")
	run(`Name: +web`, 0, "acl", "policy", "create", "-name=web", "-rules", `key_prefix "app/" { policy = "read" }`)
	run(`key_prefix "app/"`, 0, "acl", "policy", "read", "-name=web")
	run(`(?s)web:\n.*Description`, 0, "acl", "policy", "list")
	role := field(run(`web`, 0, "acl", "role", "create", "-name=readers", "-policy-name=web"), "ID")
	run(`Description: +changed`, 0, "acl", "role", "update", "-id="+role, "-description=changed")
	made := run(`readers`, 0, "acl", "token", "create", "-description=d", "-role-name=readers")
	accessor, reader := field(made, "AccessorID"), field(made, "SecretID")
	run(`key_prefix "app/"`, 0, "acl", "token", "read", "-accessor-id="+accessor, "-expanded")
	run(`Description: +d\n`, 0, "acl", "token", "clone", "-accessor-id="+accessor)
	run(`builtin/service`, 0, "acl", "templated-policy", "list")
	run(`set successfully`, 0, "acl", "set-agent-token", "agent", reader)
	run(`Success! Data written to: app/x`, 0, "kv", "put", "app/x", "hello")
	run(`(?s)alive.*server`, 0, "members")
	run(`leader`, 0, "operator", "raft", "list-peers")
	run(`Saved and verified snapshot`, 0, "snapshot", "save", filepath.Join(dir, "a.snap"))
	run(`Restored snapshot`, 0, "snapshot", "restore", filepath.Join(dir, "a.snap"))
	run(`held`, 0, "lock", "jobs/x", "echo held")
	management := token
	token = reader
	run(`^hello`, 0, "kv", "get", "app/x")
	run(`lacks permission 'key:write' on \\?"app/x\\?"`, 1, "kv", "put", "app/x", "no")
	token = management
	run(`deleted successfully`, 0, "acl", "token", "delete", "-accessor-id="+accessor)
	token = reader
	run(`ACL not found`, 1, "kv", "get", "app/x")
}
