package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"
)

// Bounds of a watch's loop.
const (
	// watchWait is how long one poll may wait on the server, which is also the
	// server's own default. It only decides how often an idle watch says hello.
	watchWait = 5 * time.Minute

	// watchGrace is added to what the server may take, which is the wait, a
	// sixteenth of it and 7 s without a leader. Only then is a silent connection
	// given up as dead.
	watchGrace = 30 * time.Second

	// watchPause lies between polls that brought no change, so that a server or
	// a proxy that answers at once cannot make the loop spin.
	watchPause = 50 * time.Millisecond

	// Errors are retried after firstRetry, doubled each time up to maxRetry, and
	// each pause is cut by a random part of up to half, so that many watchers do
	// not come back together. A server that asks for a longer pause, up to
	// maxRetry, gets it.
	firstRetry = 250 * time.Millisecond
	maxRetry   = 30 * time.Second
)

// An Event is a change that a [Watch] has seen. Changes that came faster than they
// were asked for are merged into one.
type Event struct {
	// Index is the index of what is watched, for [FromIndex].
	Index uint64

	// Entries is what is there now: at most one for a key, in byte order for a
	// prefix, empty when there is nothing.
	Entries []*Entry

	// Changed are those of Entries that are new or different since the event
	// before. For the first event that is all of them.
	Changed []*Entry

	// Deleted are the keys that are gone since the event before.
	Deleted []string
}

// A Watch follows a key or a prefix by long polls. It belongs to one goroutine.
// It needs no closing: between two calls of Next nothing is open.
//
// It obeys the rules for clients of the contract (blocking queries, section 5):
// an index that falls starts over from 0, an index of 0 counts as 1, content is
// compared before anything is reported, and the rate of the loop is limited.
type Watch struct {
	what     string
	poll     func(ctx context.Context, index uint64, wait time.Duration) ([]*Entry, Meta, error)
	wait     time.Duration
	quiet    bool // the state found at the start is not an event
	onRetry  func(err error, pause time.Duration)
	readOpts []ReadOption

	index  uint64   // that the next poll waits on; 0 asks for an answer at once
	known  bool     // seen holds the state at an index
	resume bool     // the caller knows the state at the first index, but we do not
	seen   []*Entry // the last state
	retry  time.Duration
}

// A WatchOption changes a [Watch].
type WatchOption func(*Watch)

// FromIndex goes on where an earlier watch ended: the first event comes when the
// index is no longer index, and then Changed has all entries, since what they were
// before is not known.
func FromIndex(index uint64) WatchOption {
	return func(w *Watch) { w.index, w.resume = index, index > 0 }
}

// SkipInitial leaves out the event for the state that is found at the start, so
// that only changes after it are reported.
func SkipInitial() WatchOption { return func(w *Watch) { w.quiet = true } }

// OnRetry is told of errors that the watch will retry, and after which pause.
func OnRetry(f func(err error, pause time.Duration)) WatchOption {
	return func(w *Watch) { w.onRetry = f }
}

// WatchWait sets how long one poll waits on the server; 5 minutes if it is not
// used. Shorter waits find dead connections sooner.
func WatchWait(d time.Duration) WatchOption { return func(w *Watch) { w.wait = max(d, time.Second) } }

// WatchRead uses opts in every poll, such as [Stale], [Token] and [Datacenter].
func WatchRead(opts ...ReadOption) WatchOption {
	return func(w *Watch) { w.readOpts = append(w.readOpts, opts...) }
}

// WatchKey follows one key. The first event is its present state, whether it
// exists or not, unless [SkipInitial] or [FromIndex] say otherwise.
func (c *Client) WatchKey(key string, opts ...WatchOption) *Watch {
	w := newWatch(fmt.Sprintf("watch key %q", key), opts)
	w.poll = func(ctx context.Context, index uint64, wait time.Duration) ([]*Entry, Meta, error) {
		if err := onlyPath(key, "a wait"); err != nil {
			return nil, Meta{}, err
		}
		entry, meta, err := c.KV().get(ctx, key, w.options(index, wait))
		if isNotFound(err) {
			return nil, meta, nil
		}
		if err != nil {
			return nil, meta, err
		}
		return []*Entry{entry}, meta, nil
	}
	return w
}

// WatchPrefix follows every key that starts with prefix. The first event is the
// present state, unless [SkipInitial] or [FromIndex] say otherwise.
func (c *Client) WatchPrefix(prefix string, opts ...WatchOption) *Watch {
	w := newWatch(fmt.Sprintf("watch prefix %q", prefix), opts)
	w.poll = func(ctx context.Context, index uint64, wait time.Duration) ([]*Entry, Meta, error) {
		if err := onlyPath(prefix, "a wait"); err != nil {
			return nil, Meta{}, err
		}
		return c.KV().List(ctx, prefix, w.options(index, wait)...)
	}
	return w
}

