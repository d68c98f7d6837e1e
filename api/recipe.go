package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Times of the recipes.
const (
	// lockWait is how long one poll for a lock waits on the server. It only decides
	// how often a contender says hello.
	lockWait = 15 * time.Second

	// contendRetry bounds the pause between tries of a contender, both after an error
	// and during a lock-delay of unknown length.
	contendRetry = 5 * time.Second

	// describeTimeout bounds the question who holds a lock, which only serves the
	// text of an error.
	describeTimeout = 2 * time.Second
)

// recipe is what the options of a lock, semaphore, election or ephemeral key say.
type recipe struct {
	spec    SessionSpec
	value   []byte
	lease   *Lease // nil: each acquisition makes its own
	onState func(ConnState, error)
	notes   *notes // instead of onState, for all leases together
	calls   []CallOption

	monitorRetries int // -1: as many as fit into the life of the session
	monitorPause   time.Duration
}

// A RecipeOption changes a lease, lock, semaphore, election or ephemeral key.
type RecipeOption func(*recipe)

// SessionName is the name that others see on the session.
func SessionName(name string) RecipeOption { return func(r *recipe) { r.spec.Name = name } }

// SessionTTL is how long the session lives without renewal: 15s if it is not used. A
// shorter one is noticed sooner when its holder dies, and lost sooner when the servers
// are out of reach: after nine tenths of it.
func SessionTTL(ttl time.Duration) RecipeOption { return func(r *recipe) { r.spec.TTL = ttl } }

// SessionLockDelay is how long a lock cannot be acquired after the session of its
// holder ended without having released it; the server's 15s if it is not used. It is
// the time that a holder has to stop working after [Hold.Lost] was closed, beyond the
// tenth of the TTL that it has anyway.
func SessionLockDelay(d time.Duration) RecipeOption {
	return func(r *recipe) { r.spec.LockDelay = &d }
}

// LockValue is written to the key of a lock or election by whoever acquires it, for
// others to read.
func LockValue(value []byte) RecipeOption { return func(r *recipe) { r.value = value } }

// MonitorRetries is how many reads in a row, each pause apart from the one before, may
// fail while a lock is watched for being taken away, before it counts as lost. Without
// it they may fail as long as the session is renewed, which is what protects the lock.
// A refusal that cannot pass, such as a token that may not read the key, is a loss at
// once.
func MonitorRetries(n int, pause time.Duration) RecipeOption {
	return func(r *recipe) { r.monitorRetries, r.monitorPause = max(n, 0), pause }
}

// OnState calls f at each change of the connection to the servers, in order and one at
// a time, with the reason when the state is [Suspended] or [Lost]. A call that takes
// long holds up nothing but later calls.
func OnState(f func(state ConnState, reason error)) RecipeOption {
	return func(r *recipe) { r.onState = f }
}

// InLease holds with the session of l, which the caller keeps and closes: everything
// held with it ends together. The options about sessions and [OnState] are then those
// of the lease. One lease holds a lock, or a slot, once: whoever acquires it again with
// the same lease has it at once.
func InLease(l *Lease) RecipeOption { return func(r *recipe) { r.lease = l } }

// WithCalls uses opts in every call, such as [Token] and [Datacenter].
func WithCalls(opts ...CallOption) RecipeOption {
	return func(r *recipe) { r.calls = append(r.calls, opts...) }
}

func newRecipe(opts []RecipeOption) *recipe {
	r := &recipe{monitorRetries: -1, monitorPause: 2 * time.Second}
	for _, o := range opts {
		o(r)
	}
	return r
}

// open gives the lease to hold with: the caller's, or a new one with more said about
// its session.
func (r *recipe) open(ctx context.Context, c *Client) (*Lease, error) {
	if r.lease != nil {
		return r.lease, r.lease.check()
	}
	lease, err := c.Sessions().lease(ctx, r.spec, r)
	if err != nil {
		return nil, fmt.Errorf("create session: %w", err)
	}
	return lease, nil
}

// reopen is open for somebody who had a lease and lost it: it tries until ctx ends.
func (r *recipe) reopen(ctx context.Context, c *Client) (*Lease, error) {
	for retry := time.Duration(0); ; {
		lease, err := r.open(ctx, c)
		if err == nil || r.lease != nil || permanent(err) || ctx.Err() != nil {
			return lease, err
		}
		retry = min(max(2*retry, firstRetry), contendRetry)
		if pause(ctx, pauseAfter(err, retry)) != nil {
			return nil, err
		}
	}
}

// close ends a lease that was opened, unless it is the caller's.
func (r *recipe) close(ctx context.Context, l *Lease) {
	if r.lease == nil {
		l.closeSoon(ctx)
	}
}

// writes are the options of a write.
func (r *recipe) writes(more ...WriteOption) []WriteOption {
	for _, o := range r.calls {
		more = append(more, o)
	}
	return more
}

// reads are the options of a read.
func (r *recipe) reads(more ...ReadOption) []ReadOption {
	for _, o := range r.calls {
		more = append(more, o)
	}
	return more
}

