package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// FlagsSemaphore marks keys as parts of a semaphore of this kind.
//
// Source: contract, lock and semaphore recipes, section 2.
const FlagsSemaphore uint64 = 0xe0f69a2baa414de0 // 16210313421097356768

// semaphoreLock is the name of the key below the prefix that lists the holders.
const semaphoreLock = ".lock"

// A Semaphore has a number of slots that holders can have at the same time. It is a
// description, with which any number of goroutines may contend; a slot that was
// acquired is a [Hold].
//
// Everybody who contends must ask for the same number of slots. It works together with
// other clients that follow the recipe, and with "consul lock -n N".
type Semaphore struct {
	c      *Client
	prefix string
	slots  int
	recipe *recipe
}

// semaphoreState is the value of the key that lists the holders.
type semaphoreState struct {
	Limit   int
	Holders map[string]bool
}

// Semaphore describes the semaphore that is kept in the keys below prefix. Nothing is
// sent.
func (c *Client) Semaphore(prefix string, slots int, opts ...RecipeOption) *Semaphore {
	s := &Semaphore{c: c, prefix: prefix, slots: slots, recipe: newRecipe(opts)}
	s.recipe.spec.Behavior = BehaviorDelete // a contender that dies leaves nothing behind
	return s
}

// Acquire waits until a slot is held, or ctx ends, as [Lock.Acquire] does. It fails
// when others ask for another number of slots.
func (s *Semaphore) Acquire(ctx context.Context) (*Hold, error) { return s.acquire(ctx, time.Time{}) }

// TryAcquire is Acquire that fails with ErrHeld, a [HeldError], when no slot is free
// within wait. 0 looks once.
func (s *Semaphore) TryAcquire(ctx context.Context, wait time.Duration) (*Hold, error) {
	return s.acquire(ctx, time.Now().Add(max(wait, 0)))
}

func (s *Semaphore) acquire(ctx context.Context, until time.Time) (*Hold, error) {
	h, err := s.recipe.acquire(ctx, s.c, until, s.contend)
	if err != nil {
		return nil, fmt.Errorf("acquire a slot of semaphore %q: %w", s.prefix, err)
	}
	return h, nil
}

