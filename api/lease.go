package api

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// How a session is kept alive. All of it is in parts of its TTL.
const (
	// renewalsPerTTL is how often a session is renewed in its TTL: two renewals may
	// fail before it is in danger.
	renewalsPerTTL = 3

	// marginParts is the part of the TTL, a tenth, by which the client gives a
	// session up before the server may. It pays for clocks that run at different
	// speeds and for the time until the holder is told.
	marginParts = 10

	// patienceParts is the part of the TTL that one server has to answer a renewal
	// before another is asked.
	patienceParts = 4

	// pauseParts is the part of the TTL that lies between failed renewals at most.
	pauseParts = 10

	// jitterParts is the part of a pause by which it may be shorter, so that clients
	// that were started together do not stay together.
	jitterParts = 5

	// defaultTTL is that of sessions whose maker does not say.
	defaultTTL = 15 * time.Second

	// endTimeout bounds what is done at the end of a lease that nobody waits for.
	endTimeout = 5 * time.Second
)

// errNotRenewed is why a session is given up.
var errNotRenewed = errors.New("it was not renewed within its TTL")

// errReleased is the cause of a context that ended because its owner gave it back.
var errReleased = errors.New("given back by its owner")

// A ConnState is how the connection of a session to the servers is.
type ConnState int

// States of the connection.
const (
	// Connected: the session has been made.
	Connected ConnState = iota + 1

	// Suspended: a renewal failed. The session lives on, and renewals go on.
	Suspended

	// Reconnected: a renewal succeeded after Suspended; nothing was lost.
	Reconnected

	// Lost: the session, and all that was held with it, must be counted as gone.
	Lost
)

// String is the state as a word.
func (s ConnState) String() string {
	switch s {
	case Connected:
		return "connected"
	case Suspended:
		return "suspended"
	case Reconnected:
		return "reconnected"
	case Lost:
		return "lost"
	}
	return fmt.Sprintf("unknown (%d)", int(s))
}

// keeper renews one session, and knows until when it certainly lives.
//
// The server ends a session no earlier than its TTL after it took in the newest
// renewal, which is not before that renewal was sent. So the time of sending the
// newest renewal that was acknowledged, plus the TTL, is a bound that needs no
// agreement about the time of day; the margin is taken from it. A timer of its own
// ends ctx at that bound, whatever the renewals are doing then.
type keeper struct {
	sessions Sessions
	id       string
	opts     []CallOption
	tell     func(ConnState, error) // must not block

	ctx    context.Context // ends when the session is lost or given up; its cause says why
	cancel context.CancelCauseFunc
	losing sync.Once

	mu      sync.Mutex
	ttl     time.Duration // guarded by mu
	until   time.Time     // guarded by mu
	timer   *time.Timer   // ends ctx at until; guarded by mu
	failure error         // of the newest renewal; nil when it succeeded; guarded by mu
}

// newKeeper makes the keeper of a session that was made, or renewed, by a request
// that was sent at the given time.
func newKeeper(s Sessions, id string, ttl time.Duration, sent time.Time, opts []CallOption, tell func(ConnState, error)) *keeper {
	k := &keeper{sessions: s, id: id, opts: opts, tell: tell, ttl: ttl}
	k.ctx, k.cancel = context.WithCancelCause(context.Background())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until = sent.Add(ttl - ttl/marginParts)
	k.timer = time.AfterFunc(time.Until(k.until), k.expire)
	return k
}

// expire ends ctx if it is time.
func (k *keeper) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expireLocked()
}

func (k *keeper) expireLocked() {
	if left := time.Until(k.until); left > 0 {
		k.timer.Reset(left) // a renewal came in between
		return
	}
	why := errNotRenewed
	if k.failure != nil {
		why = fmt.Errorf("%w: %w", errNotRenewed, k.failure)
	}
	k.lose(why)
}

// lose ends ctx and tells so, unless it has ended. It is told first, so that it comes
// before what is done about it.
func (k *keeper) lose(why error) {
	k.losing.Do(func() {
		if k.ctx.Err() != nil {
			return
		}
		err := fmt.Errorf("session %s is %w: %w", k.id, ErrLost, why)
		k.tell(Lost, err)
		k.cancel(err)
	})
}

// check is nil while the session certainly lives. It looks at the clock itself, so
// that a process that was stopped finds out before its timers do.
func (k *keeper) check() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() == nil && !time.Now().Before(k.until) {
		k.expireLocked()
	}
	return context.Cause(k.ctx)
}

// lives returns how long the session certainly lives.
func (k *keeper) lives() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil {
		return 0
	}
	return max(time.Until(k.until), 0)
}

// lifetime is the TTL.
func (k *keeper) lifetime() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ttl
}

// stop ends ctx and the timer; renewals end soon after.
func (k *keeper) stop() {
	k.cancel(errReleased)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer.Stop()
}

// run renews the session until ctx ends, first after the given time.
func (k *keeper) run(first time.Duration) {
	state := Connected
	retry := time.Duration(0)
	for wait := first; pause(k.ctx, wait) == nil; {
		sent := time.Now()
		session, err := k.renew()
		switch {
		case k.ctx.Err() != nil:
		case err == nil:
			wait, retry = k.renewed(session, sent), 0
			if state == Suspended {
				state = Reconnected
				k.tell(state, nil)
			}
		case errors.Is(err, ErrNoSession):
			k.lose(err)
		default:
			most := k.failed(err)
			if state != Suspended {
				state = Suspended
				k.tell(state, err)
			}
			retry = min(max(2*retry, firstRetry), most)
			wait = pauseAfter(err, retry)
		}
	}
}

