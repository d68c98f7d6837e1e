package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// areas are those of the contract that are built, whole or in part.
var areas = []string{"kv", "blocking", "txn", "conventions", "status", "snapshot", "operator", "agent", "catalog", "session", "lock", "health", "event"}

// TestContract runs the cases against a durable server and one in memory: the
// contract does not tell them apart, and neither may a client. Nor does it matter who reads
// the requests.
func TestContract(t *testing.T) {
	dir := contractDir(t)
	for _, tc := range []struct {
		name string
		opts testcluster.Options
	}{
		{"durable", testcluster.Options{}},
		{"dev", testcluster.Options{Dev: true}},
		{"net/http", testcluster.Options{Env: readBy("net/http")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name != "durable" && testing.Short() {
				t.Skip("the durable server stands for all")
			}
			runCases(t, dir, testcluster.Start(t, tc.opts), exceptions)
		})
	}
}

// readers are who may read requests, as values of http_config.server.
var readers = []string{"http1", "net/http"}

// readBy is the environment of a server whose requests somebody reads.
func readBy(reader string) []string { return []string{"HOLDFAST_HTTP_CONFIG_SERVER=" + reader} }

// TestContractOfACluster runs the cases against each of three servers, the leader and
// those that follow it: each is the whole store to its clients. Where net/http reads
// requests one follower stands for both, for the cases take long.
func TestContractOfACluster(t *testing.T) {
	dir := contractDir(t)
	if testing.Short() {
		t.Skip("the durable server stands for all")
	}
	// Patient, since the cases measure how long sessions live, which a change of the
	// leader prolongs.
	patient := map[string]any{"performance": map[string]any{"raft_multiplier": 5}}
	for _, reader := range readers {
		t.Run(reader, func(t *testing.T) {
			c := testcluster.StartCluster(t, testcluster.ClusterOptions{Each: testcluster.Options{Config: patient, Env: readBy(reader)}})
			t.Run("leader", func(t *testing.T) {
				runCases(t, dir, c.Leader(), exceptions, withoutSingle...)
			})
			followers := c.Followers()
			if reader == "net/http" {
				followers = followers[:1]
			}
			for i, s := range followers {
				t.Run(fmt.Sprintf("follower %d", i+1), func(t *testing.T) {
					runCases(t, dir, s, exceptions, withoutSingle...)
				})
			}
		})
	}
}

// withoutSingle leaves out what the contract says of a server alone only: that it has
// nobody to hand leadership to.
var withoutSingle = []string{"--skip", "single-node"}

// runCases runs all cases against a server; those with an excuse must fail.
func runCases(t *testing.T, dir string, s *testcluster.Server, excuses map[string]string, args ...string) {
	t.Helper()
	outcomes := replay(t, dir, s.URL(), len(excuses), args...)
	for _, id := range slices.Sorted(maps.Keys(outcomes)) {
		t.Run(id, func(t *testing.T) {
			if fault := judge(outcomes[id], excuses[id]); fault != "" {
				t.Error(fault)
			}
		})
	}
	for id := range excuses {
		if _, ran := outcomes[id]; !ran {
			t.Errorf("%s is on the list of exceptions, but the contract has no such case", id)
		}
	}
}

// judge compares how a case went, "" being well, with the reason for which it may
// fail, "" being none.
func judge(failure, excuse string) string {
	switch {
	case failure != "" && excuse == "":
		return failure
	case failure == "" && excuse != "":
		return "passes now: take it off the list of exceptions, where it says: " + excuse
	}
	return ""
}

// contractDir finds the contract or skips the test.
func contractDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("HOLDFAST_CONTRACT_DIR")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "contract")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "run_cases")); err != nil {
		t.Skipf("no wire contract in %s; name its folder in HOLDFAST_CONTRACT_DIR to run its cases", dir)
	}
	return dir
}

// replay runs the cases and returns for each what went wrong, "" if nothing did.
func replay(t *testing.T, dir, url string, excused int, args ...string) map[string]string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("the contract's cases are run by python3, which is not installed")
	}
	report := filepath.Join(t.TempDir(), "report.json")
	args = append([]string{
		filepath.Join(dir, "run_cases"), url, "-a", strings.Join(areas, ","), "--destructive", "--json", report,
	}, args...)
	cmd := exec.CommandContext(t.Context(), python, args...)
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // that cases failed is for judge to judge
		t.Fatal(err)
	}
	content, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("the runner left no report: %v\n%s", err, output)
	}
	var cases map[string]struct{ Error *string }
	if err := json.Unmarshal(content, &cases); err != nil {
		t.Fatalf("read the runner's report: %v", err)
	}
	if len(cases) == 0 {
		t.Fatalf("the runner ran no case:\n%s", output)
	}
	outcomes := map[string]string{}
	for id, c := range cases {
		outcomes[id] = ""
		if c.Error != nil {
			outcomes[id] = *c.Error
		}
	}
	t.Logf("%s: %s, %d of the failures are on the list", url, lastLine(output), excused)
	return outcomes
}

func lastLine(output []byte) string {
	lines := bytes.Split(bytes.TrimSpace(output), []byte("\n"))
	return string(lines[len(lines)-1])
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		rule, failure, excuse string
		fault                 bool
	}{
		{"a case that passes is fine", "", "", false},
		{"a case that fails is a fault", "status 500", "", true},
		{"an excused failure is fine", "status 404", "needs sessions", false},
		{"an excuse without a failure is a fault", "", "needs sessions", true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := judge(tc.failure, tc.excuse); (got != "") != tc.fault {
				t.Errorf("judge says %q", got)
			}
		})
	}
}
