package agent

import (
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/httpapi"
)

// tailBytes bounds what a follower of the log has not taken yet: some thousands of
// lines. What comes on top is dropped and counted, for the log must not wait for
// who reads it.
const tailBytes = 512 << 10

// logTail follows the log for one client.
type logTail struct {
	logs  *Logs
	sink  hclog.SinkAdapter
	level hclog.Level
	ready chan struct{} // of capacity 1: there is something to take

	mu      sync.Mutex
	lines   []byte // not taken yet; guarded by mu
	dropped uint64 // since the last take; guarded by mu
}

// Tail follows all loggers from now on, at a level and above, whatever the level of
// the server's own log.
func (l *Logs) Tail(level hclog.Level, asJSON bool) httpapi.LogTail {
	t := &logTail{logs: l, level: level, ready: make(chan struct{}, 1)}
	t.sink = hclog.NewSinkAdapter(&hclog.LoggerOptions{Level: level, JSONFormat: asJSON, Output: t})
	l.tails.Add(1)
	l.root.RegisterSink(t.sink)
	return t
}

// TailLog follows the log of this server.
func (a *Agent) TailLog(level hclog.Level, asJSON bool) httpapi.LogTail {
	return a.logs.Tail(level, asJSON)
}

// Write takes one line. It is called by whoever logs, and never waits.
func (t *logTail) Write(line []byte) (int, error) {
	t.mu.Lock()
	if len(t.lines)+len(line) > tailBytes {
		t.dropped++
		t.logs.dropped.Add(1)
	} else {
		t.lines = append(t.lines, line...)
	}
	t.mu.Unlock()
	select {
	case t.ready <- struct{}{}:
	default: // it knows already
	}
	return len(line), nil
}

// Ready receives when there is something to take.
func (t *logTail) Ready() <-chan struct{} { return t.ready }

// Take returns the lines since the last call, and one that says how many were
// dropped after them.
func (t *logTail) Take() []byte {
	lines, dropped := t.swap()
	if dropped == 0 {
		return lines
	}
	// At a level that this client sees, in the form that it asked for.
	t.sink.Accept("holdfast.monitor", max(t.level, hclog.Warn), "log lines were dropped, this client reads too slowly", "lines", dropped)
	more, again := t.swap()
	t.mu.Lock()
	t.dropped += again
	t.mu.Unlock()
	return append(lines, more...)
}

func (t *logTail) swap() (lines []byte, dropped uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines, dropped = t.lines, t.dropped
	t.lines, t.dropped = nil, 0
	return lines, dropped
}

// Close stops following.
func (t *logTail) Close() {
	t.logs.root.DeregisterSink(t.sink)
	t.logs.tails.Add(-1)
}
