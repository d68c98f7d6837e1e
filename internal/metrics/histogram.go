package metrics

import (
	"math"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// TimeBounds are the upper bounds, in seconds, of a histogram of times.
var TimeBounds = []float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
}

// Histogram counts samples in buckets, without a lock or an allocation. All methods
// may be called from any goroutine.
type Histogram struct {
	desc   *prometheus.Desc
	scale  float64   // from the unit of samples to that of the bounds
	bounds []float64 // in the unit of the metric

	counts []atomic.Uint64 // one for each bound and one for what is above
	sum    atomic.Uint64   // bits of a float64, in the unit of the metric
}

// NewHistogram returns a histogram with the given upper bounds, in rising order.
func NewHistogram(desc *prometheus.Desc, bounds []float64) *Histogram {
	return newHistogram(desc, 1, bounds)
}

func newHistogram(desc *prometheus.Desc, scale float64, bounds []float64) *Histogram {
	return &Histogram{desc: desc, scale: scale, bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe takes one sample.
func (h *Histogram) Observe(v float64) {
	v *= h.scale
	if !finite(v) {
		return // a sum that is no number would stay one for ever
	}
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// Metric is what it has counted so far.
func (h *Histogram) Metric() prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.bounds))
	var n uint64
	for i := range h.counts {
		n += h.counts[i].Load()
		if i < len(h.bounds) {
			buckets[h.bounds[i]] = n
		}
	}
	return prometheus.MustNewConstHistogram(h.desc, n, math.Float64frombits(h.sum.Load()), buckets)
}
