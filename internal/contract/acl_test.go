package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// managementToken is the secret of the token with all rights that servers begin with.
const managementToken = "7a1d6f0e-52c3-4f1b-9a55-0c6f1c2d3e4f"

// aclProfile is a start state that cases of access control want.
type aclProfile struct {
	name  string
	acl   map[string]any
	token string // of who runs the cases; "-" for nobody
	args  []string
}

// aclProfiles are those that the cases name.
func aclProfiles() []aclProfile {
	management := map[string]any{"initial_management": managementToken}
	return []aclProfile{
		{"default", map[string]any{"enabled": true, "default_policy": "deny", "tokens": management}, managementToken, nil},
		{"keylist", map[string]any{"enabled": true, "default_policy": "deny", "enable_key_list_policy": true, "tokens": management}, managementToken, nil},
		{"allow", map[string]any{"enabled": true, "default_policy": "allow", "tokens": management}, managementToken, nil},
		{"bootstrap", map[string]any{"enabled": true, "default_policy": "deny"}, "-", nil},
		{"disabled", map[string]any{"enabled": false}, "-", nil},
	}
}

func (p *aclProfile) options() testcluster.Options {
	o := testcluster.Options{Config: map[string]any{"acl": p.acl}}
	if p.token != "-" {
		o.Token = p.token
	}
	return o
}

// optionsReadBy are the options of a server whose requests somebody reads.
func (p *aclProfile) optionsReadBy(reader string) testcluster.Options {
	o := p.options()
	o.Env = readBy(reader)
	return o
}

// TestACLContract runs the cases of access control against a server in each start state,
// whoever reads its requests.
func TestACLContract(t *testing.T) {
	dir := aclContractDir(t)
	for _, reader := range readers {
		t.Run(reader, func(t *testing.T) {
			if reader != readers[0] && testing.Short() {
				t.Skip("the server's own reader stands for both")
			}
			for _, p := range aclProfiles() {
				t.Run(p.name, func(t *testing.T) {
					replayACL(t, dir, testcluster.Start(t, p.optionsReadBy(reader)).URL(), &p, nil)
				})
			}
		})
	}
}

// TestACLContractOfHashedSecrets runs the cases where only hashes of secrets are kept:
// those must fail that read a secret back, and no others.
func TestACLContractOfHashedSecrets(t *testing.T) {
	dir := aclContractDir(t)
	if testing.Short() {
		t.Skip("a server that keeps secrets stands for both")
	}
	p := aclProfiles()[0]
	p.acl["secrets"] = "hashed"
	const readsBack = "it reads a secret back, and only its hash is kept"
	replayACL(t, dir, testcluster.Start(t, p.options()).URL(), &p, map[string]string{
		"token-07": readsBack, "token-11": readsBack, "token-13": readsBack,
	})
}

// TestACLContractSlowly runs the cases that wait for more than a minute.
func TestACLContractSlowly(t *testing.T) {
	dir := aclContractDir(t)
	if testing.Short() {
		t.Skip("it takes more than a minute")
	}
	p := aclProfiles()[0]
	p.args = []string{"--slow", "--only", "token-24"}
	replayACL(t, dir, testcluster.Start(t, p.options()).URL(), &p, nil)
}

// TestACLContractOfACluster runs the cases against each of three servers: a decision is
// the same wherever it is made. They were written for a server alone; what they say of it
// as the only one is said of the three instead (ofCluster).
func TestACLContractOfACluster(t *testing.T) {
	dir := aclContractDir(t)
	if testing.Short() {
		t.Skip("a server alone stands for all")
	}
	for _, reader := range readers {
		t.Run(reader, func(t *testing.T) {
			p := aclProfiles()[0]
			c := testcluster.StartCluster(t, testcluster.ClusterOptions{Each: p.optionsReadBy(reader)})
			var names []string
			for _, s := range c.Servers() {
				names = append(names, s.Name())
			}
			p.args = []string{"--cases", ofCluster(t, dir, names)}
			for _, s := range c.Servers() {
				t.Run(s.Name(), func(t *testing.T) { replayACL(t, dir, s.URL(), &p, nil) })
			}
		})
	}
}

// aclCases are the parts of the file of cases that a test changes.
type aclCases map[string]any

// ofCluster writes down the cases for servers of those names, and returns the file. Three
// cases count on the server being alone, each in one thing that it is answered.
func ofCluster(t *testing.T, dir string, names []string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "acl_cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases aclCases
	numbers := json.NewDecoder(bytes.NewReader(text))
	numbers.UseNumber()
	if err := numbers.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"@len": len(names)}
	members := []any{}
	for _, name := range names {
		members = append(members, map[string]any{"Name": name})
	}
	everybody := map[string]any{"@set": members}
	cases.expect(t, "open-01", "/v1/status/peers", func(_ int, expect map[string]any) { expect["json"] = all })
	cases.expect(t, "atok-05", "/v1/agent/members", func(_ int, expect map[string]any) { expect["json"] = everybody })
	cases.expect(t, "agent-04", "/v1/agent/members", func(n int, expect map[string]any) {
		if n == 0 { // by the token that sees one node: the others are left out
			expect["headers"] = map[string]any{"X-Consul-Results-Filtered-By-ACLs": "true"}
		}
	})
	file := filepath.Join(t.TempDir(), "acl_cases.json")
	if text, err = json.Marshal(cases); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// expect changes what a case expects of the requests to a path, which are counted from 0.
