package httpapi

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/http1"
	"github.com/holdfast-kv/holdfast/internal/wheel"
	"github.com/holdfast-kv/holdfast/kvs"
)

// A blocking query that must wait costs no goroutine where the connection can do without
// (package http1). All that is kept of it is a waiting: it is registered with the hub, for
// changes of its rights, and with one wheel for all times. What wakes it has its handler
// called again, from the beginning; await finds what woke it and goes on where it was.
//
// What is checked before await is checked once, when the request comes: on its way back to
// await nothing is asked again (call.returning), and the rights are those of before, so that
// it can be told what has changed.
//
// Some keep their goroutine: those that get a line in the audit log, which tells of the
// request itself; those that wait for less than parkFrom; and whatever waits in the middle
// of what cannot be done twice, such as the request for a lock.

// errParked ends a call of a handler whose request goes on waiting.
var errParked = errors.New("the request waits")

// parkFrom is from how long a wait on a query gives up its goroutine: from there on a tick of
// the wheel fits into the sixteenth by which it may take longer.
const parkFrom = 16 * wheel.Tick

// waiting is a query that waits without a goroutine.
//
// It is in one of two states. Asleep, it can be woken by anybody, once. Awake, it belongs to
// whoever woke it, then to the call of its handler that follows, which may put it to sleep
// again.
type waiting struct {
	s        *Server
	endpoint *endpoint
	client   netip.Addr
	came     int64         // when the request came, in Unix nanoseconds
	until    time.Duration // when its time is over, since the server began
	index    uint64        // that it came with
	spent    time.Duration // on it, so far

	place  kvs.Waiter // where it waits for a change
	timer  wheel.Timer[*waiting]
	rights *waitingRights // nil: there are none to check
	news   *news          // nil: it is not newsOnly

	next, prev *waiting // of s.parked

	// Why it is awake, and since when; they are its waker's, then its handler's.
	failed error
	woke   time.Duration // since the server began
	reason wake

	mode   Mode
	parked bool // it is counted in s.parked; of its handler, and of whoever ends it

	awake  bool // guarded by mu
	mu     sync.Mutex
	ticket http1.Ticket // nil: its handler has not given it up yet; guarded by mu
}

// waitingRights are the rights of a query that waits, and where it waits for a change of
// them.
type waitingRights struct {
	who          *acl.Identity // guarded by the mu of its waiting
	explicit     bool
	borrowed     bool
	needs        []right
	token, rules kvs.Waiter
	end          wheel.Timer[*waiting]
}

// comesBack tells whether a request was let through before, and comes back from its wait.
func comesBack(w http.ResponseWriter) bool {
	p, ok := w.(http1.Parker)
	return ok && p.Resumed() != nil
}

// arrive is the beginning of a call of a handler.
func (c *call) arrive() {
	c.parker, _ = c.w.(http1.Parker)
	if c.parker != nil {
		c.waiting, _ = c.parker.Resumed().(*waiting)
	}
	w := c.waiting
	if w == nil {
		c.s.busy.Add(1)
		return
	}
	w.disarm()
	c.returning = true
	if old := w.rights; old != nil {
		c.rights.who, c.rights.explicit, c.rights.borrowed = old.who, old.explicit, old.borrowed
		c.rights.needs = append(c.rights.needsBuf[:0], old.needs...)
	}
}

// depart is the end of a call of a handler whose request does not go on waiting.
func (c *call) depart() {
	if c.parked {
		return // it panicked after it had parked: it is ended as if the client had left
	}
	if w := c.waiting; w != nil {
		w.disarm()
		w.leave()
	}
	c.s.busy.Add(-1)
}

// awaitParked is the beginning of await for a request that can give up its goroutine.
func (c *call) awaitParked(q parkable, o readOptions) error {
	client := c.client()
	w := &waiting{
		s: c.s, endpoint: c.endpoint, client: client, came: c.start.UnixNano(),
		until: c.start.Sub(c.s.began) + c.s.waitTime(o.wait, wheel.Tick),
		index: o.index, mode: o.mode, awake: true,
	}
	if err := c.s.parked.enter(client, w, c.s.settings.Load()); err != nil {
		return err
	}
	w.parked = true
	w.place.Of, w.timer.Of = w, w
	if c.rights.who != nil {
		w.rights = &waitingRights{explicit: c.rights.explicit, borrowed: c.rights.borrowed, needs: slices.Clone(c.rights.needs)}
		w.rights.token.Of, w.rights.rules.Of, w.rights.end.Of = w, w, w
	}
	c.waiting = w
	return c.sleep(q, o)
}

// awaitAgain is await for a request that was woken.
func (c *call) awaitAgain(q parkable, o readOptions) error {
	w := c.waiting
	if over, err := c.woken(w.reason, w.failed, q, o); over {
		w.leave()
		return err
	}
	return c.sleep(q, o)
}

