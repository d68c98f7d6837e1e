package httpapi

import (
	"sync/atomic"
	"time"
)

// statusClasses are the classes of status codes that are counted apart.
const statusClasses = 6 // 0 is unused

// latencyBounds are the upper bounds of the histogram of answer times.
var latencyBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 10 * time.Second,
}

// RouteMetrics counts the requests of one endpoint.
type RouteMetrics struct {
	Path    string                       // as the table of routes has it; "none" for requests without an endpoint
	Codes   [statusClasses]atomic.Uint64 // by the first digit of the status
	Buckets [len(latencyBounds) + 1]atomic.Uint64
	Nanos   atomic.Uint64 // sum of the answer times
}

// LatencyBounds returns the upper bounds of [RouteMetrics].Buckets; the last
// bucket has none.
func LatencyBounds() []time.Duration { return latencyBounds[:] }

// requestMetrics is filled without locks, maps or strings, and read at scrape.
type requestMetrics struct {
	routes []*RouteMetrics
}

func newRequestMetrics(endpoints []*endpoint) *requestMetrics {
	m := &requestMetrics{}
	for _, e := range endpoints {
		m.routes = append(m.routes, &RouteMetrics{Path: e.path})
	}
	m.routes = append(m.routes, &RouteMetrics{Path: noRoute})
	return m
}

// noRoute stands for the requests that reach no endpoint, whatever their path: it is
// the client's choice.
const noRoute = "none"

// unrouted counts a request that reaches no endpoint. It is answered at once.
func (s *Server) unrouted(status int) {
	s.metrics.routes[len(s.metrics.routes)-1].observe(status, 0)
}

func (m *requestMetrics) observe(e *endpoint, status int, took time.Duration) {
	m.routes[e.number].observe(status, took)
}

func (r *RouteMetrics) observe(status int, took time.Duration) {
	if class := status / 100; class > 0 && class < statusClasses {
		r.Codes[class].Add(1)
	}
	i := 0
	for i < len(latencyBounds) && took > latencyBounds[i] {
		i++
	}
	r.Buckets[i].Add(1)
	r.Nanos.Add(uint64(took))
}

// RequestMetrics returns the counters of every endpoint, in the order of the
// table, and at last those of the requests that reach none. They go on counting.
func (s *Server) RequestMetrics() []*RouteMetrics { return s.metrics.routes }