func newWatch(what string, opts []WatchOption) *Watch {
	w := &Watch{what: what, wait: watchWait}
	for _, o := range opts {
		o(w)
	}
	return w
}

// options are those of one poll.
func (w *Watch) options(index uint64, wait time.Duration) []ReadOption {
	opts := w.readOpts[:len(w.readOpts):len(w.readOpts)]
	if index > 0 {
		opts = append(opts, WaitIndex(index, wait))
	}
	return opts
}

// Next waits for the next event. It fails with the error of ctx when that ends,
// and with the server's refusal when trying again cannot help (400, 403, 404 and
// their like, or a key that cannot be sent); everything else is retried until ctx
// ends. Next may be called again after an error.
func (w *Watch) Next(ctx context.Context) (Event, error) {
	for {
		entries, meta, err := w.once(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return Event{}, fmt.Errorf("%s: %w", w.what, ctx.Err())
			}
			if permanent(err) {
				return Event{}, fmt.Errorf("%s: %w", w.what, err)
			}
			if err := w.backOff(ctx, err); err != nil {
				return Event{}, fmt.Errorf("%s: %w", w.what, err)
			}
			continue
		}
		w.retry = 0
		if ev, changed := w.observe(entries, meta); changed {
			return ev, nil
		}
		if err := pause(ctx, watchPause); err != nil {
			return Event{}, fmt.Errorf("%s: %w", w.what, err)
		}
	}
}

// Events is Next as an iterator. It ends after the first error, which it yields;
// that is ctx's own when the watch was simply ended.
func (w *Watch) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			ev, err := w.Next(ctx)
			if !yield(ev, err) || err != nil {
				return
			}
		}
	}
}

// once does one poll, and gives up a connection on which the server has been
// silent for longer than it may be.
func (w *Watch) once(ctx context.Context) ([]*Entry, Meta, error) {
	bounded, cancel := context.WithTimeout(ctx, w.wait+w.wait/16+watchGrace)
	defer cancel()
	return w.poll(bounded, w.index, w.wait)
}

// observe takes in an answer and says whether it is an event.
func (w *Watch) observe(entries []*Entry, meta Meta) (Event, bool) {
	index := max(meta.Index, 1) // contract: an index of 0 counts as 1
	switch {
	case index < w.index:
		// The server's state is older than what we waited on, as after a
		// restore. Ask again without waiting, and compare then.
		w.index = 0
		return Event{}, false
	case index == w.index && (w.known || w.resume):
		return Event{}, false // the wait was over
	}
	first := !w.known && !w.resume
	w.index = index
	w.resume = false
	ev := Event{Index: index, Entries: entries}
	ev.Changed, ev.Deleted = compare(w.seen, entries)
	if w.known && len(ev.Changed) == 0 && len(ev.Deleted) == 0 {
		return Event{}, false // the index moved, the content did not
	}
	w.seen, w.known = entries, true
	return ev, !(first && w.quiet)
}

// backOff reports err and waits before the next try.
func (w *Watch) backOff(ctx context.Context, err error) error {
	w.retry = min(max(2*w.retry, firstRetry), maxRetry)
	d := pauseAfter(err, w.retry)
	if w.onRetry != nil {
		w.onRetry(fmt.Errorf("%s: %w", w.what, err), d)
	}
	return pause(ctx, d)
}

// compare finds what differs between two states.
func compare(before, after []*Entry) (changed []*Entry, deleted []string) {
	old := make(map[string]*Entry, len(before))
	for _, e := range before {
		old[e.Key] = e
	}
	for _, e := range after {
		if o := old[e.Key]; o == nil || !equal(o, e) {
			changed = append(changed, e)
		}
		delete(old, e.Key)
	}
	for _, e := range before { // not over the map: the order of the keys is kept
		if _, gone := old[e.Key]; gone {
			deleted = append(deleted, e.Key)
		}
	}
	return changed, deleted
}

// equal says whether two reads of a key saw the same state.
func equal(a, b *Entry) bool {
	return a.ModifyIndex == b.ModifyIndex && a.CreateIndex == b.CreateIndex &&
		a.LockIndex == b.LockIndex && a.Flags == b.Flags && a.Session == b.Session &&
		bytes.Equal(a.Value, b.Value)
}

// permanent says whether asking the same again must fail the same way.
func permanent(err error) bool {
	if errors.Is(err, ErrKey) || errors.Is(err, ErrAnswerTooLarge) {
		return true
	}
	var status *StatusError
	if !errors.As(err, &status) {
		return false
	}
	switch status.Code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return status.Code >= 400 && status.Code < 500
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
