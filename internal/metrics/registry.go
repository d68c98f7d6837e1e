package metrics

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// Length is how long an interval is. Existing clients count on it.
//
// Source: contract, agent, section 3.
const Length = 10 * time.Second

// Registry holds the collectors and the last interval. All methods may be called
// from any goroutine.
type Registry struct {
	prom *prometheus.Registry
	now  func() time.Time

	mu    sync.Mutex
	begun reading       // when the interval under way began; guarded by mu
	last  []byte        // the last complete interval; nil before there is one; guarded by mu
	next  chan struct{} // closed and replaced when an interval is complete; guarded by mu
}

// New returns a Registry of the given collectors and those of the Go runtime and
// the process. The error is that two metrics have one name.
func New(cs ...prometheus.Collector) (*Registry, error) {
	r := &Registry{prom: prometheus.NewRegistry(), now: time.Now, next: make(chan struct{})}
	cs = append(cs, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range cs {
		if err := r.prom.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	r.begun = r.read()
	return r, nil
}

// read looks at everything now. What could not be read is left out; what could is
// worth having.
func (r *Registry) read() reading {
	families, _ := r.prom.Gather()
	return reading{at: r.now(), families: families}
}

// Run completes one interval after the other until ctx ends. They begin at whole
// multiples of Length on the clock, as clients that compare servers expect.
func (r *Registry) Run(ctx context.Context) error {
	timer := time.NewTimer(r.untilNext())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		r.complete()
		timer.Reset(r.untilNext())
	}
}

func (r *Registry) untilNext() time.Duration {
	now := r.now()
	return now.Truncate(Length).Add(Length).Sub(now)
}

// complete ends the interval under way.
func (r *Registry) complete() {
	now := r.read()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = encode(r.begun, now)
	r.begun = now
	close(r.next)
	r.next = make(chan struct{})
}

// Interval returns the last complete interval as JSON, or, before there is one,
// what there is of the first.
//
// Source: contract, agent, section 3.
func (r *Registry) Interval() []byte {
	r.mu.Lock()
	last, begun := r.last, r.begun
	r.mu.Unlock()
	if last != nil {
		return last
	}
	return encode(begun, r.read())
}

// Next is closed when the interval under way is complete.
func (r *Registry) Next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// WriteText writes everything as it is now, in the text format of Prometheus, or
// in that of OpenMetrics 1.0.
func (r *Registry) WriteText(w io.Writer, openMetrics bool) error {
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	if openMetrics {
		format = expfmt.FmtOpenMetrics_1_0_0
	}
	families, err := r.prom.Gather()
	if err != nil && len(families) == 0 {
		return fmt.Errorf("read metrics: %w", err)
	}
	// Into a buffer first: the encoder makes many small writes.
	var out bytes.Buffer
	encoder := expfmt.NewEncoder(&out, format)
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			return fmt.Errorf("encode metric %s: %w", f.GetName(), err)
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		if err := closer.Close(); err != nil {
			return fmt.Errorf("end metrics: %w", err)
		}
	}
	_, err = out.WriteTo(w)
	return err
}
