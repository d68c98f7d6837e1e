package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// equalPause is the pause between two looks at the state of a server.
const equalPause = 25 * time.Millisecond

// Result is what a load has found. Times are since Start where they are points, and
// spans elsewhere.
type Result struct {
	Faults   []string       // broken promises; none is well
	Failures map[string]int // why writes were not acknowledged, and how often; none of them is a fault

	Operations int // on the keys whose records were checked
	Keys       int
	Unknown    int // of the operations, with an unknown outcome
	Writes     int // acknowledged ones of the ledgers
	Tenures    int // of the lock
	Fenced     int // writes under the lock that were refused
	Polls      int // answers that watchers got

	FaultBegan, FaultEnded time.Duration

	// Silence is the longest time in which no client's write succeeded, from the
	// beginning of the fault on; ServerSilence is that of the clients of each server.
	Silence       time.Duration
	ServerSilence []time.Duration

	// SilenceAt is when Silence began, ServerSilenceAt when each of ServerSilence did.
	SilenceAt       time.Duration
	ServerSilenceAt []time.Duration

	// CalmSilence is the longest time before the fault in which no write of some server's
	// clients succeeded: what a busy machine or its disk costs without any fault.
	CalmSilence time.Duration

	// Stall is how long the longest bare flush of a file took, from the beginning of the fault on:
	// what the machine itself cost. SilenceStall is the longest one of which a part was within the
	// silence that Silence measures, ServerStall within each of ServerSilence. 0: none was long;
	// negative: nobody has seen it.
	Stall        time.Duration
	SilenceStall time.Duration
	ServerStall  []time.Duration

	// Equal is how long after the end of the fault all servers had the same state, that
	// in which everything was that had been acknowledged.
	Equal time.Duration

	// Late is how long after that a watcher had not yet seen the last value, at worst.
	Late time.Duration
}

// Settle ends the load, waits until the servers are equal and the watchers have seen
// the last values, and checks everything.
func (l *Load) Settle(ctx context.Context) *Result {
	defer l.Close()
	l.endWrite()
	ended := l.Elapsed()
	l.writes.Wait()

	r := &Result{FaultBegan: l.MarkedAt(FaultBegins), FaultEnded: l.MarkedAt(FaultEnds)}
	if r.FaultEnded == 0 {
		r.FaultEnded = ended
	}
	l.measureSilence(r, r.FaultBegan, ended)
	l.settle(ctx, r)
	l.Close()

	for _, w := range l.watchers {
		r.Polls += w.polls
	}
	l.checkRegisters(r)
	l.checkLocks(r)
	r.Failures = l.failures()
	r.Faults = l.faults.list()
	return r
}

// settle is the part of Settle that needs the servers.
func (l *Load) settle(ctx context.Context, r *Result) {
	limited, cancel := context.WithTimeout(ctx, l.config.SettleLimit)
	defer cancel()
	state, at, err := l.awaitEqual(limited)
	if err != nil {
		l.faults.add("within %s the servers were not equal: %v", l.config.SettleLimit, err)
		return
	}
	r.Equal = max(0, at-r.FaultEnded)
	held, err := entriesByKey(state)
	if err != nil {
		l.faults.add("the state of the servers: %v", err)
		return
	}
	l.checkLedgers(0, held) // the others have the same
	seen, cancel := context.WithTimeout(ctx, l.config.SettleLimit)
	defer cancel()
	l.awaitWatchers(seen)
	for _, w := range l.watchers {
		r.Late = max(r.Late, w.lastSight()-at)
	}
}

// errLater says that a write with an unknown outcome came after the last values.
var errLater = errors.New("a watched key does not hold what was written last")

// awaitEqual writes the last values and waits until all servers have the same state,
// with these in it. It returns the state, and when it was there.
func (l *Load) awaitEqual(ctx context.Context) (answer, time.Duration, error) {
	if err := l.writeFinals(ctx); err != nil {
		return answer{}, 0, err
	}
	for {
		state, err := l.equal(ctx)
		if err == nil {
			return state, l.Elapsed(), nil
		}
		if errors.Is(err, errLater) {
			if err := l.writeFinals(ctx); err != nil {
				return answer{}, 0, err
			}
		}
		if !rest(ctx, equalPause) {
			return answer{}, 0, err
		}
	}
}

// state is what one server has of its own: all keys, or all sessions.
func (c *client) state(ctx context.Context, path string) (answer, error) {
	a := c.within(ctx, watchLimit, http.MethodGet, path, "")
	if a.outcome != done {
		return a, fmt.Errorf("server %d: %s", c.id, a.reason)
	}
	return a, nil
}

// equal returns the state that all servers have, or why there is none.
func (l *Load) equal(ctx context.Context) (answer, error) {
	var first answer
	for _, path := range []string{"/v1/session/list?stale", "/v1/kv/?recurse&stale"} {
		for i, c := range l.clients {
			a, err := c.state(ctx, path)
			if err != nil {
				return answer{}, err
			}
			if i == 0 {
				first = a
				continue
			}
			if a.index != first.index || a.status != first.status || !bytes.Equal(a.body, first.body) {
				return answer{}, fmt.Errorf("%s: server %d: %s", path, c.id, difference(first, a))
			}
		}
	}
	held, err := entriesByKey(first)
	if err != nil {
		return answer{}, err
	}
	last := finalValue(l.finals.Load())
	for i := range l.config.Watched {
		if key := watchedKey(i); string(held[key].Value) != last {
			return answer{}, fmt.Errorf("%w: %s holds %q", errLater, key, held[key].Value)
		}
	}
	for _, c := range l.clients { // and each is back: it answers reads that are not stale
		if a := c.do(ctx, http.MethodGet, "/v1/kv/"+watchedKey(0)+"?consistent", ""); a.outcome != done {
			return answer{}, fmt.Errorf("server %d: %s", c.id, a.reason)
		}
	}
	return first, nil
}

func entriesByKey(a answer) (map[string]entry, error) {
	list, err := a.entries()
	if err != nil {
		return nil, err
	}
	held := map[string]entry{}
	for _, e := range list {
		held[e.Key] = e
	}
	return held, nil
}

// difference says in what the state of a server differs from the first one's.
func difference(first, other answer) string {
	a, errA := entriesByKey(first)
	b, errB := entriesByKey(other)
	if err := errors.Join(errA, errB); err != nil {
		return err.Error()
	}
	for key, e := range a {
		o, found := b[key]
		switch {
		case !found:
			return fmt.Sprintf("%s is missing (it has %d keys, the first server %d)", key, len(b), len(a))
		case o.ModifyIndex != e.ModifyIndex || !bytes.Equal(o.Value, e.Value):
			return fmt.Sprintf("%s is %q at %d, at the first server %q at %d", key, o.Value, o.ModifyIndex, e.Value, e.ModifyIndex)
		}
	}
	if len(b) > len(a) {
		return fmt.Sprintf("it has %d keys, the first server %d", len(b), len(a))
	}
	return fmt.Sprintf("index %d, at the first server %d, or another field differs", other.index, first.index)
}
