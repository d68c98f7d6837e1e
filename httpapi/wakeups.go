package httpapi

import "sync/atomic"

// WakeupMetrics counts how the waiting of blocking queries ended.
type WakeupMetrics struct {
	// Changed are those answered since what they ask about has changed.
	Changed atomic.Uint64

	// Unchanged are those answered early with the result they had: false wake-ups. They
	// come about when the whole state was replaced and when the server stops.
	Unchanged atomic.Uint64

	// Parked are those that were woken, were not answered, and went on waiting. The
	// client does not notice.
	Parked atomic.Uint64

	// Timeouts are those answered since their time was over.
	Timeouts atomic.Uint64

	// Gone are those whose client left.
	Gone atomic.Uint64
}

// Wakeups returns the counters of blocking queries. They go on counting.
func (s *Server) Wakeups() *WakeupMetrics { return &s.wakeups }

// answered counts a query that is answered early.
func (m *WakeupMetrics) answered(changed bool) {
	if changed {
		m.Changed.Add(1)
	} else {
		m.Unchanged.Add(1)
	}
}
