package metrics

import (
	"encoding/json"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is a collector whose figures a test sets.
type probe struct {
	level, events atomic.Int64
	hist          *Histogram
}

func newProbe() *probe {
	return &probe{hist: newHistogram(Desc("test", "took_seconds", "How long."), 1, []float64{1, 10, 100})}
}

var (
	levelDesc  = Desc("test", "level", "A gauge.", "of")
	eventsDesc = Desc("test", "events_total", "A counter.")
	brokenDesc = Desc("test", "broken", "A gauge that is no number.")
)

func (p *probe) Describe(ch chan<- *prometheus.Desc) {
	ch <- levelDesc
	ch <- eventsDesc
	ch <- brokenDesc
	ch <- p.hist.desc
}

func (p *probe) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(levelDesc, prometheus.GaugeValue, float64(p.level.Load()), "a")
	ch <- prometheus.MustNewConstMetric(eventsDesc, prometheus.CounterValue, float64(p.events.Load()))
	ch <- prometheus.MustNewConstMetric(brokenDesc, prometheus.GaugeValue, math.NaN())
	ch <- p.hist.Metric()
}

// interval decodes the JSON of an interval and finds ours in it.
func interval(t *testing.T, text []byte) (s summary, gauges map[string]gauge, moved map[string]sampled) {
	t.Helper()
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatalf("interval is no JSON: %v\n%s", err, text)
	}
	gauges, moved = map[string]gauge{}, map[string]sampled{}
	for _, g := range s.Gauges {
		gauges[g.Name] = g
	}
	for _, c := range append(s.Counters, s.Samples...) {
		moved[c.Name] = c
	}
	return s, gauges, moved
}

func TestIntervalSaysWhatHappenedInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe()
		p.events.Store(40) // before the interval
		r, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = r.Run(t.Context())
		}()
		t.Cleanup(func() { <-ended })

		time.Sleep(time.Second)
		p.level.Store(7)
		p.events.Add(5)
		p.hist.Observe(4)
		p.hist.Observe(20)

		_, gauges, moved := interval(t, r.Interval())
		if gauges["holdfast.test.level"].Value != 7 || moved["holdfast.test.events_total"].Count != 5 {
			t.Errorf("before the first interval is complete there is what happened so far; have gauges %v, moved %v", gauges["holdfast.test.level"], moved)
		}

		<-r.Next()
		began := time.Now().Add(-Length).UTC()
		s, gauges, moved := interval(t, r.Interval())
		if want := began.Format("2006-01-02 15:04:05 +0000 UTC"); s.Timestamp != want {
			t.Errorf("timestamp is %q, want %q", s.Timestamp, want)
		}
		if g := gauges["holdfast.test.level"]; g.Value != 7 || g.Labels["of"] != "a" {
			t.Errorf("gauge is %+v, want 7 of a", g)
		}
		if _, ok := gauges["holdfast.test.broken"]; ok {
			t.Error("a gauge that is no number is shown")
		}
		if c := moved["holdfast.test.events_total"]; c.Count != 5 || c.Sum != 5 || c.Rate != 0.5 || c.Min != 1 || c.Max != 1 || c.Mean != 1 || c.Stddev != 0 || c.Labels == nil {
			t.Errorf("counter is %+v, want 5 steps of 1 in 10 s", c)
		}
		if c := moved["holdfast.test.took_seconds"]; c.Count != 2 || c.Sum != 24 || c.Mean != 12 || c.Min != 1 || c.Max != 100 || c.Rate != 2.4 || c.Stddev <= 0 {
			t.Errorf("samples are %+v, want 2 of 24 together, between 1 and 100", c)
		}

		<-r.Next()
		_, gauges, moved = interval(t, r.Interval())
		if _, ok := moved["holdfast.test.events_total"]; ok {
			t.Error("a counter that did not move is shown")
		}
		if gauges["holdfast.test.level"].Value != 7 {
			t.Error("a gauge is gone that did not change")
		}
	})
}

func TestIntervalHasFiveListsAndNoNull(t *testing.T) {
	text := encode(reading{at: time.Unix(1_700_000_003, 5)}, reading{at: time.Unix(1_700_000_013, 5)})
	want := `{"Timestamp":"2023-11-14 22:13:20 +0000 UTC","Gauges":[],"Points":[],"Counters":[],"Samples":[]}`
	if string(text) != want {
		t.Errorf("empty interval is\n%s, want\n%s", text, want)
	}
}