// within is ctx that also ends with the lease.
func within(ctx context.Context, l *Lease) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// waitUpTo makes a read wait for a change after index; index 0 reads at once.
func waitUpTo(index uint64, wait time.Duration) ReadOption {
	return readOption(func(r *request) {
		WaitIndex(index, max(wait, time.Millisecond)).applyRead(r) // 0 would be the server's 5 minutes
		if index == 0 {
			r.query.Del("index")
		}
	})
}

// errSessionGone ends a contest whose session has ended, so that it starts over with
// another.
var errSessionGone = errors.New("session ended before the lock was acquired")

// isInvalidSession knows the refusal of a write for a session that does not exist.
//
// Source: contract, README, section 9, on texts that clients look at.
func isInvalidSession(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Code >= 500 && strings.Contains(status.Body, "invalid session")
}

// contest is one wait for a lock, with one session. What all recipes have in common
// is here: when to give up, when to try again.
type contest struct {
	outer context.Context // of the caller
	ctx   context.Context // outer that also ends with the lease
	lease *Lease
	until time.Time // when to give up; zero for never
	retry time.Duration
}

// left is how long a poll may wait: lockWait, or what is left until the end.
func (c *contest) left() time.Duration {
	if c.until.IsZero() {
		return lockWait
	}
	return max(time.Until(c.until), 0)
}

// over says whether the time to wait is over.
func (c *contest) over() bool { return !c.until.IsZero() && !time.Now().Before(c.until) }

// poll bounds one read that may wait, so that a connection on which the server is
// silent is given up.
func (c *contest) poll() (context.Context, context.CancelFunc) {
	wait := c.left()
	return context.WithTimeout(c.ctx, wait+wait/16+watchGrace)
}

// failed decides about an error: nil to try again, else what the contest ends with.
func (c *contest) failed(err error) error {
	switch {
	case c.outer.Err() != nil:
		return c.outer.Err()
	case c.lease.check() != nil, isInvalidSession(err):
		return errSessionGone
	case permanent(err), errors.Is(err, ErrConflict):
		return err
	case c.over():
		return err
	}
	c.retry = min(max(2*c.retry, firstRetry), contendRetry)
	return c.rest(pauseAfter(err, c.retry))
}

// rest waits for d, but not beyond the end.
func (c *contest) rest(d time.Duration) error {
	if !c.until.IsZero() {
		d = min(d, c.left())
	}
	if pause(c.ctx, d) == nil {
		return nil
	}
	if c.outer.Err() != nil {
		return c.outer.Err()
	}
	return errSessionGone
}

// acquire contends until try succeeds or fails, with a new session each time that
// one ends.
func (r *recipe) acquire(ctx context.Context, c *Client, until time.Time, try func(*contest) (*Hold, error)) (*Hold, error) {
	lease, err := r.open(ctx, c)
	for err == nil {
		bounded, cancel := within(ctx, lease)
		var h *Hold
		h, err = try(&contest{outer: ctx, ctx: bounded, lease: lease, until: until})
		cancel()
		if err == nil {
			return h, nil
		}
		r.close(ctx, lease)
		if errors.Is(err, errSessionGone) && r.lease == nil {
			lease, err = r.reopen(ctx, c)
		}
	}
	return nil, err
}

// A HeldError says who holds what was not acquired. It matches ErrHeld.
type HeldError struct {
	Key   string // of the lock, or the prefix of the semaphore
	Slots int    // of the semaphore; 0 for a lock

	// Holders are who held it when it was last looked at; none during a lock-delay.
	Holders []Holder

	// LockDelay is how long nobody can acquire it, because the session of a holder
	// ended; 0 when that is not the reason or the server does not tell.
	LockDelay time.Duration
}

// Error names the key and the holders.
func (e *HeldError) Error() string { return fmt.Sprintf("%q is %s", e.Key, e.State()) }

// State says what keeps it from being acquired, to stand behind a name and "is".
func (e *HeldError) State() string {
	names := make([]string, 0, len(e.Holders))
	for i := range e.Holders {
		names = append(names, e.Holders[i].String())
	}
	who := strings.Join(names, ", ")
	switch {
	case e.Slots > 0:
		return fmt.Sprintf("full: all %d slots are held, by %s", e.Slots, who)
	case len(names) > 0:
		return "held by " + who
	case e.LockDelay > 0:
		return fmt.Sprintf("locked to all for another %s, because the session of its holder ended", e.LockDelay)
	}
	return "locked to all for a while, because the session of its holder ended"
}

// Is makes every HeldError an ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// describe adds the names of the sessions, as far as the servers tell them now.
func (e *HeldError) describe(ctx context.Context, c *Client, r *recipe) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	if len(e.Holders) == 0 || !slices.ContainsFunc(e.Holders, func(h Holder) bool { return h.Name == "" }) {
		return
	}
	sessions, _, err := c.Sessions().List(ctx, r.reads()...)
	if err != nil {
		return // the error that this serves is more important
	}
	for i := range e.Holders {
		h := &e.Holders[i]
		for _, s := range sessions {
			if s.ID == h.Session {
				h.Name, h.Node = s.Name, s.Node
			}
		}
	}
}
