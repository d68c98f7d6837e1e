package testcluster

import "testing"

func TestRaces(t *testing.T) {
	const (
		line   = "==================\n"
		write  = "github.com/hashicorp/raft.(*Raft).startStopReplication()\n      raft.go:624 +0x4c4\n  github.com/hashicorp/raft.(*Raft).leaderLoop()\n      raft.go:899 +0x2384\n\n"
		read   = "github.com/hashicorp/raft.updateLastAppended()\n      replication.go:660 +0xc9\n\n"
		origin = "Goroutine 20 (running) created at:\n  main.main()\n"
	)
	report := func(first, a, second, b string) string {
		return line + "WARNING: DATA RACE\n" + first + " at 0x00c0002ebe28 by goroutine 20:\n  " + a +
			second + " at 0x00c0002ebe28 by goroutine 91:\n  " + b + origin + line
	}
	known := report("Write", write, "Previous read", read)
	for _, tc := range []struct {
		name, output string
		want         int
	}{
		{"none", "a line\nanother one\n", 0},
		{"the known one", "a line\n" + known + "another one\n", 0},
		{"the known one, the other way round", report("Read", read, "Previous write", write), 0},
		{"another write", report("Write", "main.main()\n      main.go:1 +0x1\n\n", "Previous read", read), 1},
		{"another read", report("Write", write, "Previous read", "main.main()\n      main.go:1 +0x1\n\n"), 1},
		{"another one behind it", known + "a line\n" + report("Write", write, "Previous write", write), 1},
		{"another one whose origin is like it", report("Write", "main.main()\n      main.go:1 +0x1\n\n", "Previous read", "main.main()\n      main.go:1 +0x1\n\n"+known), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := races(tc.output); len(got) != tc.want {
				t.Errorf("%d are found, want %d: %q", len(got), tc.want, got)
			}
		})
	}
}
