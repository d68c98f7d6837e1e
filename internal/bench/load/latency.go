package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of a Latency. Beyond the longest a value is counted as the longest.
const (
	longest = 5 * time.Minute
	digits  = 3
)

// Latency is a distribution of durations, kept to three significant digits.
// Make it with NewLatency.
type Latency struct {
	h *hdrhistogram.Histogram
}

// NewLatency returns an empty distribution.
func NewLatency() *Latency {
	return &Latency{h: hdrhistogram.New(int64(time.Microsecond)/2, int64(longest), digits)}
}

// Record adds one duration.
func (l *Latency) Record(d time.Duration) {
	// Clamped, so there is no error.
	_ = l.h.RecordValue(int64(min(max(d, 0), longest)))
}

// Count is how many durations were added.
func (l *Latency) Count() int64 { return l.h.TotalCount() }

// At returns the duration that q percent of all are not above; 0 when there
// are none.
func (l *Latency) At(q float64) time.Duration { return time.Duration(l.h.ValueAtQuantile(q)) }

// Add counts all of other's durations too.
func (l *Latency) Add(other *Latency) {
	// Both have the same bounds, so nothing is dropped.
	_ = l.h.Merge(other.h)
}
