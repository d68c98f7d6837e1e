package metrics

import (
	"math"
	"sync"
	"sync/atomic"

	gometrics "github.com/hashicorp/go-metrics/compat"
	"github.com/prometheus/client_golang/prometheus"
)

// Raft collects what the Raft library measures of itself. The library knows only
// one place to report to in a process, so servers that share a process, as in
// tests, share these figures.
var Raft = sync.OnceValue(func() prometheus.Collector {
	s := newRaftSink()
	conf := gometrics.DefaultConfig("")
	conf.EnableHostname, conf.HostName, conf.EnableRuntimeMetrics = false, "", false
	// It fails only where it starts what was just switched off.
	_, _ = gometrics.NewGlobal(conf, s)
	return s
})

// raftSink takes measurements from the Raft library without a lock or an
// allocation. It knows all names beforehand; labels, which name peers, are added
// up.
type raftSink struct {
	counters map[string]*raftCounter // never changes after newRaftSink
	gauges   map[string]*raftGauge
	samples  map[string]*Histogram

	// unknown counts measurements under a name that the tables do not have, as
	// after an upgrade of the library. They are dropped.
	unknown atomic.Uint64
}

type raftCounter struct {
	desc *prometheus.Desc
	n    atomic.Uint64
}

type raftGauge struct {
	desc  *prometheus.Desc
	scale float64
	bits  atomic.Uint64 // of a float64
}

// millis is the unit in which the library gives times.
const millis = 1e-3

var (
	timeBounds  = TimeBounds
	countBounds = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}
	sizeBounds  = []float64{256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20}
	shareBounds = []float64{0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1}
	rateBounds  = []float64{10, 100, 1e3, 1e4, 1e5, 1e6}
)

func newRaftSink() *raftSink {
	s := &raftSink{
		counters: map[string]*raftCounter{}, gauges: map[string]*raftGauge{}, samples: map[string]*Histogram{},
	}
	for _, c := range raftCounters {
		s.counters[c.from] = &raftCounter{desc: Desc("raft", c.name, c.help)}
	}
	for _, g := range raftGauges {
		s.gauges[g.from] = &raftGauge{desc: Desc("raft", g.name, g.help), scale: g.scale}
	}
	for _, h := range raftSamples {
		s.samples[h.from] = newHistogram(Desc("raft", h.name, h.help), h.scale, h.bounds)
	}
	return s
}

// Desc describes a metric of one part of the server, such as holdfast_store_keys.
func Desc(part, name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("holdfast", part, name), help, labels, nil)
}

// joined is the name of a measurement as one string, built in buf.
func joined(buf []byte, key []string) []byte {
	for i, part := range key {
		if i > 0 {
			buf = append(buf, '.')
		}
		buf = append(buf, part...)
	}
	return buf
}

// SetGauge implements the library's sink.
func (s *raftSink) SetGauge(key []string, v float32) {
	var buf [96]byte
	if g := s.gauges[string(joined(buf[:0], key))]; g != nil {
		g.bits.Store(math.Float64bits(float64(v) * g.scale))
		return
	}
	s.unknown.Add(1)
}

// IncrCounter implements the library's sink.
func (s *raftSink) IncrCounter(key []string, v float32) {
	var buf [96]byte
	if c := s.counters[string(joined(buf[:0], key))]; c != nil {
		if v > 0 {
			c.n.Add(uint64(v))
		}
		return
	}
	s.unknown.Add(1)
}

// AddSample implements the library's sink.
func (s *raftSink) AddSample(key []string, v float32) {
	var buf [96]byte
	if h := s.samples[string(joined(buf[:0], key))]; h != nil {
		h.Observe(float64(v))
		return
	}
	s.unknown.Add(1)
}

// SetGaugeWithLabels implements the library's sink.
func (s *raftSink) SetGaugeWithLabels(key []string, v float32, _ []gometrics.Label) {
	s.SetGauge(key, v)
}

// IncrCounterWithLabels implements the library's sink.
func (s *raftSink) IncrCounterWithLabels(key []string, v float32, _ []gometrics.Label) {
	s.IncrCounter(key, v)
}

// AddSampleWithLabels implements the library's sink.
func (s *raftSink) AddSampleWithLabels(key []string, v float32, _ []gometrics.Label) {
	s.AddSample(key, v)
}

// EmitKey implements the library's sink; Raft does not use it.
func (s *raftSink) EmitKey([]string, float32) { s.unknown.Add(1) }

// Describe implements prometheus.Collector.
func (s *raftSink) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s.counters {
		ch <- c.desc
	}
	for _, g := range s.gauges {
		ch <- g.desc
	}
	for _, h := range s.samples {
		ch <- h.desc
	}
}

// Collect implements prometheus.Collector.
func (s *raftSink) Collect(ch chan<- prometheus.Metric) {
	for _, c := range s.counters {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(c.n.Load()))
	}
	for _, g := range s.gauges {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, math.Float64frombits(g.bits.Load()))
	}
	for _, h := range s.samples {
		ch <- h.Metric()
	}
}