// contend waits for a slot with one session.
//
// Source: contract, lock and semaphore recipes, section 2, "Acquire".
func (s *Semaphore) contend(c *contest) (_ *Hold, err error) {
	if s.slots < 1 {
		return nil, fmt.Errorf("%d slots are none", s.slots)
	}
	defer func() {
		if err != nil && s.recipe.lease != nil {
			s.giveUp(c) // else the key of the contender ends with the session
		}
	}()
	for {
		err := s.enter(c)
		if err == nil {
			break
		}
		if err := c.failed(err); err != nil {
			return nil, err
		}
	}
	index := uint64(0)
	for {
		st, at, err := s.look(c, index)
		if err == nil {
			err = s.fits(st)
		}
		if err == nil && st.Holders[c.lease.id] { // by a write whose answer was lost
			return s.hold(c.lease), nil
		}
		if err == nil && len(st.Holders) >= s.slots {
			if c.over() {
				return nil, s.heldBy(c, st)
			}
			c.retry = 0
			if at <= index {
				err = c.rest(watchPause)
			}
			if err != nil {
				return nil, err
			}
			index = at
			continue
		}
		index = 0
		won := false
		if err == nil {
			st.Holders[c.lease.id] = true
			won, err = s.write(c.ctx, st)
		}
		switch {
		case err != nil:
			err = c.failed(err)
		case won && c.lease.check() != nil:
			err = errSessionGone
		case won:
			return s.hold(c.lease), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// contender is the key that says that a session contends or holds.
func (s *Semaphore) contender(session string) string { return path.Join(s.prefix, session) }

// lockKey is the key that lists the holders.
func (s *Semaphore) lockKey() string { return path.Join(s.prefix, semaphoreLock) }

// enter makes the key of the contender.
func (s *Semaphore) enter(c *contest) error {
	res, err := s.c.KV().Acquire(c.ctx, s.contender(c.lease.id), s.recipe.value, c.lease.id, s.recipe.writes(Flags(FlagsSemaphore))...)
	if err == nil && !res.Applied {
		return fmt.Errorf("%w: the key %q of this contender is another's", ErrConflict, s.contender(c.lease.id))
	}
	return err
}

// semaphoreView is a consistent picture of the semaphore.
type semaphoreView struct {
	semaphoreState        // without holders whose session is gone
	index          uint64 // ModifyIndex of the list; 0 when there is none
	flags          uint64 // of the list
}

// look reads the semaphore, waiting for a change after index.
func (s *Semaphore) look(c *contest, index uint64) (*semaphoreView, uint64, error) {
	ctx, cancel := c.poll()
	defer cancel()
	return s.read(ctx, s.recipe.reads(waitUpTo(index, c.left()))...)
}

// read lists everything below the prefix. Keys that only begin like it are left out.
func (s *Semaphore) read(ctx context.Context, opts ...ReadOption) (*semaphoreView, uint64, error) {
	entries, meta, err := s.c.KV().List(ctx, s.prefix, opts...)
	if err != nil {
		return nil, meta.Index, err
	}
	view := &semaphoreView{flags: FlagsSemaphore}
	alive := map[string]bool{}
	for _, e := range entries {
		if e.Key != s.lockKey() {
			alive[e.Key] = e.Session != "" && e.Key == s.contender(e.Session)
			continue
		}
		view.index, view.flags = e.ModifyIndex, e.Flags
		if e.Flags == FlagsSemaphore {
			if err := json.Unmarshal(e.Value, &view.semaphoreState); err != nil {
				return nil, meta.Index, fmt.Errorf("%w: read list of holders: %w", ErrConflict, err)
			}
		}
	}
	pruned := map[string]bool{}
	for id := range view.Holders {
		if alive[s.contender(id)] {
			pruned[id] = true
		}
	}
	view.Holders = pruned
	return view, max(meta.Index, 1), nil
}

// fits checks that what is there is a semaphore of this kind and size.
func (s *Semaphore) fits(st *semaphoreView) error {
	switch {
	case st.flags != FlagsSemaphore:
		return fmt.Errorf("%w: the flags of %q are %d, not %d", ErrConflict, s.lockKey(), st.flags, FlagsSemaphore)
	case st.index > 0 && st.Limit != s.slots:
		return fmt.Errorf("%w: it has %d slots, and %d were asked for", ErrConflict, st.Limit, s.slots)
	}
	return nil
}

// write puts the list of holders if it is still as it was read.
func (s *Semaphore) write(ctx context.Context, st *semaphoreView) (bool, error) {
	value, err := json.Marshal(semaphoreState{Limit: s.slots, Holders: st.Holders})
	if err != nil {
		return false, err
	}
	res, err := s.c.KV().CAS(ctx, s.lockKey(), value, st.index, s.recipe.writes(Flags(FlagsSemaphore))...)
	return res.Applied, err
}

// hold is a slot as held by a session.
func (s *Semaphore) hold(lease *Lease) *Hold {
	giveBack := func(ctx context.Context) (bool, error) { return s.release(ctx, lease.id) }
	return s.recipe.hold(lease, s.contender(lease.id), 0, giveBack, func(ctx context.Context, index uint64) (bool, uint64, error) {
		st, at, err := s.read(ctx, s.recipe.consistentAfter(index)...)
		return err == nil && st.Holders[lease.id], at, err
	})
}

// release takes a session out of the list of holders and removes its contender.
func (s *Semaphore) release(ctx context.Context, session string) (held bool, err error) {
	unknown := 0 // writes without an answer
	for done := false; !done; {
		entry, _, err := s.c.KV().Get(ctx, s.lockKey(), s.recipe.reads()...)
		if isNotFound(err) {
			break
		}
		if err != nil {
			return false, err
		}
		st := semaphoreView{index: entry.ModifyIndex}
		if entry.Flags != FlagsSemaphore || json.Unmarshal(entry.Value, &st.semaphoreState) != nil {
			break // somebody else's by now
		}
		if !st.Holders[session] {
			break
		}
		delete(st.Holders, session)
		held = true
		done, err = s.write(ctx, &st)
		if errors.Is(err, ErrUnreachable) && unknown < 2 {
			unknown++ // the next read tells what became of it
			continue
		}
		if err != nil {
			return false, err
		}
	}
	_, err = s.c.KV().Delete(ctx, s.contender(session), s.recipe.writes()...)
	return held, err
}

// giveUp takes back what a contest has left behind.
func (s *Semaphore) giveUp(c *contest) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.outer), endTimeout)
	defer cancel()
	_, _ = s.release(ctx, c.lease.id) // else it ends with the session
}

// heldBy is the error of a semaphore that had no free slot in time.
func (s *Semaphore) heldBy(c *contest, st *semaphoreView) error {
	held := &HeldError{Key: s.prefix, Slots: s.slots}
	for id := range st.Holders {
		held.Holders = append(held.Holders, Holder{Session: id})
	}
	slices.SortFunc(held.Holders, func(a, b Holder) int { return strings.Compare(a.Session, b.Session) })
	held.describe(c.ctx, s.c, s.recipe)
	return held
}

// Destroy removes what is left of a semaphore that nobody holds. ErrInUse when
// somebody does, ErrConflict when it is no semaphore of this kind; one that does not
// exist is fine.
func (s *Semaphore) Destroy(ctx context.Context) error {
	if err := s.destroy(ctx); err != nil {
		return fmt.Errorf("remove semaphore %q: %w", s.prefix, err)
	}
	return nil
}

func (s *Semaphore) destroy(ctx context.Context) error {
	st, _, err := s.read(ctx, s.recipe.reads()...)
	switch {
	case err != nil:
		return err
	case st.index == 0:
		return nil
	case st.flags != FlagsSemaphore:
		return ErrConflict
	case len(st.Holders) > 0:
		return ErrInUse
	}
	res, err := s.c.KV().DeleteCAS(ctx, s.lockKey(), st.index, s.recipe.writes()...)
	if err == nil && !res.Applied {
		return ErrInUse
	}
	return err
}
