package torture

import (
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	const ms = time.Millisecond
	result := func(all time.Duration, servers ...time.Duration) *Result {
		return &Result{Silence: all, ServerSilence: servers, ServerSilenceAt: make([]time.Duration, len(servers)), ServerStall: make([]time.Duration, len(servers)), Equal: 900 * ms, Late: 20 * ms}
	}
	bars := Bars{SilenceMedian: 100 * ms, Silence: 200 * ms, Equal: time.Second, Late: 500 * ms}
	for _, tc := range []struct {
		rule string
		row  Row
		want string // in the verdict; "" is well
	}{
		{"all below the bars", Row{Bars: bars, Runs: []Run{{Result: result(50 * ms)}, {Result: result(90 * ms)}}}, ""},
		{"the median counts", Row{Bars: bars, Runs: []Run{{Result: result(50 * ms)}, {Result: result(110 * ms)}, {Result: result(120 * ms)}}}, "median silence 110ms > 100ms"},
		{"one bad run does not raise it", Row{Bars: bars, Runs: []Run{{Result: result(50 * ms)}, {Result: result(60 * ms)}, {Result: result(190 * ms)}}}, ""},
		{"but the worst counts too", Row{Bars: bars, Runs: []Run{{Result: result(50 * ms)}, {Result: result(60 * ms)}, {Result: result(210 * ms)}}}, "silence 210ms > 200ms"},
		{"with what the machine cost beside that silence", Row{Bars: bars, Runs: []Run{
			{Result: &Result{Silence: 90 * ms, Stall: 300 * ms, SilenceStall: 80 * ms}},
			{Result: &Result{Silence: 210 * ms, Stall: 400 * ms, SilenceStall: 190 * ms}},
			{Result: result(50 * ms)},
		}}, "silence 210ms > 200ms (a bare write and flush beside it took 190ms)"},
		{"of a spared server beside its own", Row{Bars: bars, Runs: []Run{{Spared: []int{0, 2}, Result: &Result{
			ServerSilence: []time.Duration{ms, 900 * ms, 300 * ms}, ServerSilenceAt: make([]time.Duration, 3), ServerStall: []time.Duration{7 * ms, 8 * ms, 240 * ms}, SilenceStall: 9 * ms,
		}}}}, "silence 300ms > 200ms (a bare write and flush beside it took 240ms)"},
		{"which may be nothing", Row{Bars: bars, Runs: []Run{{Result: result(210 * ms)}}}, "(a bare write and flush beside it took <5ms)"},
		{"or unknown", Row{Bars: bars, Runs: []Run{{Result: &Result{Silence: 210 * ms, SilenceStall: noWitness}}}}, "(a bare write and flush beside it took ?)"},
		{"of spared servers the worst", Row{Bars: bars, Runs: []Run{{Spared: []int{0, 2}, Result: result(ms, 60*ms, 900*ms, 300*ms)}}}, "silence 300ms"},
		{"servers that were hit do not count", Row{Bars: bars, Runs: []Run{{Spared: []int{0, 2}, Result: result(ms, 60*ms, 900*ms, 80*ms)}}}, ""},
		{"no bar is no judgement", Row{Runs: []Run{{Result: result(time.Hour)}}}, ""},
		{"late servers", Row{Bars: Bars{Equal: 800 * ms}, Runs: []Run{{Result: result(0)}}}, "equal after 900ms > 800ms"},
		{"late watchers", Row{Bars: Bars{Late: 10 * ms}, Runs: []Run{{Result: result(0)}}}, "watchers late by 20ms > 10ms"},
		{"a broken promise", Row{Runs: []Run{{Result: &Result{Faults: []string{"x is lost"}}}}}, "1 broken promises"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var out strings.Builder
			ok := Report(&out, []Row{tc.row})
			if ok != (tc.want == "") || !strings.Contains(out.String(), tc.want) {
				t.Errorf("ok %v, want %q:\n%s", ok, tc.want, out.String())
			}
		})
	}
}

func TestDisturbed(t *testing.T) {
	const ms = time.Millisecond
	bars := Bars{Silence: 200 * ms}
	for _, tc := range []struct {
		rule   string
		result Result
		want   bool
	}{
		{"below the bar there is nothing to excuse", Result{Silence: 190 * ms, SilenceStall: 180 * ms}, false},
		{"the machine stood still nearly all the time", Result{Silence: 568 * ms, SilenceStall: 545 * ms}, true},
		{"and without that it would have been too long as well", Result{Silence: 568 * ms, SilenceStall: 360 * ms}, false},
		{"the machine did nothing of the kind", Result{Silence: 250 * ms}, false},
		{"nobody has seen what it did", Result{Silence: 210 * ms, SilenceStall: noWitness}, false},
		{"a broken promise is none of the machine's", Result{Silence: 568 * ms, SilenceStall: 545 * ms, Faults: []string{"x is lost"}}, false},
	} {
		if got := (Run{Result: &tc.result}).Disturbed(bars); got != tc.want {
			t.Errorf("%s: %v", tc.rule, got)
		}
	}
	if (Run{Result: &Result{Silence: time.Hour, SilenceStall: time.Hour}}).Disturbed(Bars{}) {
		t.Error("a bar that is not there is missed")
	}
}

func TestRunsSetAsideAreTold(t *testing.T) {
	aside := Run{Seed: 7, Result: &Result{Silence: 568 * time.Millisecond, SilenceStall: 545 * time.Millisecond}}
	row := Row{Fault: "one-way", Bars: Bars{Silence: 300 * time.Millisecond}, Runs: []Run{{Result: &Result{}}}, Aside: []Run{aside}}
	var out strings.Builder
	const told = "one-way, seed 7: set aside and done again: a silence of 568ms, but a bare write and flush beside it took 545ms"
	if !Report(&out, []Row{row}) || !strings.Contains(out.String(), told) {
		t.Errorf("it is a miss, or is not told:\n%s", out.String())
	}
}

// at is times in milliseconds.
func at(ms ...int) (times []time.Duration) {
	for _, m := range ms {
		times = append(times, time.Duration(m)*time.Millisecond)
	}
	return times
}

func TestSilenceBeforeTheFaultIsThatOfTheMachine(t *testing.T) {
	l := &Load{clients: []*client{{id: 0}, {id: 1}}}
	l.writers = []*writer{
		{client: l.clients[0], successes: at(1000, 1100, 1200, 1900, 2500)},
		{client: l.clients[1], successes: at(900, 1300, 1600, 1800, 4000)},
	}
	var r Result
	l.measureSilence(&r, 2000*time.Millisecond, 4100*time.Millisecond)
	if want := 700 * time.Millisecond; r.CalmSilence != want {
		t.Errorf("before the fault %s, want %s", r.CalmSilence, want)
	}
	if want := 2200 * time.Millisecond; r.ServerSilence[1] != want {
		t.Errorf("of the second server's clients %s, want %s", r.ServerSilence[1], want)
	}
}
