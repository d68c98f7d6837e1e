package torture

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// watchPrefix is where the keys are that are watched.
const watchPrefix = "torture/watch/"

const (
	watchPause = 15 * time.Millisecond // between two writes of watched keys, per server
	watchWait  = 10 * time.Second      // that a query is parked for; a sixteenth may come on top
	watchLimit = 15 * time.Second      // after which a client gives up waiting for an answer
)

// watcher follows, at one server, one watched key or all of them by their prefix.
type watcher struct {
	load   *Load
	client *client
	path   string

	mu     sync.Mutex
	values map[string]string        // the last that was seen; guarded by mu
	finals map[string]time.Duration // when the last value there is was seen first; guarded by mu
	round  int64                    // of the last values that finals is about; guarded by mu
	polls  int                      // answers so far; guarded by mu
}

func watchedKey(i int) string { return watchPrefix + strconv.Itoa(i) }

func (l *Load) startWatchers(c *client) {
	paths := []string{watchPrefix + "?recurse&"}
	for i := range l.config.Watched {
		paths = append(paths, watchedKey(i)+"?")
	}
	for _, path := range paths {
		w := &watcher{load: l, client: c, path: "/v1/kv/" + path, values: map[string]string{}, finals: map[string]time.Duration{}}
		l.watchers = append(l.watchers, w)
		l.reads.Go(func() { w.run(l.reading) })
	}
	l.writes.Go(func() { l.writeWatched(l.writing, c) })
}

// writeWatched writes the watched keys in turn through a server. What came of a write
// is of no interest: others tell.
func (l *Load) writeWatched(ctx context.Context, c *client) {
	for seq := 0; ctx.Err() == nil; seq++ {
		a := c.do(ctx, http.MethodPut, "/v1/kv/"+watchedKey(seq%l.config.Watched), fmt.Sprintf("s%d-%d", c.id, seq))
		if a.outcome != done {
			rest(ctx, afterError)
			continue
		}
		rest(ctx, watchPause)
	}
}

// run asks, with the index of the last answer, for the next.
func (w *watcher) run(ctx context.Context) {
	seen := newSight(w.load, w.client.id, "a watcher")
	for ctx.Err() == nil {
		path := w.path + "wait=" + watchWait.String()
		if seen.index > 0 {
			path += "&index=" + strconv.FormatUint(seen.index, 10)
		}
		a := w.client.within(ctx, watchLimit, http.MethodGet, path, "")
		if a.outcome != done {
			rest(ctx, afterError)
			continue
		}
		w.note(seen.look(a))
	}
}

// note keeps what was seen, and when it was the last there is.
func (w *watcher) note(list []entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.polls++
	if round := w.load.finals.Load(); round != w.round {
		w.round = round
		clear(w.finals)
	}
	last := finalValue(w.round)
	for _, e := range list {
		val := string(e.Value)
		w.values[e.Key] = val
		if val == last && w.finals[e.Key] == 0 {
			w.finals[e.Key] = w.load.Elapsed()
		}
	}
}

// finalValue is what is written to the watched keys last. There is a second round when
// a write that nobody knew the outcome of came after the first.
func finalValue(round int64) string { return "final-" + strconv.FormatInt(round, 10) }

// keys are those that the watcher is to see.
func (w *watcher) keys() []string {
	var keys []string
	for i := range w.load.config.Watched {
		if key := watchedKey(i); w.path == "/v1/kv/"+key+"?" || w.path == "/v1/kv/"+watchPrefix+"?recurse&" {
			keys = append(keys, key)
		}
	}
	return keys
}

// missing are the keys whose last value the watcher has not seen, with what it has.
func (w *watcher) missing() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var keys []string
	for _, key := range w.keys() {
		if w.finals[key] == 0 {
			keys = append(keys, fmt.Sprintf("%s (it has seen %q)", key, w.values[key]))
		}
	}
	return keys
}

// lastSight is when the watcher saw the last of the last values.
func (w *watcher) lastSight() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var last time.Duration
	for _, key := range w.keys() {
		last = max(last, w.finals[key])
	}
	return last
}

// writeFinals writes the last value of each watched key, through whichever server takes
// it.
func (l *Load) writeFinals(ctx context.Context) error {
	last := finalValue(l.finals.Add(1))
	for i := range l.config.Watched {
		for try := 0; ; try++ {
			c := l.clients[try%len(l.clients)]
			a := c.do(ctx, http.MethodPut, "/v1/kv/"+watchedKey(i), last)
			if a.outcome == done && a.yes() {
				break
			}
			if !rest(ctx, pollEvery) {
				return fmt.Errorf("write the last value of %s: %s", watchedKey(i), a.reason)
			}
		}
	}
	return nil
}

// awaitWatchers waits until all watchers have seen the last values, and notes those
// that have not when ctx ends.
func (l *Load) awaitWatchers(ctx context.Context) {
	for _, w := range l.watchers {
		for len(w.missing()) > 0 {
			if !rest(ctx, pollEvery) {
				break
			}
		}
		for _, key := range w.missing() {
			l.faults.add("server %d: the watcher of %s has not seen the last value of %s", w.client.id, w.path, key)
		}
	}
}
