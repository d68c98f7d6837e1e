//go:build unix

package faults

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
	"github.com/holdfast-kv/holdfast/internal/torture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What "make torture" can be told.
var (
	long      = flag.Bool("long", false, "run TestLong")
	names     = flag.String("fault", "", "names of faults, separated by commas; empty is all")
	runs      = flag.Int("runs", 10, "how often each fault happens")
	duration  = flag.Duration("duration", 0, "go on with more runs until so much time has passed")
	span      = flag.Duration("span", 4*time.Second, "how long a fault lasts that lasts")
	seed      = flag.Uint64("seed", 1, "of the first run; each further one has the next")
	servers   = flag.Int("servers", 3, "size of the cluster: 1, 3 or 5")
	reportDir = flag.String("report-dir", "", "where histories that cannot be explained are drawn, and the servers' logs of runs that miss a bar are kept")
	logLevel  = flag.String("log-level", "info", "what servers log at least")
)

// TestFaults lets each fault happen once, shortly. What it costs is not judged: the
// machine may be busy with other tests.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster per fault")
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { short(t, f, max(f.least, 3)) })
	}
}

// TestFaultsOfOne: a cluster of one keeps its promises, too; it is only not there for a
// while.
func TestFaultsOfOne(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server per fault")
	}
	for _, f := range faults {
		if f.least == 1 {
			t.Run(f.name, func(t *testing.T) { short(t, f, 1) })
		}
	}
}

// TestFaultsOfFive: five servers, for the faults in which it makes a difference.
func TestFaultsOfFive(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster per fault")
	}
	for _, f := range faults {
		if slices.Contains([]string{"kill-leader", "kill-majority", "cut-leader"}, f.name) {
			t.Run(f.name, func(t *testing.T) { short(t, f, 5) })
		}
	}
}

func short(t *testing.T, f fault, size int) {
	skipWithoutNetwork(t, f)
	r := do(t, f, settings{servers: size, seed: 1, span: 3 * time.Second, calm: 1500 * time.Millisecond, logLevel: "info"})
	for _, broken := range r.Result.Faults {
		t.Error(broken)
	}
	t.Logf("silence %s, equal after %s, watchers late by %s; %d writes, %d keys checked with %d operations, %d of them open, %d tenures, not acknowledged: %v",
		r.Silence().Length, r.Result.Equal, r.Result.Late, r.Result.Writes, r.Result.Keys, r.Result.Operations, r.Result.Unknown, r.Result.Tenures, r.Result.Failures)
	if r.Result.Writes < 50 || r.Result.Keys < 2 || r.Result.Polls < 20 {
		t.Error("too little was done to find anything")
	}
}

func skipWithoutNetwork(t *testing.T, f fault) {
	t.Helper()
	if f.kernel {
		if err := testcluster.CanSeparate(); err != nil {
			t.Skipf("NOT TESTED HERE: servers cannot have network namespaces on this system: %v", err)
		}
	}
	if !f.network {
		return
	}
	if err := testcluster.CanFault(); err != nil {
		t.Skipf("NOT TESTED HERE: the network between servers cannot be broken on this system: %v", err)
	}
}

// TestLong is "make torture".
func TestLong(t *testing.T) {
	if !*long {
		t.Skip(`"make torture" runs it`)
	}
	chosen := choose(t)
	began := time.Now()
	rows := make([]torture.Row, len(chosen))
	for round := 0; round < *runs || time.Since(began) < *duration; round++ {
		for i, f := range chosen {
			at := settings{servers: max(*servers, f.least), seed: *seed + uint64(round), span: *span, calm: 2 * time.Second, reportDir: *reportDir, logLevel: *logLevel, judge: true}
			rows[i].Fault, rows[i].Servers, rows[i].Bars = f.name, at.servers, recovery
			rows[i].Bars.SilenceMedian, rows[i].Bars.Silence = f.silence.median, f.silence.worst
			if at.servers == 1 { // while it is away there is nobody to write to
				rows[i].Bars.SilenceMedian, rows[i].Bars.Silence = 0, 0
			}
			row := &rows[i]
			mayBeAside := torture.MayBeAside(max(*runs, round+1))
			for again := true; again; {
				again = false
				t.Run(fmt.Sprintf("%s/%d", f.name, at.seed), func(t *testing.T) {
					skipWithoutNetwork(t, f)
					r := do(t, f, at)
					if again = r.Disturbed(row.Bars) && len(row.Aside) < mayBeAside; again {
						row.Aside = append(row.Aside, r)
						return
					}
					row.Runs = append(row.Runs, r)
					for _, broken := range r.Result.Faults {
						t.Error(broken)
					}
				})
			}
			if len(row.Runs) > 0 {
				fmt.Printf("%s: silence %s\n", t.Name()+"/"+row.Fault, row.Runs[len(row.Runs)-1].Silence().Length.Round(time.Millisecond))
			}
		}
	}
	fmt.Println()
	if !torture.Report(os.Stdout, rows) {
		t.Fail()
	}
}

// choose finds the faults that the flags name.
func choose(t *testing.T) []fault {
	t.Helper()
	var chosen []fault
	for _, f := range faults {
		if *names == "" || slices.Contains(strings.Split(*names, ","), f.name) {
			if *servers >= f.least {
				chosen = append(chosen, f)
			}
		}
	}
	if len(chosen) == 0 {
		t.Fatalf("no fault is called %q, or none for %d servers", *names, *servers)
	}
	return chosen
}