func (cases aclCases) expect(t *testing.T, id, path string, change func(n int, expect map[string]any)) {
	t.Helper()
	n := 0
	list, _ := cases["cases"].([]any)
	for _, one := range list {
		if one, _ := one.(map[string]any); one["id"] == id {
			steps, _ := one["steps"].([]any)
			for _, step := range steps {
				step, _ := step.(map[string]any)
				if expect, ok := step["expect"].(map[string]any); ok && step["path"] == path {
					change(n, expect)
					n++
				}
			}
		}
	}
	if n == 0 {
		t.Errorf("the case %s asks nothing of %s any more: look at it again", id, path)
	}
}

// TestACLContractAfterAChange runs the cases against a server that was stopped and
// started again, and against a new one that was given a snapshot; first the old rights
// must be there.
func TestACLContractAfterAChange(t *testing.T) {
	dir := aclContractDir(t)
	if testing.Short() {
		t.Skip("a server with nothing behind it stands for all")
	}
	p := aclProfiles()[0]
	testcluster.EachMode(t, p.options(), func(t *testing.T, s *testcluster.Server) {
		create := func(path, body string) {
			t.Helper()
			if r := s.Do(http.MethodPut, path, []byte(body)); r.Status != http.StatusOK {
				t.Fatalf("%s: %d %s", path, r.Status, r.Body)
			}
		}
		const reader = "0e7a4d0c-2a61-4b0a-8c5e-3a4f7b8c9d10"
		create("/v1/acl/policy", `{"Name":"kept","Rules":"key_prefix \"kept/\" { policy = \"read\" }"}`)
		create("/v1/acl/role", `{"Name":"kept","Policies":[{"Name":"kept"}]}`)
		create("/v1/acl/token", `{"SecretID":"`+reader+`","Roles":[{"Name":"kept"}]}`)
		s.Put("kept/a", "v")
		s.Turn()
		for path, want := range map[string]int{"/v1/kv/kept/a": http.StatusOK, "/v1/kv/other": http.StatusForbidden} {
			if r := s.Do(http.MethodGet, path+"?token="+reader, nil); r.Status != want {
				t.Errorf("GET %s as the reader: %d %s, want %d", path, r.Status, r.Body, want)
			}
		}
		replayACL(t, dir, s.URL(), &p, nil)
	})
}

// aclContractDir finds the cases or skips the test.
func aclContractDir(t *testing.T) string {
	t.Helper()
	dir := contractDir(t)
	if _, err := os.Stat(filepath.Join(dir, "run_acl_cases")); err != nil {
		t.Skipf("no cases of access control in %s; name the folder of the contract in HOLDFAST_CONTRACT_DIR to run them", dir)
	}
	return dir
}

var (
	aclFailure = regexp.MustCompile(`(?m)^FAIL (\S+) .*\n +(.*)$`)
	aclListed  = regexp.MustCompile(`(?m)^(\S+-\d+) `)
)

// replayACL runs the cases of a profile. Those with an excuse must fail, all others must
// pass.
func replayACL(t *testing.T, dir, url string, p *aclProfile, excuses map[string]string) {
	t.Helper()
	args := append([]string{url, p.token, "--profile", p.name}, p.args...)
	listed := aclListed.FindAllStringSubmatch(runACLCases(t, dir, append(args, "--list")...), -1)
	if len(listed) == 0 {
		t.Fatalf("there is no case for the profile %s", p.name)
	}
	output := runACLCases(t, dir, args...)
	failures := map[string]string{}
	for _, m := range aclFailure.FindAllStringSubmatch(output, -1) {
		failures[m[1]] = m[2]
	}
	known := map[string]bool{}
	for _, m := range listed {
		id := m[1]
		known[id] = true
		t.Run(id, func(t *testing.T) {
			if fault := judge(failures[id], excuses[id]); fault != "" {
				t.Error(fault)
			}
		})
	}
	for id := range excuses {
		if !known[id] {
			t.Errorf("%s has an excuse, but the contract has no such case", id)
		}
	}
	last := lastLine([]byte(output))
	if !strings.HasSuffix(last, "failed") {
		t.Errorf("the runner did not come to its end:\n%s", output)
	}
	t.Logf("%s, profile %s: %s", url, p.name, last)
}

// runACLCases runs the program that comes with the cases.
func runACLCases(t *testing.T, dir string, args ...string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("the contract's cases are run by python3, which is not installed")
	}
	cmd := exec.CommandContext(t.Context(), python, append([]string{filepath.Join(dir, "run_acl_cases")}, args...)...)
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // that cases failed is for judge to judge
		t.Fatal(err)
	}
	return string(output)
}