// renew sends one renewal, to one server after the other.
func (k *keeper) renew() (*Session, error) {
	r := sessionRequest(http.MethodPut, "renew", k.id).calls(k.opts)
	r.once, r.patience = true, k.lifetime()/patienceParts
	return k.sessions.renew(k.ctx, r)
}

// renewed takes in a renewal that was sent at the given time, and returns when the
// next is due. A server may have given the session more time than was asked for.
func (k *keeper) renewed(s *Session, sent time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ttl, err := time.ParseDuration(s.TTL); err == nil && ttl > 0 {
		k.ttl = ttl
	}
	k.failure = nil
	k.until = sent.Add(k.ttl - k.ttl/marginParts)
	k.timer.Reset(time.Until(k.until))
	return untilRenewal(k.ttl) - time.Since(sent)
}

// failed takes in a renewal that failed, and returns how long the next pause may be.
func (k *keeper) failed(err error) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failure = err
	return k.ttl / pauseParts
}

// untilRenewal is the time between two renewals.
func untilRenewal(ttl time.Duration) time.Duration {
	d := ttl / renewalsPerTTL
	return d - rand.N(d/jitterParts+1)
}

// RenewPeriodic renews a session of the given TTL, at once and then every third of
// it, until ctx ends, whose error it returns. It does not end the session then.
//
// It fails with ErrLost when the session can no longer be counted on: it does not
// exist (ErrNoSession too), or no renewal was acknowledged for so long that the
// server may end it.
func (s Sessions) RenewPeriodic(ctx context.Context, id string, ttl time.Duration, opts ...CallOption) error {
	if ttl <= 0 {
		return fmt.Errorf("renew session %s: a session without a TTL needs no renewal", id)
	}
	k := newKeeper(s, id, ttl, time.Now(), opts, func(ConnState, error) {})
	defer k.stop()
	defer context.AfterFunc(ctx, k.stop)()
	k.run(0)
	if ctx.Err() != nil {
		return fmt.Errorf("renew session %s: %w", id, ctx.Err())
	}
	return context.Cause(k.ctx)
}

// A Lease is a session that is kept alive until it is closed. It is what locks,
// elections and ephemeral keys are built on; use one of its own to hold several
// things that shall end together ([InLease]).
//
// It renews the session in a goroutine, which ends when the lease is lost and which
// Close waits for.
type Lease struct {
	*keeper
	notes   *notes
	own     bool // the notes end with the lease
	tasks   sync.WaitGroup
	closing sync.Once
	closed  error // of Close
}

// Lease makes a session and keeps it alive. ctx is for making it only. The session
// has a TTL of 15s and is exact, unless spec says otherwise.
func (s Sessions) Lease(ctx context.Context, spec SessionSpec, opts ...RecipeOption) (*Lease, error) {
	r := newRecipe(opts)
	l, err := s.lease(ctx, spec, r)
	if err != nil {
		return nil, fmt.Errorf("create session: %w", err)
	}
	return l, nil
}

func (s Sessions) lease(ctx context.Context, spec SessionSpec, r *recipe) (*Lease, error) {
	if spec.TTL == 0 {
		spec.TTL = defaultTTL
	}
	if spec.Grace == nil {
		spec.Grace = new(time.Duration(0))
	}
	sent := time.Now()
	id, err := s.create(ctx, &spec, spec.TTL, r.calls) // one that is made later is worth nothing
	if err != nil {
		return nil, err
	}
	l := &Lease{notes: r.notes}
	if l.notes == nil {
		l.notes = newNotes(r.onState, true)
		l.own = true
		l.tasks.Go(l.notes.run)
	}
	l.keeper = newKeeper(s, id, spec.TTL, sent, r.calls, l.notes.add)
	l.tasks.Go(func() { l.run(untilRenewal(spec.TTL) - time.Since(sent)) })
	l.tell(Connected, nil)
	return l, nil
}

// Session is the id of the session.
func (l *Lease) Session() string { return l.id }

// Lost is closed when the session can no longer be counted on, before the server may
// end it for want of renewals, and when the lease is closed.
func (l *Lease) Lost() <-chan struct{} { return l.ctx.Done() }

// Context ends when Lost is closed; [context.Cause] says why.
func (l *Lease) Context() context.Context { return l.ctx }

// Err is nil while the session can be counted on. Afterwards it says why not
// (ErrLost), and stays nil if the lease was closed before. Unlike Lost it looks at
// the clock when it is called.
func (l *Lease) Err() error { return notReleased(l.check()) }

// Lives is how long the session certainly lives if no renewal succeeds from now on.
func (l *Lease) Lives() time.Duration { return l.lives() }

// Close ends the session, and with it what it holds. Closing again does nothing and
// returns the same. When the servers cannot be asked to end it, it ends by its TTL, and
// Close does not wait longer than that.
func (l *Lease) Close(ctx context.Context) error {
	l.closing.Do(func() {
		l.stop()
		if l.own {
			l.notes.close()
		}
		l.tasks.Wait()
		ctx, cancel := context.WithTimeout(ctx, l.lifetime())
		defer cancel()
		l.closed = l.sessions.Destroy(ctx, l.id, l.opts...)
	})
	return l.closed
}

// notReleased leaves out the end that the owner asked for.
func notReleased(err error) error {
	if errors.Is(err, errReleased) {
		return nil
	}
	return err
}

// closeSoon closes a lease that its owner was never given, or whose owner has got a
// more important error already.
func (l *Lease) closeSoon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	_ = l.Close(ctx) // if it cannot be ended now, it ends by its TTL
}
