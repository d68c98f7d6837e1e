package torture

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// ledgerPrefix is where the keys are of which it is noted what was acknowledged.
const ledgerPrefix = "torture/ledger/"

// writePause is the pause of a writer between two writes: how finely the time without
// a write is measured.
const writePause = 2 * time.Millisecond

// writer writes keys of its own through one server, one after another, and notes what
// it was told.
type writer struct {
	load   *Load
	id     int
	client *client

	mu        sync.Mutex
	records   map[string]*record // guarded by mu
	successes []time.Duration    // when each acknowledged write was acknowledged; guarded by mu
	last      time.Duration      // when the last acknowledged write began; guarded by mu
	failures  map[string]int     // why writes were not acknowledged; guarded by mu
}

// record is what a writer knows of one of its keys.
type record struct {
	value string   // acknowledged last; "" if nothing was
	index uint64   // at which; 0 if it was not told
	open  []string // values of writes with an unknown outcome, which may come at any time
}

// keptReasons bounds how many different reasons of failures a writer keeps.
const keptReasons = 20

func newWriter(l *Load, id int, c *client) *writer {
	return &writer{load: l, id: id, client: c, records: map[string]*record{}, failures: map[string]int{}}
}

func (w *writer) run() {
	ctx := w.load.writing
	for seq := 0; ctx.Err() == nil; seq++ {
		key := fmt.Sprintf("%s%d/%05d", ledgerPrefix, w.id, seq%w.load.config.Ledger)
		val := fmt.Sprintf("w%d-%d", w.id, seq)
		call := w.load.Elapsed()
		a := w.client.do(ctx, http.MethodPut, "/v1/kv/"+key, val)
		if ctx.Err() != nil && a.outcome == unknown {
			a.reason = "the load has ended"
		}
		w.book(key, val, call, a)
		if a.outcome == done {
			rest(ctx, writePause)
		} else {
			rest(ctx, afterError)
		}
	}
}

// book notes what came of a write.
func (w *writer) book(key, val string, call time.Duration, a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.records[key]
	if r == nil {
		r = &record{}
		w.records[key] = r
	}
	switch {
	case a.outcome == done && a.yes():
		r.value, r.index = val, a.index
		w.successes = append(w.successes, w.load.Elapsed())
		w.last = max(w.last, call)
		return
	case a.outcome == done:
		w.load.faults.add("server %d, put of %s: unexpected answer %d %.100s", w.client.id, key, a.status, a.body)
	case a.outcome == unknown:
		r.open = append(r.open, val)
	}
	if len(w.failures) < keptReasons || w.failures[a.reason] > 0 {
		w.failures[a.reason]++
	}
}

// lastBegun is when the last acknowledged write began.
func (w *writer) lastBegun() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// checkLedgers compares what writers were told with what a server holds at the end. The
// load has ended.
func (l *Load) checkLedgers(server int, held map[string]entry) {
	for _, w := range l.writers {
		w.mu.Lock()
		for key, r := range w.records {
			e, found := held[key]
			if fault := r.compare(e, found); fault != "" {
				l.faults.add("server %d, %s: %s", server, key, fault)
			}
		}
		w.mu.Unlock()
	}
}

// compare says which promise the entry of a key breaks, "" if none.
func (r *record) compare(e entry, found bool) string {
	val := string(e.Value)
	switch {
	case !found && r.value == "":
		return ""
	case !found:
		return fmt.Sprintf("an acknowledged write is lost: %s at index %d", r.value, r.index)
	case slices.Contains(r.open, val):
		return ""
	case val != r.value:
		return fmt.Sprintf("holds %q, acknowledged last was %q", val, r.value)
	case r.index != 0 && e.ModifyIndex != r.index:
		return fmt.Sprintf("%s has index %d, acknowledged was %d", val, e.ModifyIndex, r.index)
	}
	return ""
}

// longestSilence is the longest time between two of the times, which need not be in
// order, that reaches into the span from one time to another. The span begins and ends
// as if something had succeeded there.
func longestSilence(times []time.Duration, from, to time.Duration) span {
	times = slices.Sorted(slices.Values(times))
	last, longest := time.Duration(0), span{}
	keep := func(s span) {
		if s.length() > longest.length() {
			longest = s
		}
	}
	for _, t := range times {
		if t > to {
			break
		}
		if t >= from {
			keep(span{last, t})
		}
		last = t
	}
	keep(span{max(last, from), to})
	return longest
}

// measureSilence fills in how long nobody could write, from a time on, and before it, and what the
// machine cost meanwhile.
func (l *Load) measureSilence(r *Result, from, to time.Duration) {
	var all []time.Duration
	perServer := make([][]time.Duration, len(l.clients))
	for _, w := range l.writers {
		w.mu.Lock()
		all = append(all, w.successes...)
		perServer[w.client.id] = append(perServer[w.client.id], w.successes...)
		w.mu.Unlock()
	}
	r.Writes = len(all)
	r.Stall = l.witness.longest(span{from, to})
	silence := longestSilence(all, from, to)
	r.Silence, r.SilenceAt, r.SilenceStall = silence.length(), silence.from, l.witness.longest(silence)
	for _, times := range perServer {
		silence := longestSilence(times, from, to)
		r.ServerSilence = append(r.ServerSilence, silence.length())
		r.ServerSilenceAt = append(r.ServerSilenceAt, silence.from)
		r.ServerStall = append(r.ServerStall, l.witness.longest(silence))
		if len(times) > 0 {
			r.CalmSilence = max(r.CalmSilence, longestSilence(times, min(slices.Min(times)+1, from), from).length()) // the first had to wait for nothing
		}
	}
}

// failures counts why writes were not acknowledged.
func (l *Load) failures() map[string]int {
	sum := map[string]int{}
	for _, w := range l.writers {
		w.mu.Lock()
		for reason, n := range w.failures {
			sum[reason] += n
		}
		w.mu.Unlock()
	}
	return sum
}
