package api

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync"
	"time"
)

// An Election is a key that one candidate at a time holds, so that all others can read
// who leads. It is a description, with which any number of goroutines may campaign; a
// campaign that was won is a [Term].
//
// It is the election that the documentation of this API has for curl, and works
// together with it: whoever holds the key with a session leads.
type Election struct {
	c    *Client
	key  string
	opts []RecipeOption
}

// Election describes the election on key. Nothing is sent.
func (c *Client) Election(key string, opts ...RecipeOption) *Election {
	return &Election{c: c, key: key, opts: opts}
}

// A Leader is who leads, or led last.
type Leader struct {
	Session string // "" when nobody leads
	Value   []byte // what the leader says about itself; stays when it no longer leads
	Term    uint64 // how many times the key was acquired
	Index   uint64 // of the newest change, for [WaitIndex]
}

// Elected says whether somebody leads.
func (l Leader) Elected() bool { return l.Session != "" }

// A Term is the time as leader. It ends as a [Hold] does.
type Term struct {
	*Hold
	election *Election
	recipe   *recipe

	mu    sync.Mutex
	value []byte // guarded by mu
}

// Campaign waits until this candidate leads, or ctx ends; value is what others then
// read about it.
func (e *Election) Campaign(ctx context.Context, value []byte) (*Term, error) {
	return e.campaign(ctx, value, time.Time{})
}

// TryCampaign is Campaign that fails with ErrHeld, a [HeldError], when this candidate
// does not lead within wait. 0 looks once.
func (e *Election) TryCampaign(ctx context.Context, value []byte, wait time.Duration) (*Term, error) {
	return e.campaign(ctx, value, time.Now().Add(max(wait, 0)))
}

func (e *Election) campaign(ctx context.Context, value []byte, until time.Time) (*Term, error) {
	t := &Term{election: e, recipe: newRecipe(e.opts), value: value}
	lock := &Lock{c: e.c, key: e.key, recipe: t.recipe, value: t.said}
	h, err := t.recipe.acquire(ctx, e.c, until, lock.contend)
	if err != nil {
		return nil, fmt.Errorf("campaign for %q: %w", e.key, err)
	}
	t.Hold = h
	return t, nil
}

// said is what the candidate says about itself.
func (t *Term) said() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.value
}

// Proclaim changes what others read about the leader. ErrLost when this candidate no
// longer leads.
func (t *Term) Proclaim(ctx context.Context, value []byte) error {
	if err := t.proclaim(ctx, value); err != nil {
		return fmt.Errorf("proclaim as leader of %q: %w", t.key, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value = value
	return nil
}

func (t *Term) proclaim(ctx context.Context, value []byte) error {
	if err := t.over(); err != nil {
		return err
	}
	ctx, cancel := within(ctx, t.lease)
	defer cancel()
	// As the holder it acquires once more, so that nothing is written when it is not.
	res, err := t.election.c.KV().Acquire(ctx, t.key, value, t.Session(), t.recipe.writes()...)
	switch {
	case err != nil && t.over() != nil:
		return t.over()
	case err != nil:
		return err
	case !res.Applied, res.Fence != t.fence: // another number is another term, with somebody in between
		return t.lostTo(errTaken)
	}
	return nil
}

// over says why the term is over; nil while it is not.
func (t *Term) over() error {
	if err := t.Err(); err != nil || t.ctx.Err() == nil {
		return err
	}
	return t.lostTo(errReleased)
}

// Resign ends the term, so that another can lead. It is [Hold.Release].
func (t *Term) Resign(ctx context.Context) error { return t.Release(ctx) }

// Leader reads who leads now.
func (e *Election) Leader(ctx context.Context, opts ...ReadOption) (Leader, error) {
	entry, meta, err := e.c.KV().Get(ctx, e.key, newRecipe(e.opts).reads(opts...)...)
	if isNotFound(err) {
		return Leader{Index: meta.Index}, nil
	}
	if err != nil {
		return Leader{}, fmt.Errorf("read leader of %q: %w", e.key, err)
	}
	return leaderOf(entry), nil
}

// leaderOf is the leader that a key names; nil for a key that does not exist.
func leaderOf(entry *Entry) Leader {
	if entry == nil {
		return Leader{}
	}
	return Leader{Session: entry.Session, Value: entry.Value, Term: entry.LockIndex, Index: entry.ModifyIndex}
}

// Observe goes through the leaders: first who leads now, even if that is nobody, then
// each change, until ctx ends, whose error is the last thing yielded. Changes that come
// faster than they are taken are merged. Errors that may pass are tried again; see
// [Watch.Next].
func (e *Election) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		var last Leader
		known := false
		for ev, err := range e.c.WatchKey(e.key, WatchRead(newRecipe(e.opts).reads()...)).Events(ctx) {
			if err != nil {
				yield(Leader{}, fmt.Errorf("observe election: %w", err))
				return
			}
			var now Leader
			if len(ev.Entries) > 0 {
				now = leaderOf(ev.Entries[0])
			}
			now.Index = ev.Index
			if known && now.Session == last.Session && bytes.Equal(now.Value, last.Value) {
				continue
			}
			last, known = now, true
			if !yield(now, nil) {
				return
			}
		}
	}
}