func TestCounted(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		grown float64
		want  sampled
		shown bool
	}{
		{"a whole growth is that many steps", 3, sampled{Count: 3, Sum: 3, Min: 1, Max: 1, Mean: 1}, true},
		{"a growth that is not whole is one step", 0.25, sampled{Count: 1, Sum: 0.25, Min: 0.25, Max: 0.25, Mean: 0.25}, true},
		{"no growth is not shown", 0, sampled{}, false},
		{"a counter that was set back is not shown", -4, sampled{}, false},
		{"what is no number is not shown", math.NaN(), sampled{}, false},
		{"infinity is not shown", math.Inf(1), sampled{}, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, shown := counted(tc.grown)
			if got.Labels != nil || got.Count != tc.want.Count || got.Sum != tc.want.Sum || got.Min != tc.want.Min || got.Max != tc.want.Max || got.Mean != tc.want.Mean || shown != tc.shown {
				t.Errorf("counted(%v) = %+v, %v; want %+v, %v", tc.grown, got, shown, tc.want, tc.shown)
			}
		})
	}
}

func TestDistribution(t *testing.T) {
	bounds := []float64{1, 10, 100}
	read := func(h *Histogram) *dto.Histogram {
		var m dto.Metric
		if err := h.Metric().Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetHistogram()
	}
	for _, tc := range []struct {
		rule            string
		before, in      []float64
		shown           bool
		least, greatest float64
		sum             float64
	}{
		{"nothing new is not shown", []float64{5}, nil, false, 0, 0, 0},
		{"one sample is exact", []float64{5}, []float64{42}, true, 42, 42, 42},
		{"several are known to the bucket", []float64{500}, []float64{2, 3}, true, 1, 10, 5},
		{"the least bucket begins at zero", nil, []float64{0.5, 0.5}, true, 0, 1, 1},
		{"those above the last bound count", nil, []float64{1000, 2000}, true, 100, 1500, 3000},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			h := newHistogram(Desc("test", "x_seconds", "x"), 1, bounds)
			for _, v := range tc.before {
				h.Observe(v)
			}
			old := read(h)
			for _, v := range tc.in {
				h.Observe(v)
			}
			got, shown := distribution(read(h), old)
			if shown != tc.shown || got.Count != uint64(len(tc.in)) || got.Min != tc.least || got.Max != tc.greatest || got.Sum != tc.sum {
				t.Errorf("got %+v, shown %v; want %d samples from %v to %v, sum %v", got, shown, len(tc.in), tc.least, tc.greatest, tc.sum)
			}
			if got.Mean < got.Min || got.Mean > got.Max || math.IsNaN(got.Stddev) || got.Stddev < 0 {
				t.Errorf("mean %v must lie between %v and %v, deviation %v be a number", got.Mean, got.Min, got.Max, got.Stddev)
			}
		})
	}
}

func TestHistogramLeavesOutWhatIsNoNumber(t *testing.T) {
	h := newHistogram(Desc("test", "x_seconds", "x"), millis, timeBounds)
	h.Observe(math.NaN())
	h.Observe(math.Inf(1))
	h.Observe(250)
	var m dto.Metric
	if err := h.Metric().Write(&m); err != nil {
		t.Fatal(err)
	}
	if got := m.GetHistogram(); got.GetSampleCount() != 1 || got.GetSampleSum() != 0.25 {
		t.Errorf("have %d samples of %v s, want one of 0.25 s", got.GetSampleCount(), got.GetSampleSum())
	}
}

func TestDotted(t *testing.T) {
	for name, want := range map[string]string{
		"holdfast_store_keys":             "holdfast.store.keys",
		"holdfast_http_requests_total":    "holdfast.http.requests_total",
		"go_goroutines":                   "go.goroutines",
		"process_cpu_seconds_total":       "process.cpu_seconds_total",
		"holdfast_lonely":                 "holdfast.lonely",
		"plain":                           "plain",
		"holdfast_raft_fsm_apply_seconds": "holdfast.raft.fsm_apply_seconds",
	} {
		if got := dotted(name); got != want {
			t.Errorf("dotted(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestTwoMetricsOfOneNameAreRefused(t *testing.T) {
	if _, err := New(newProbe(), newProbe()); err == nil {
		t.Error("New took two collectors with the same metrics")
	}
}

func TestTextIsWhatPrometheusReads(t *testing.T) {
	r, err := New(newProbe(), newRaftSink())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.WriteText(&text, false); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text.String()))
	if err != nil {
		t.Fatalf("text does not parse: %v", err)
	}
	for _, name := range []string{"holdfast_test_level", "holdfast_raft_apply_total", "holdfast_raft_commit_seconds", "go_goroutines"} {
		if families[name] == nil {
			t.Errorf("%s is not there from the start", name)
		}
	}
	for name, f := range families {
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		if counter := strings.HasSuffix(name, "_total"); strings.HasPrefix(name, "holdfast_") && counter != (f.GetType() == dto.MetricType_COUNTER) {
			t.Errorf("%s is a %s: counters end in _total and nothing else does", name, f.GetType())
		}
	}

	text.Reset()
	if err := r.WriteText(&text, true); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(text.String(), "# EOF\n") {
		t.Error("OpenMetrics text has no end mark")
	}
}
