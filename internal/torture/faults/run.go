//go:build unix

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
	"github.com/holdfast-kv/holdfast/internal/torture"
)

// settings are those of one run.
type settings struct {
	servers   int
	seed      uint64
	span      time.Duration // how long a fault lasts that lasts
	calm      time.Duration // of load before it
	reportDir string        // for drawings of histories, and logs; "" is none
	logLevel  string        // of the servers
	judge     bool          // what depends on the machine's speed, too
}

// aftermath is how much longer the load goes on when all servers take writes again: what
// an old leader says that has just come back is seen then. It is short, since it counts
// as time that the servers need to be equal.
const aftermath = 500 * time.Millisecond

// run is a fault that happens to a cluster under load.
type run struct {
	tb      testing.TB
	set     settings
	cluster *testcluster.Cluster
	load    *torture.Load
	rand    *rand.Rand
	harmed  map[int]bool
	silent  map[int]bool          // whose clients must have noticed, or nothing has happened
	gone    []*testcluster.Server // that were members for a while
}

// waking is how long every server may take until it takes writes again, before the run
// is given up. It is no bar: those are for the results.
const waking = 30 * time.Second

// do has the fault happen once, to a new cluster, and returns what was found.
func do(tb testing.TB, f fault, set settings) torture.Run {
	tb.Helper()
	r := &run{tb: tb, set: set, rand: rand.New(rand.NewPCG(set.seed, 2)), harmed: map[int]bool{}, silent: map[int]bool{}}
	r.cluster = testcluster.StartCluster(tb, testcluster.ClusterOptions{
		Servers: set.servers,
		Faults:  f.network, Namespaces: f.kernel,
		Each: testcluster.Options{Config: map[string]any{
			"log_level": set.logLevel,
			"autopilot": map[string]any{"server_stabilization_time": "1s"}, // a new server is to get its vote soon
		}},
	})
	var urls []string
	for _, s := range r.cluster.Servers() {
		urls = append(urls, s.URL())
	}
	r.load = torture.Start(tb.Context(), torture.Config{Servers: urls, Seed: set.seed, Dir: tb.TempDir(), ReportDir: set.reportDir})
	defer r.load.Close()
	r.writable("before the fault")
	r.wait(set.calm)
	f.happen(r)
	r.writable("after the fault")
	r.wait(aftermath)

	result := torture.Run{Seed: set.seed, Result: r.load.Settle(tb.Context())}
	for id := range urls {
		if got := result.Result.ServerSilence[id]; r.silent[id] && got < set.span/2 {
			tb.Errorf("nobody noticed what was done to server %d: its clients could not write for %s, of %s", id, got, set.span)
		}
		if !r.harmed[id] {
			result.Spared = append(result.Spared, id)
		}
	}
	if silence := result.Silence(); set.judge && f.silence.worst > 0 && silence.Length > f.silence.worst {
		r.keepLogs(f.name, silence)
	}
	return result
}

// keepLogs keeps what the servers have said in a run that misses its bar: what the silence came
// from is seen there, or nowhere.
func (r *run) keepLogs(fault string, silence torture.Silence) {
	r.tb.Helper()
	from, to := r.load.Clock(silence.At), r.load.Clock(silence.At+silence.Length)
	const clock = "15:04:05.000"
	r.tb.Logf("silence from %s to %s; the fault began at %s", from.Format(clock), to.Format(clock), r.load.Clock(r.load.MarkedAt(torture.FaultBegins)).Format(clock))
	if r.set.reportDir == "" {
		return
	}
	r.must(os.MkdirAll(r.set.reportDir, 0o755))
	for _, s := range append(r.cluster.Servers(), r.gone...) {
		name := filepath.Join(r.set.reportDir, fmt.Sprintf("%s-%d-%s.log", fault, r.set.seed, s.Name()))
		r.must(os.WriteFile(name, []byte(s.Log()), 0o644))
		r.tb.Logf("%s has the log of %s", name, s.Name())
	}
}

func (r *run) writable(when string) {
	r.tb.Helper()
	if err := r.load.AwaitWrites(r.tb.Context(), waking); err != nil {
		r.tb.Fatalf("%s: %v", when, err)
	}
}

// must ends the run when the fault could not be done.
func (r *run) must(err error) {
	r.tb.Helper()
	if err != nil {
		r.tb.Fatal(err)
	}
}

// begin marks the beginning of the fault.
func (r *run) begin() { r.load.Mark(torture.FaultBegins) }

// end marks its end: from here on all is as it was, or is on the way there.
func (r *run) end() { r.load.Mark(torture.FaultEnds) }

// hold lets the fault last.
func (r *run) hold() { r.wait(r.set.span) }

// hit notes that something is done to servers.
func (r *run) hit(servers ...*testcluster.Server) {
	for _, s := range servers {
		r.harmed[s.ID()] = true
	}
}

// silence notes that clients of servers cannot write while the fault lasts. It is checked:
// a fault that nobody notices tests nothing.
func (r *run) silence(servers ...*testcluster.Server) {
	for _, s := range servers {
		r.silent[s.ID()] = true
	}
}

// anyOf draws a server.
func (r *run) anyOf(servers []*testcluster.Server) *testcluster.Server {
	return servers[r.rand.IntN(len(servers))]
}

// wait lets time pass, under load.
func (r *run) wait(d time.Duration) {
	ctx, cancel := context.WithTimeout(r.tb.Context(), d)
	defer cancel()
	<-ctx.Done()
}
