package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errTaken is why a lock counts as lost although its session lives.
var errTaken = errors.New("somebody took it away")

// A Hold is a lock, or a slot of a semaphore, that was acquired. It is watched in a
// goroutine, which ends when the hold is lost and which Release waits for. Release
// must be called in any case.
//
// A process that was stopped for longer than its lease, by a signal or by a virtual
// machine, may do something after it was resumed and before it notices: check
// [Hold.Err] before what matters, and give the servers the means to refuse it with
// [Fence].
type Hold struct {
	lease *Lease
	own   bool // the lease ends with the hold
	key   string
	fence uint64

	giveBack func(context.Context) (bool, error) // false: it was not ours

	ctx       context.Context // ends with the lease's too
	cancel    context.CancelCauseFunc
	tasks     sync.WaitGroup
	releasing sync.Once
	released  error // of Release
}

// hold makes a Hold and begins to watch it with look, which says whether it is still
// ours.
func (r *recipe) hold(l *Lease, key string, fence uint64, giveBack func(context.Context) (bool, error), look look) *Hold {
	h := &Hold{lease: l, own: r.lease == nil, key: key, fence: fence, giveBack: giveBack}
	h.ctx, h.cancel = context.WithCancelCause(l.ctx)
	h.tasks.Go(func() { h.watch(r, look) })
	return h
}

// Key is the key of the lock; for a semaphore that of its contender.
func (h *Hold) Key() string { return h.key }

// Session is the id of the session that holds.
func (h *Hold) Session() string { return h.lease.id }

// Fence is the number of this holder, for [Fence]: later holders have greater ones.
// 0 for a semaphore, and when the server gives none.
func (h *Hold) Fence() uint64 { return h.fence }

// Lost is closed when what is held can no longer be counted on, and when it was
// released. For want of renewals it is closed a tenth of the session's TTL before the
// server may give the lock away.
func (h *Hold) Lost() <-chan struct{} { return h.ctx.Done() }

// Context ends when Lost is closed; [context.Cause] says why. Work that only the
// holder may do runs under it.
func (h *Hold) Context() context.Context { return h.ctx }

// Err is nil while what is held can be counted on. Afterwards it says why not
// (ErrLost), and stays nil if it was released before. Unlike Lost it looks at the
// clock when it is called.
func (h *Hold) Err() error {
	if err := notReleased(context.Cause(h.ctx)); err != nil || h.ctx.Err() != nil {
		return err
	}
	return h.lease.Err()
}

// Lives is how long the session certainly lives if no renewal succeeds from now on.
func (h *Hold) Lives() time.Duration { return h.lease.lives() }

// Release gives it back. While the servers cannot be reached it tries again, until ctx
// ends or the session may have. ErrLost says that it had been lost before, so that others
// may have been at work too; another error that it could not be given back, in which case
// it ends with the session. Releasing again does nothing and returns the same.
func (h *Hold) Release(ctx context.Context) error {
	h.releasing.Do(func() { h.released = h.release(ctx) })
	return h.released
}

func (h *Hold) release(ctx context.Context) error {
	lost := h.Err()
	h.cancel(errReleased)
	h.tasks.Wait()
	var failed error
	if h.lease.check() == nil { // else the session is gone, or Close ends it below
		ours, err := h.handBack(ctx)
		if failed = err; err == nil && !ours && lost == nil {
			lost = h.lostTo(errTaken)
		}
	}
	if h.own {
		failed = errors.Join(failed, h.lease.Close(ctx))
	}
	if lost != nil {
		return lost // what could not be given back matters no more
	}
	return failed
}

// handBack gives back until that succeeds, ctx ends, or the session may have ended by
// itself; false when it was not ours.
func (h *Hold) handBack(ctx context.Context) (ours bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, h.lease.lives())
	defer cancel()
	for retry := time.Duration(0); ; {
		had, err := h.giveBack(ctx)
		ours = ours || had
		if err == nil || permanent(err) || ctx.Err() != nil {
			return ours, err
		}
		var conn *ConnectionError
		if errors.As(err, &conn) && conn.Sent {
			ours = true // it may have been given back by this
		}
		retry = min(max(2*retry, firstRetry), contendRetry)
		if pause(ctx, pauseAfter(err, retry)) != nil {
			return ours, err
		}
	}
}

// lostTo is the error of a loss.
func (h *Hold) lostTo(why error) error {
	return fmt.Errorf("lock %q is %w: %w", h.key, ErrLost, why)
}

// lose ends the hold.
func (h *Hold) lose(why error) {
	err := h.lostTo(why)
	h.cancel(err)
	if h.own {
		h.lease.tell(Lost, err)
	}
}

// look reads whether something is still ours, waiting for a change after index, and
// returns the index of what it read.
type look func(ctx context.Context, index uint64) (ours bool, at uint64, err error)

// watch looks until the hold ends.
func (h *Hold) watch(r *recipe, look look) {
	index, failures := uint64(0), 0
	for h.ctx.Err() == nil {
		ours, at, err := h.once(index, look)
		switch {
		case h.ctx.Err() != nil:
			return
		case err == nil && !ours:
			h.lose(errTaken)
		case err == nil:
			failures = 0
			if at = max(at, 1); at <= index {
				if at < index {
					at = 0 // the store was restored
				}
				_ = pause(h.ctx, watchPause) // the loop ends by itself
			}
			index = at
		default:
			failures++
			if permanent(err) || r.monitorRetries >= 0 && failures > r.monitorRetries {
				h.lose(err)
				return
			}
			index = 0
			_ = pause(h.ctx, max(r.monitorPause, pauseAfter(err, 0)))
		}
	}
}

// once looks once, and gives up a connection on which the server has been silent for
// longer than it may be.
func (h *Hold) once(index uint64, look look) (bool, uint64, error) {
	ctx, cancel := context.WithTimeout(h.ctx, watchWait+watchWait/16+watchGrace)
	defer cancel()
	return look(ctx, index)
}

// consistentAfter are the options of a watcher's read: confirmed by the leader, and
// waiting as long as the server likes when there is an index.
func (r *recipe) consistentAfter(index uint64) []ReadOption {
	opts := r.reads(Consistent())
	if index > 0 {
		opts = append(opts, WaitIndex(index, 0))
	}
	return opts
}
