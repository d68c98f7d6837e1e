package api

import (
	"context"
	"fmt"
	"time"
)

// FlagsLock marks a key as a lock of this kind. All clients that follow the recipe use
// the same number, so that they exclude each other.
//
// Source: contract, lock and semaphore recipes, section 1.
const FlagsLock uint64 = 0x2ddccbc058a50c18 // 3304740253564472344

// A Lock is a key that one holder at a time can have. It is a description, with which
// any number of goroutines may contend; what was acquired is a [Hold].
//
// It excludes whoever follows the same recipe on the same key: other clients, in other
// languages, and "consul lock", whose lock on PREFIX is the key PREFIX/.lock.
type Lock struct {
	c       *Client
	key     string
	flags   uint64
	checked bool // a key with other flags is not a lock of ours
	recipe  *recipe
	value   func() []byte // to write when it is acquired or released
}

// Lock describes the lock key. Nothing is sent.
func (c *Client) Lock(key string, opts ...RecipeOption) *Lock {
	r := newRecipe(opts)
	return &Lock{c: c, key: key, flags: FlagsLock, checked: true, recipe: r, value: func() []byte { return r.value }}
}

// Acquire waits until the lock is held, or ctx ends. ErrConflict when the key is in use
// for something else. When no session can be made at the start, the error is returned;
// after that only what cannot pass, such as a token that may not do this, ends the wait.
func (l *Lock) Acquire(ctx context.Context) (*Hold, error) { return l.acquire(ctx, time.Time{}) }

// TryAcquire is Acquire that fails with ErrHeld, a [HeldError], when the lock is not
// free within wait. 0 looks once.
func (l *Lock) TryAcquire(ctx context.Context, wait time.Duration) (*Hold, error) {
	return l.acquire(ctx, time.Now().Add(max(wait, 0)))
}

func (l *Lock) acquire(ctx context.Context, until time.Time) (*Hold, error) {
	h, err := l.recipe.acquire(ctx, l.c, until, l.contend)
	if err != nil {
		return nil, fmt.Errorf("acquire lock %q: %w", l.key, err)
	}
	return h, nil
}

// contend waits for the lock with one session.
//
// Source: contract, lock and semaphore recipes, section 1, "Acquire".
func (l *Lock) contend(c *contest) (_ *Hold, err error) {
	asked := false // an acquire was sent whose outcome is not known
	defer func() {
		if err != nil && asked {
			l.giveUp(c)
		}
	}()
	index := uint64(0)
	for {
		entry, at, err := l.look(c, index)
		if err == nil {
			err = l.mine(entry)
		}
		if err != nil {
			if err := c.failed(err); err != nil {
				return nil, err
			}
			index = 0
			continue
		}
		c.retry = 0
		if entry != nil && entry.Session != "" && entry.Session != c.lease.id {
			if c.over() {
				return nil, l.heldBy(c, &Refusal{Holder: &Holder{Session: entry.Session}})
			}
			if at <= index { // the wait was over, or the store was restored
				if err := c.rest(watchPause); err != nil {
					return nil, err
				}
			}
			index = at
			continue
		}
		asked = true
		res, err := l.c.KV().Acquire(c.ctx, l.key, l.value(), c.lease.id, l.flagged(Explain())...)
		index = 0
		switch {
		case err != nil:
			err = c.failed(err)
		case res.Applied && c.lease.check() != nil:
			err = errSessionGone
		case res.Applied:
			return l.hold(c.lease, res.Fence), nil
		default:
			asked = false
			index, err = l.refused(c, res.Refused)
		}
		if err != nil {
			return nil, err
		}
	}
}

// look reads the lock, waiting for a change after index. The entry is nil when there
// is none.
func (l *Lock) look(c *contest, index uint64) (*Entry, uint64, error) {
	ctx, cancel := c.poll()
	defer cancel()
	entry, meta, err := l.c.KV().Get(ctx, l.key, l.recipe.reads(waitUpTo(index, c.left()))...)
	if isNotFound(err) {
		err = nil
	}
	return entry, max(meta.Index, 1), err
}