// sleep has the request go on waiting, unless it need not.
func (c *call) sleep(q parkable, o readOptions) error {
	w := c.waiting
	// Register first, then look: what commits in between wakes.
	w.arm(q, c.rights.who)
	over, err := c.look(q, o)
	if !over && c.s.drained.Load() {
		over, err = c.woken(stopping, nil, q, o)
	}
	if over {
		w.disarm()
		w.leave()
		return err
	}
	w.settle(q, c.rights.who, c.ended())
	c.parked = true
	w.park(c.parker)
	return errParked
}

// arm registers a question everywhere where it can be woken, and puts it to sleep.
func (w *waiting) arm(q parkable, who *acl.Identity) {
	store, k := w.s.node.Store(), &w.s.waker
	w.mu.Lock()
	defer w.mu.Unlock()
	w.awake, w.ticket, w.failed = false, nil, nil
	if n, ok := q.(*newsOnly); ok {
		w.news = &news{n.first, n.seen}
	}
	q.spot(store).join(&w.place, k)
	if w.rights != nil {
		w.rights.who = who
		w.joinRightsLocked()
	}
	k.times.Add(&w.timer, w.s.began.Add(w.until))
}

// joinRightsLocked registers it, or registers it again, for changes of its rights.
func (w *waiting) joinRightsLocked() {
	r, topics, k := w.rights, w.s.node.Store().Topics(), &w.s.waker
	r.token.Leave()
	topics.JoinKey(w.s.tokenTopic(r.who, r.borrowed), &r.token, k)
	r.rules.Leave()
	topics.JoinKey(fsm.TopicRules, &r.rules, k)
}

// settle keeps what came of the look at the state. end is when the token ends; the zero time
// for never.
func (w *waiting) settle(q parkable, who *acl.Identity, end time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n, ok := q.(*newsOnly); ok {
		w.news.seen = n.seen
	}
	if w.rights == nil {
		return
	}
	w.rights.who = who
	if !end.IsZero() {
		w.s.waker.times.Add(&w.rights.end, w.s.waker.notBefore(end))
	}
}

// disarm takes it out of everywhere. From then on nobody wakes it, also who has found it
// somewhere before.
func (w *waiting) disarm() {
	w.mu.Lock()
	w.awake = true
	w.mu.Unlock()
	times := w.s.waker.times
	w.place.Leave()
	times.Remove(&w.timer)
	if r := w.rights; r != nil {
		r.token.Leave()
		r.rules.Leave()
		times.Remove(&r.end)
	}
}

// park gives up the goroutine.
func (w *waiting) park(p http1.Parker) {
	ticket := p.Park(w)
	w.mu.Lock()
	w.ticket = ticket
	already := w.awake
	w.mu.Unlock()
	if already {
		w.s.waker.resume(awoken{w: w})
	}
}

// wake wakes it, at a time since the server began. It tells whether whoever calls it has to have
// it resumed: if not, somebody else has woken it before, or its handler is still there and sees
// to it.
func (w *waiting) wake(why wake, now time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.awake {
		return false
	}
	w.awake, w.reason, w.woke = true, why, now
	return w.ticket != nil
}

// leave counts it no more.
func (w *waiting) leave() {
	if w.parked {
		w.parked = false
		w.s.parked.leave(w.client, w)
	}
}

// Gone is part of http1.Waiting.
func (w *waiting) Gone() {
	w.s.wakeups.Gone.Add(1)
	w.over(statusClientGone, 0)
}

// Shared is part of http1.Waiting: it does what serve does for who is answered by itself.
func (w *waiting) Shared(status, _ int) {
	w.s.wakeups.answered(true)
	w.over(status, time.Since(w.s.began)-w.woke)
}

// over ends a query whose handler is not called again.
func (w *waiting) over(status int, took time.Duration) {
	w.disarm()
	w.leave()
	if w.rights != nil {
		w.s.uses.note(w.rights.who, w.client, w.began())
	}
	w.s.metrics.observe(w.endpoint, status, w.spent+took)
	w.s.busy.Add(-1)
}

// began is when the request came.
func (w *waiting) began() time.Time { return time.Unix(0, w.came) }

// sameAs is what must be the same of queries that are the same byte for byte so that they
// get the same answer: by which rights it is cut down, and what they have seen before.
type sameAs struct {
	rules *acl.Authorizer
	first sight
}

// shares returns what must be the same; false when nobody may have the same answer. It must
// be awake, for a change.
func (w *waiting) shares(now time.Time) (same sameAs, ok bool) {
	if w.news != nil {
		same.first = w.news.first
	}
	if w.rights == nil {
		return same, true
	}
	who := w.rights.who
	if who.Checked == nil || who.Checked.Links != nil {
		return same, false // a certificate is not in the bytes of a request
	}
	if end := who.Checked.Expires; end != 0 && end < now.Add(shareMargin).UnixNano() {
		return same, false
	}
	same.rules = who.Auth
	return same, true
}

// shareMargin is how long a token must be good for yet so that its query is answered with what
// was found out a moment before.
const shareMargin = time.Second
