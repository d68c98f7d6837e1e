package httpapi

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-kv/holdfast/internal/http1"
	"github.com/holdfast-kv/holdfast/internal/wheel"
	"github.com/holdfast-kv/holdfast/kvs"
)

// waker wakes the queries that wait without a goroutine, and has them resumed. What must be
// waited for before one can be answered it waits for itself, once for all that wake together,
// so that handlers that are resumed need nothing but the processor.
type waker struct {
	s     *Server
	times *wheel.Wheel[*waiting]

	ctx    context.Context // of all that is waited for
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool                // guarded by mu
	rounds int                 // verifications under way; guarded by mu
	queue  [Stale + 1][]awoken // by mode, those that wait for the next verification; guarded by mu
	tasks  sync.WaitGroup      // goroutines
}

// awoken is a query that was woken. share is for those that may get the same answer; nil:
// nobody does.
type awoken struct {
	w     *waiting
	share *http1.Share
}

const (
	// wakeAtOnce is how many are woken by whoever applies the log itself: less than it
	// takes to start a goroutine for them.
	wakeAtOnce = 8

	// wakeTogether is how many are taken out of a crowd at a time.
	wakeTogether = 64

	// mostRounds is how many verifications may be under way at a time. There are so many
	// only while no leader is found; then those that come share the next one.
	mostRounds = 64
)

func (k *waker) open(s *Server) {
	k.s = s
	k.times = wheel.New(k.due)
	k.ctx, k.cancel = context.WithCancel(context.Background())
}

// close returns when nothing runs any more.
func (k *waker) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	k.times.Close()
	k.tasks.Wait()
}

// run runs f in a goroutine; by itself once it is closed.
func (k *waker) run(f func()) {
	k.mu.Lock()
	closed := k.closed
	if !closed {
		k.tasks.Go(f)
	}
	k.mu.Unlock()
	if closed {
		f()
	}
}

// Woken is part of kvs.Receiver.
func (k *waker) Woken(crowds []*kvs.Crowd, why kvs.Cause) {
	n := 0
	for _, c := range crowds {
		n += c.Len()
	}
	if n <= wakeAtOnce {
		k.wakeCrowds(crowds, why)
		return
	}
	k.run(func() { k.wakeCrowds(crowds, why) })
}

// wakeCrowds wakes everybody in some crowds.
func (k *waker) wakeCrowds(crowds []*kvs.Crowd, why kvs.Cause) {
	var room [wakeTogether]*kvs.Waiter
	var list []awoken
	for _, c := range crowds {
		shares := sharing{now: time.Now()}
		now := shares.now.Sub(k.s.began)
		many := c.Len() > 1
		for n := len(room); n == len(room); {
			n = c.Take(room[:])
			for _, place := range room[:n] {
				w, _ := place.Of.(*waiting)
				if !k.wakeOne(w, place, why, now) {
					continue
				}
				x := awoken{w: w}
				if many && w.reason == changed {
					x.share = shares.of(w)
				}
				list = append(list, x)
			}
			if why == kvs.Changed { // those of a restore wait together for its mark
				k.resume(list...)
				list = list[:0]
			}
		}
	}
	k.resume(list...)
}

// wakeOne wakes a query at one of the places where it waits, at a time since the server began.
// It tells whether it is to be resumed.
func (k *waker) wakeOne(w *waiting, place *kvs.Waiter, why kvs.Cause, now time.Duration) bool {
	switch {
	case why == kvs.Replaced:
		return w.wake(stateReplaced, now)
	case place == &w.place:
		return w.wake(changed, now)
	}
	return w.wakeForRights(now)
}

// sharing finds the Share of each of a crowd: as a rule the same for all.
type sharing struct {
	now  time.Time
	last sameAs
	is   *http1.Share
	all  map[sameAs]*http1.Share // nil while there is one
}

func (x *sharing) of(w *waiting) *http1.Share {
	same, ok := w.shares(x.now)
	switch {
	case !ok:
		return nil
	case x.is != nil && same == x.last:
		return x.is
	case x.is != nil && x.all == nil:
		x.all = map[sameAs]*http1.Share{x.last: x.is}
	}
	if x.is = x.all[same]; x.is == nil {
		x.is = &http1.Share{}
		if x.all != nil {
			x.all[same] = x.is
		}
	}
	x.last = same
	return x.is
}