// mine checks that the key is a lock of this kind.
func (l *Lock) mine(entry *Entry) error {
	if l.checked && entry != nil && entry.Flags != l.flags {
		return fmt.Errorf("%w: its flags are %d, not %d", ErrConflict, entry.Flags, l.flags)
	}
	return nil
}

// refused finds out why an acquire was refused, and returns the index to wait on if
// somebody was faster. In a lock-delay it waits for its end, as far as it is known.
func (l *Lock) refused(c *contest, why *Refusal) (uint64, error) {
	if why == nil || why.Holder != nil || why.LockDelay == 0 {
		entry, at, err := l.look(c, 0)
		if err != nil {
			return 0, c.failed(err)
		}
		if entry != nil && entry.Session != "" {
			return at, nil // the next look will wait
		}
	}
	if c.over() {
		return 0, l.heldBy(c, why)
	}
	c.retry = min(max(2*c.retry, firstRetry), contendRetry)
	d := c.retry
	if why != nil && why.LockDelay > 0 {
		d = why.LockDelay + time.Millisecond // the answer is rounded
	}
	return 0, c.rest(d)
}

// heldBy is the error of a lock that was not free in time.
func (l *Lock) heldBy(c *contest, why *Refusal) error {
	held := &HeldError{Key: l.key}
	if why != nil {
		held.LockDelay = why.LockDelay
		if why.Holder != nil {
			held.Holders = []Holder{*why.Holder}
		}
	}
	held.describe(c.ctx, l.c, l.recipe)
	return held
}

// giveUp releases a lock that may have been acquired by a call that was broken off: so
// it is free at once, and not only after a lock-delay.
func (l *Lock) giveUp(c *contest) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.outer), endTimeout)
	defer cancel()
	_, _ = l.release(ctx, c.lease.id) // else it ends with the session
}

// hold is the lock as held by a session.
func (l *Lock) hold(lease *Lease, fence uint64) *Hold {
	giveBack := func(ctx context.Context) (bool, error) { return l.release(ctx, lease.id) }
	return l.recipe.hold(lease, l.key, fence, giveBack, func(ctx context.Context, index uint64) (bool, uint64, error) {
		entry, meta, err := l.c.KV().Get(ctx, l.key, l.recipe.consistentAfter(index)...)
		if isNotFound(err) {
			return false, meta.Index, nil
		}
		return err == nil && entry.Session == lease.id, meta.Index, err
	})
}

// release gives the lock back; false when it was not held by the session.
func (l *Lock) release(ctx context.Context, session string) (bool, error) {
	res, err := l.c.KV().Release(ctx, l.key, l.value(), session, l.flagged()...)
	return res.Applied, err
}

// flagged are the options of a write to the lock.
func (l *Lock) flagged(more ...WriteOption) []WriteOption {
	if l.flags != 0 {
		more = append(more, Flags(l.flags))
	}
	return l.recipe.writes(more...)
}

// Destroy removes the key of a lock that nobody holds. ErrInUse when somebody does,
// ErrConflict when the key is no lock of this kind; one that does not exist is fine.
func (l *Lock) Destroy(ctx context.Context) error {
	if err := l.destroy(ctx); err != nil {
		return fmt.Errorf("remove lock %q: %w", l.key, err)
	}
	return nil
}

func (l *Lock) destroy(ctx context.Context) error {
	entry, _, err := l.c.KV().Get(ctx, l.key, l.recipe.reads()...)
	switch {
	case isNotFound(err):
		return nil
	case err != nil:
		return err
	case l.mine(entry) != nil:
		return l.mine(entry)
	case entry.Session != "":
		return ErrInUse
	}
	res, err := l.c.KV().DeleteCAS(ctx, l.key, entry.ModifyIndex, l.recipe.writes()...)
	if err == nil && !res.Applied {
		return ErrInUse
	}
	return err
}
