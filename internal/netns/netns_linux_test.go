package netns

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// reaches tells whether one node gets an answer from another, by the echo of the kernel.
// It is asked by a shell of the node, which opens a connection to a port on which nobody
// listens: a refusal is an answer, too.
func reaches(t *testing.T, n *Net, from, to int) bool {
	t.Helper()
	script := "exec 3<>/dev/tcp/" + n.PeerAddr(to).String() + "/9"
	line := append(n.Command(from), "timeout", "1", "bash", "-c", script)
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Stderr = &out
	err := cmd.Run()
	switch {
	case strings.Contains(out.String(), "refused"):
		return true
	case err == nil:
		t.Fatal("somebody listens there")
	}
	return false
}

func TestFaultsOfTheKernel(t *testing.T) {
	n, err := New()
	if err != nil {
		t.Skipf("NOT TESTED HERE: no network namespaces: %v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat("/sys/class/net/" + n.name + "p"); err == nil {
			t.Error("a bridge is left behind")
		}
	})
	for id := range 3 {
		if err := n.Attach(id); err != nil {
			t.Fatal(err)
		}
	}
	if n.Attach(1) == nil {
		t.Error("a number is given twice")
	}
	check := func(when string, want map[[2]int]bool) {
		t.Helper()
		for pair, can := range want {
			if got := reaches(t, n, pair[0], pair[1]); got != can {
				t.Errorf("%s: node %d reaches node %d: %v, want %v", when, pair[0], pair[1], got, can)
			}
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for !reaches(t, n, 0, 1) && time.Now().Before(deadline) { // the bridge has just begun
	}
	check("at first", map[[2]int]bool{{0, 1}: true, {1, 2}: true, {2, 0}: true})
	if err := n.Isolate(0); err != nil {
		t.Fatal(err)
	}
	check("node 0 is cut off", map[[2]int]bool{{0, 1}: false, {2, 0}: false, {1, 2}: true})
	if err := n.Heal(); err != nil {
		t.Fatal(err)
	}
	check("healed", map[[2]int]bool{{0, 1}: true, {2, 0}: true})
	if err := n.Drop(0, 1); err != nil {
		t.Fatal(err)
	}
	// Neither gets an answer from the other: one's question is lost, the other's answer.
	check("nothing of node 0 comes to node 1", map[[2]int]bool{{0, 1}: false, {1, 0}: false, {0, 2}: true, {1, 2}: true})
	if err := n.Heal(); err != nil {
		t.Fatal(err)
	}
	check("healed again", map[[2]int]bool{{0, 1}: true, {1, 0}: true})
}

func TestWhatIsLeftBehind(t *testing.T) {
	for name, want := range map[string]bool{
		"hfzzzzzx01p": true, "hfzzzzzx01-3": true, "hf1x01": false, "eth0": false, "hf": false, "hfzzzzz": false,
	} {
		if got := ofTheDead(name); got != want {
			t.Errorf("%s is of a process that has ended: %v, want %v", name, got, want)
		}
	}
}