// wakeForRights wakes a query of which a token or anybody's rules have changed, unless its
// rights are the same as before: that is found out here, for it is so for nearly all. It
// tells whether it is to be resumed.
func (w *waiting) wakeForRights(now time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.awake {
		return false
	}
	// Register first, then look.
	w.joinRightsLocked()
	old := w.rights.who
	who, err := w.s.whoNow(old, w.rights.borrowed)
	if err == nil && who.Auth == old.Auth && who.Accessor == old.Accessor && endOf(who).Equal(endOf(old)) {
		w.rights.who = who
		return false
	}
	w.awake, w.reason, w.woke = true, rightsChanged, now
	return w.ticket != nil
}

// due wakes those whose time, or whose token's, is over.
func (k *waker) due(due []*waiting) {
	now := time.Since(k.s.began)
	list := make([]awoken, 0, len(due))
	for _, w := range due {
		why := tokenEnded
		if now >= w.until {
			why = timeOver
		}
		if w.wake(why, now) {
			list = append(list, awoken{w: w})
		}
	}
	k.resume(list...)
}

// notBefore keeps who has ended by one clock and not yet by another from turning.
func (k *waker) notBefore(end time.Time) time.Time {
	if soon := time.Now().Add(leastExpiry); end.Before(soon) {
		return soon
	}
	return end
}

// end wakes everybody when the server stops, and those that want fresh answers when it is
// cut off.
func (k *waker) end() {
	var list []awoken
	now := time.Since(k.s.began)
	for _, w := range k.s.parked.all() {
		why := cutOff
		switch {
		case k.s.drained.Load():
			why = stopping
		case w.mode == Stale:
			continue
		}
		if w.wake(why, now) {
			list = append(list, awoken{w: w})
		}
	}
	k.resume(list...)
}

// resume has queries resumed that were woken, once that which must be waited for is there.
// The list is the caller's again when it returns.
func (k *waker) resume(list ...awoken) {
	var marks []awoken
	var verify [Stale + 1][]awoken
	for _, x := range list {
		switch w := x.w; {
		case w.reason == stateReplaced:
			marks = append(marks, x)
		case verified(w.reason, w.mode):
			verify[w.mode] = append(verify[w.mode], x)
		default:
			w.ticket.Resume(x.share)
		}
	}
	if marks != nil {
		k.run(func() { k.awaitMarks(marks) })
	}
	for mode, list := range verify {
		if list != nil {
			k.verify(Mode(mode), list)
		}
	}
}

// verify has queries resumed once the state is known to be the cluster's.
func (k *waker) verify(mode Mode, list []awoken) {
	k.mu.Lock()
	k.queue[mode] = append(k.queue[mode], list...)
	more := k.rounds < mostRounds
	if more {
		k.rounds++
	}
	k.mu.Unlock()
	if more {
		k.run(k.round)
	}
}

// round verifies for all that wait for it, until there are none.
func (k *waker) round() {
	for {
		mode, list := k.next()
		if list == nil {
			return
		}
		_, err := k.s.node.ReadIndex(k.ctx, mode)
		for _, x := range list {
			x.w.failed = err
			if err != nil {
				x.share = nil
			}
			x.w.ticket.Resume(x.share)
		}
	}
}

// next takes those that wait for a verification; nil when there are none: then the round has
// ended.
func (k *waker) next() (Mode, []awoken) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for mode, list := range k.queue {
		if list != nil {
			k.queue[mode] = nil
			return Mode(mode), list
		}
	}
	k.rounds--
	return 0, nil
}

// awaitMarks has queries resumed for which the state was replaced, each as soon as it has
// come as far as its client; see awaitMark.
func (k *waker) awaitMarks(list []awoken) {
	ctx, cancel := context.WithTimeout(k.ctx, k.s.settings.Load().HoldTime)
	defer cancel()
	slices.SortFunc(list, func(a, b awoken) int { return cmp.Compare(a.w.index, b.w.index) })
	store := k.s.node.Store()
	for _, x := range list {
		if ctx.Err() == nil {
			_ = store.WaitApplied(ctx, x.w.index) // what there is then is the answer
		}
		x.w.ticket.Resume(nil)
	}
}
