package metrics

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// reading is everything at one moment.
type reading struct {
	at       time.Time
	families []*dto.MetricFamily
}

// The JSON of an interval.
//
// Source: contract, agent, section 3.
type (
	summary struct {
		Timestamp string // when the interval began
		Gauges    []gauge
		Points    []struct{} // always empty: nothing is measured that way
		Counters  []sampled
		Samples   []sampled
	}
	gauge struct {
		Name   string
		Value  float64
		Labels map[string]string
	}
	sampled struct {
		Name   string
		Count  uint64
		Rate   float64 // Sum for each second
		Sum    float64
		Min    float64
		Max    float64
		Mean   float64
		Stddev float64
		Labels map[string]string
	}
)

// encode returns what happened between two readings: gauges as they were at the
// second one, counters and samples that moved.
func encode(from, to reading) []byte {
	s := summary{
		Timestamp: from.at.UTC().Truncate(Length).String(),
		Gauges:    []gauge{}, Points: []struct{}{}, Counters: []sampled{}, Samples: []sampled{},
	}
	seconds := to.at.Sub(from.at).Seconds()
	before := series(from)
	for _, f := range to.families {
		name := dotted(f.GetName())
		for _, m := range f.GetMetric() {
			old := before[key(f, m)]
			switch f.GetType() {
			case dto.MetricType_GAUGE:
				if v := m.GetGauge().GetValue(); finite(v) {
					s.Gauges = append(s.Gauges, gauge{name, v, labels(m)})
				}
			case dto.MetricType_COUNTER:
				grown := m.GetCounter().GetValue() - old.GetCounter().GetValue()
				if c, ok := counted(grown); ok {
					s.Counters = append(s.Counters, c.named(name, m, seconds))
				}
			case dto.MetricType_SUMMARY:
				if c, ok := totals(m.GetSummary(), old.GetSummary()); ok {
					s.Samples = append(s.Samples, c.named(name, m, seconds))
				}
			case dto.MetricType_HISTOGRAM:
				if c, ok := distribution(m.GetHistogram(), old.GetHistogram()); ok {
					s.Samples = append(s.Samples, c.named(name, m, seconds))
				}
			}
		}
	}
	out, err := json.Marshal(s)
	if err != nil {
		// Only a number that is none could be the cause, and those are left out.
		panic("metrics: interval cannot be encoded: " + err.Error())
	}
	return out
}

// series finds each series of a reading by its name and labels.
func series(r reading) map[string]*dto.Metric {
	out := make(map[string]*dto.Metric)
	for _, f := range r.families {
		for _, m := range f.GetMetric() {
			out[key(f, m)] = m
		}
	}
	return out
}

func key(f *dto.MetricFamily, m *dto.Metric) string {
	var b strings.Builder
	b.WriteString(f.GetName())
	for _, l := range m.GetLabel() { // Gather sorts them
		b.WriteString("\x00" + l.GetName() + "\x00" + l.GetValue())
	}
	return b.String()
}

// dotted is the name of a metric in the JSON form; see the package comment.
func dotted(name string) string {
	first, rest, ok := strings.Cut(name, "_")
	if !ok {
		return name
	}
	if first != "holdfast" {
		return first + "." + rest
	}
	part, rest, _ := strings.Cut(rest, "_")
	return strings.TrimSuffix(first+"."+part+"."+rest, ".")
}

func labels(m *dto.Metric) map[string]string {
	out := make(map[string]string, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		out[l.GetName()] = l.GetValue()
	}
	return out
}

func (s sampled) named(name string, m *dto.Metric, seconds float64) sampled {
	s.Name, s.Labels = name, labels(m)
	if seconds > 0 {
		s.Rate = s.Sum / seconds
	}
	return s
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// counted describes the growth of a counter. Ours grow by one; a growth that is
// not whole, as of seconds, counts as one step.
func counted(grown float64) (sampled, bool) {
	if !finite(grown) || grown <= 0 {
		return sampled{}, false
	}
	steps := grown
	if grown != math.Trunc(grown) || grown > math.MaxInt64 {
		steps = 1
	}
	step := grown / steps
	return sampled{Count: uint64(steps), Sum: grown, Min: step, Max: step, Mean: step}, true
}

// totals describes samples of which only number and sum are known.
func totals(now, old *dto.Summary) (sampled, bool) {
	n := now.GetSampleCount() - old.GetSampleCount()
	sum := now.GetSampleSum() - old.GetSampleSum()
	if n == 0 || !finite(sum) {
		return sampled{}, false
	}
	mean := sum / float64(n)
	return sampled{Count: n, Sum: sum, Min: mean, Max: mean, Mean: mean}, true
}

// distribution describes the samples that a histogram has taken. Least, greatest
// and deviation are as exact as the buckets are narrow; number, sum and mean are
// exact.
func distribution(now, old *dto.Histogram) (sampled, bool) {
	n := now.GetSampleCount() - old.GetSampleCount()
	sum := now.GetSampleSum() - old.GetSampleSum()
	if n == 0 || !finite(sum) {
		return sampled{}, false
	}
	s := sampled{Count: n, Sum: sum, Mean: sum / float64(n)}
	s.Min, s.Max = s.Mean, s.Mean
	if n == 1 {
		return s, true
	}
	var squares, lower float64
	var seen uint64
	take := func(samples uint64, upper float64) {
		if samples > 0 {
			s.Min, s.Max = min(s.Min, lower), max(s.Max, upper)
			off := (lower+upper)/2 - s.Mean
			squares += float64(samples) * off * off
		}
		lower = upper
	}
	before := make(map[float64]uint64, len(old.GetBucket()))
	for _, b := range old.GetBucket() {
		before[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	for _, b := range now.GetBucket() {
		if math.IsInf(b.GetUpperBound(), 1) {
			break
		}
		reached := b.GetCumulativeCount() - before[b.GetUpperBound()]
		take(reached-min(seen, reached), b.GetUpperBound())
		seen = max(seen, reached)
	}
	take(n-min(seen, n), max(lower, s.Mean)) // those above the last bound
	s.Stddev = math.Sqrt(squares / float64(n-1))
	return s, true
}
