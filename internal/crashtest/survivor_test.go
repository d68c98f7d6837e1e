package crashtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// recoverCommand runs "holdfast operator recover".
func recoverCommand(t *testing.T, args ...string) (exitCode int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(testcluster.Binary(t), append([]string{"operator", "recover"}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// refused runs it and wants it to fail with these words and to change nothing.
func refused(t *testing.T, s *testcluster.Server, says string, args ...string) {
	t.Helper()
	if code, out, errOut := recoverCommand(t, args...); code == 0 || !strings.Contains(errOut, says) {
		t.Errorf("%q: exit code %d, %q, %q; want a refusal that says %q", args, code, out, errOut, says)
	}
	if _, err := os.Stat(filepath.Join(s.DataDir, "raft", "peers.json")); !os.IsNotExist(err) {
		t.Fatalf("%q has left a peers.json: %v", args, err)
	}
}

// TestRecoverTheFurthest: of five servers three are lost for good; of the two that are
// left the further one is found and goes on with all it has, and the other joins it.
func TestRecoverTheFurthest(t *testing.T) {
	if testing.Short() {
		t.Skip("starts five servers")
	}
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{Servers: 5})
	leader := c.Leader()
	behind, furthest := c.Followers()[0], c.Followers()[1]
	var keys []string
	put := func(n int) {
		t.Helper()
		for range n {
			keys = append(keys, fmt.Sprintf("k/%02d", len(keys)))
			leader.Put(keys[len(keys)-1], "v")
		}
	}
	put(10)
	refused(t, behind, "is in use by the process", "-recover", "-yes=1", behind.DataDir)
	behind.Kill9()
	put(20)
	for _, key := range keys { // linearizable, so it has them all
		if _, found := furthest.Get(key); !found {
			t.Fatalf("%s is missing before anything happened", key)
		}
	}
	refused(t, behind, "no majority is lost: 5 of 5", "-recover", "-yes=1", behind.DataDir)
	for _, s := range c.Servers() {
		if s != furthest && s != behind {
			s.Kill9()
		}
	}
	refused(t, behind, "answers at "+furthest.PeerAddr()+": stop it", "-recover", "-yes=1", behind.DataDir)
	furthest.Kill9()

	reports := t.TempDir()
	report := func(s *testcluster.Server) (file string, index uint64) {
		t.Helper()
		code, out, errOut := recoverCommand(t, "-format=json", s.DataDir)
		var r struct {
			NodeID              string
			LastTerm, LastIndex uint64
			Servers             []struct{ ID string }
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
			t.Fatalf("report of %s: exit code %d, %v: %s%s", s.Name(), code, err, out, errOut)
		}
		if r.NodeID == "" || r.LastTerm == 0 || len(r.Servers) != 5 {
			t.Errorf("report of %s: %s", s.Name(), out)
		}
		file = filepath.Join(reports, s.Name()+".json")
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		return file, r.LastIndex
	}
	behindFile, behindIndex := report(behind)
	furthestFile, index := report(furthest)
	if index < behindIndex+20 {
		t.Errorf("the last indexes are %d and %d, with 20 writes between them", behindIndex, index)
	}
	yes := "-yes=" + strconv.FormatUint(index, 10)

	rubbish := filepath.Join(reports, "rubbish")
	if err := os.WriteFile(rubbish, []byte(`{"NodeID": "x", "What": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(reports, "stranger")
	text := `{"NodeID": "x", "LastTerm": 9, "LastIndex": 9, "Servers": [{"ID": "x", "Address": "127.0.0.1:1", "Voter": true}]}`
	if err := os.WriteFile(stranger, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		says string
		args []string
	}{
		{"the argument DATA-DIR is missing", nil},
		{"is not the data dir of a server", []string{"-recover", yes, reports}},
		{"is not the data dir of a server", []string{"-recover", yes, filepath.Join(reports, "absent")}},
		{"is no report", []string{"-recover", yes, furthest.DataDir, rubbish}},
		{"is of another cluster", []string{"-recover", yes, furthest.DataDir, stranger}},
		{"there are two reports of server", []string{"-recover", yes, furthest.DataDir, furthestFile}},
		{"the last index is", []string{"-recover", "-yes=1", furthest.DataDir, behindFile}},
		{"needs -yes=INDEX", []string{"-recover", furthest.DataDir, behindFile}},
		{"-yes is for -recover", []string{yes, furthest.DataDir}},
	} {
		refused(t, furthest, tc.says, tc.args...)
	}
	refused(t, behind, "is further, at term", "-recover", "-yes="+strconv.FormatUint(behindIndex, 10), behind.DataDir, furthestFile)
	if code, out, _ := recoverCommand(t, furthest.DataDir, behindFile); code != 0 || !strings.Contains(out, "furthest, this server") ||
		!strings.Contains(out, "This server may be recovered") || strings.Count(out, "no report") != 3 {
		t.Errorf("the table, exit code %d: %s", code, out)
	}

	if code, out, errOut := recoverCommand(t, "-recover", yes, furthest.DataDir, behindFile); code != 0 {
		t.Fatalf("recover: exit code %d: %s%s", code, out, errOut)
	}
	furthest.Start()
	for _, key := range keys {
		if _, found := furthest.Get(key); !found {
			t.Errorf("%s is lost", key)
		}
	}
	furthest.Put("after", "x")
	behind.Wipe()
	behind.Start()
	for _, s := range []*testcluster.Server{behind, furthest} {
		if v, _ := s.Get("after"); v != "x" {
			t.Errorf("%s has %q", s.Name(), v)
		}
	}
}
