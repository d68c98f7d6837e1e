package cells

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
)

func TestSlicesOf(t *testing.T) {
	for _, tc := range []struct {
		round time.Duration
		want  int
	}{
		{time.Millisecond, 1},
		{299 * time.Millisecond, 1},
		{300 * time.Millisecond, 2},
		{1500 * time.Millisecond, 10},
		{1700 * time.Millisecond, 10},
	} {
		if got := slicesOf(tc.round); got != tc.want {
			t.Errorf("a round of %v has %d slices, want %d", tc.round, got, tc.want)
		}
	}
}

// TestTakeTurns: each is first as often as the other, and everything that it did counts.
func TestTakeTurns(t *testing.T) {
	var order []int
	sums, err := takeTurns(4, 2, func(side int) ([]load.Result, error) {
		order = append(order, side)
		return []load.Result{
			did(1, time.Second, time.Duration(len(order))),
			did(2, time.Second, 0),
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 1, 1, 0, 0, 1, 1, 0}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
	for i, sum := range sums {
		for j, want := range []load.Result{{Ops: 4, Elapsed: 4 * time.Second, CPU: 18}, {Ops: 8, Elapsed: 4 * time.Second}} {
			got := sum[j]
			if got.Ops != want.Ops || got.Elapsed != want.Elapsed || got.CPU != want.CPU || got.Latency.Count() != want.Ops {
				t.Errorf("side %d, plan %d: %+v, %d latencies; want %+v", i, j, got, got.Latency.Count(), want)
			}
		}
	}
}

// did is a result of ops answers, each of which took a millisecond more than the one before.
func did(ops int64, elapsed, cpu time.Duration) load.Result {
	l := load.NewLatency()
	for i := range ops {
		l.Record(time.Duration(i+1) * time.Millisecond)
	}
	return load.Result{Ops: ops, Elapsed: elapsed, CPU: cpu, Latency: l}
}

// TestContestInSlices: in a round each side is first in turn, and a figure is the mean of the slices.
func TestContestInSlices(t *testing.T) {
	var order []string
	on := func(name string, figures ...float64) *side {
		n := 0
		return &side{round: func(context.Context) (values, error) {
			order = append(order, name)
			n++
			return values{figures[n-1]}, nil
		}}
	}
	c := contest{
		columns: []string{"figure"}, slices: 2,
		subject: on("subject", 1, 2, 3, 5), floor: on("floor", 10, 20, 30, 50),
	}
	row, err := c.run(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"subject", "floor", "floor", "subject", "subject", "floor", "floor", "subject"}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
	f := row.Figures[0]
	if want := (report.Values{1.5, 4}); !slices.Equal(f.Subject, want) {
		t.Errorf("the subject's rounds are %v, want %v", f.Subject, want)
	}
	if want := (report.Values{15, 40}); !slices.Equal(f.Floor, want) || len(f.Limit) != 0 {
		t.Errorf("the floor's rounds are %v, want %v; the limit's %v, want none", f.Floor, want, f.Limit)
	}
}

func TestTakeTurnsSaysWhoFailed(t *testing.T) {
	broken := errors.New("broken")
	_, err := takeTurns(2, 2, func(side int) ([]load.Result, error) {
		if side == 1 {
			return nil, broken
		}
		return []load.Result{{Latency: load.NewLatency()}}, nil
	})
	if !errors.Is(err, broken) || err.Error() != "limit: broken" {
		t.Errorf("got %v", err)
	}
}

// TestTeamValues: rates add up, of a time to an answer the worst counts, and the CPU time is
// that of all servers by what all have answered, if all of it is known.
func TestTeamValues(t *testing.T) {
	done := []load.Result{
		did(100, time.Second, 2*time.Millisecond),
		did(50, time.Second, 4*time.Millisecond),
	}
	got := team{{knowsCPU: true}, {knowsCPU: true}}.values(done)
	// A latency is known to within some percent.
	want := values{150, 50, 100, 40}
	for i, v := range got {
		if len(got) != len(want) || math.Abs(v-want[i]) > want[i]/20 {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	if got := (team{{knowsCPU: true}, {knowsCPU: false}}).values(done); !math.IsNaN(got[3]) {
		t.Errorf("the CPU time of one of two servers is given for that of both: %v", got)
	}
}

// planOfNothing asks a server that answers nothing, with success.
func planOfNothing(t *testing.T) load.Plan {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(srv.Close)
	addr := strings.TrimPrefix(srv.URL, "http://")
	request := rawhttp.Request(http.MethodGet, "/", addr, nil)
	return load.Plan{Addr: addr, Conns: 2, Next: func(int, int) []byte { return request }, Check: wantOK}
}

// TestDuel: both sides run, whatever the number of their plans, and one that breaks ends it.
func TestDuel(t *testing.T) {
	plan := planOfNothing(t)
	var mu sync.Mutex
	var used time.Duration // in each slice of each plan an hour
	plan.CPU = func() (time.Duration, error) {
		mu.Lock()
		defer mu.Unlock()
		used += time.Hour
		return used, nil
	}
	broken := plan
	broken.Check = func(rawhttp.Response) error { return errors.New("broken") }

	fight := func(limit load.Plan) (report.Row, error) {
		return duel{costColumns, duelist{plan, plan}, duelist{limit}, nil}.run(t.Context(), 3, 10*time.Millisecond)
	}
	row, err := fight(plan)
	if err != nil {
		t.Fatal(err)
	}
	if len(row.Figures) != 4 {
		t.Fatalf("%d figures, want 4", len(row.Figures))
	}
	if f := row.Figures[3]; f.Name != cpuOfAll {
		t.Errorf("the last figure is %s, want the CPU time of all", f.Name)
	}
	for _, f := range row.Figures {
		if len(f.Subject) != 3 || len(f.Limit) != 3 || f.Subject.Median() <= 0 || f.Limit.Median() <= 0 {
			t.Errorf("%s: %v and %v, want 3 rounds of each", f.Name, f.Subject, f.Limit)
		}
	}
	if _, err := fight(broken); err == nil || !strings.HasPrefix(err.Error(), "limit: ") {
		t.Errorf("a limit that breaks: %v", err)
	}
	unreachable := plan
	unreachable.Addr = "127.0.0.1:1"
	if _, err := fight(unreachable); err == nil || !strings.HasPrefix(err.Error(), "limit: ") {
		t.Errorf("a limit that cannot be reached: %v", err)
	}
}

// TestDuelGoesOnWithoutThePeer: what goes wrong with it is told, and what was measured of it stays.
func TestDuelGoesOnWithoutThePeer(t *testing.T) {
	plan := planOfNothing(t)
	looks := 0 // two in a slice, and a slice in a round
	breaking := plan
	breaking.CPU = func() (time.Duration, error) {
		if looks++; looks > 8 {
			return 0, errors.New("broken")
		}
		return 0, nil
	}
	unreachable := plan
	unreachable.Addr = "127.0.0.1:1"
	for _, tc := range []struct {
		peer   load.Plan
		rounds int // of it
		note   string
	}{
		{plan, 5, ""},
		{breaking, 3, "peer: "}, // and one to warm up
		{unreachable, 0, "peer: "},
	} {
		row, err := duel{closedColumns, duelist{plan}, duelist{plan}, duelist{tc.peer}}.run(t.Context(), 5, 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range row.Figures {
			if len(f.Subject) != 5 || len(f.Limit) != 5 || len(f.Peer) != tc.rounds {
				t.Errorf("%s: rounds %d, %d and %d of the peer; want 5, 5 and %d", f.Name, len(f.Subject), len(f.Limit), len(f.Peer), tc.rounds)
			}
		}
		if !strings.HasPrefix(row.Note, tc.note) || (tc.note == "") != (row.Note == "") {
			t.Errorf("note %q, want %q", row.Note, tc.note)
		}
	}
}
