package datadir

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Space watches how much room is left, so that a server can stop accepting
// writes while it still has enough for its own: finishing a segment of the log,
// a term, a vote, a snapshot.
//
// It says "low" below minFree and "not low" again only a quarter above it, so
// that a disk at the edge does not make the server accept and refuse in turns.
type Space struct {
	path   string
	statfs func(path string) (free uint64, err error)

	minFree atomic.Uint64 // bytes; 0: never low
	free    atomic.Uint64 // bytes at the last check
	low     atomic.Bool
	mu      sync.Mutex // held over a check, so that two do not decide at once
}

// NewSpace watches the file system that holds path. statfs is asked for the free
// bytes; nil asks the system. Nothing is looked at before the first Check.
func NewSpace(path string, minFree uint64, statfs func(path string) (free uint64, err error)) *Space {
	if statfs == nil {
		statfs = statFS
	}
	s := &Space{path: path, statfs: statfs}
	s.minFree.Store(minFree)
	return s
}

// SetMinFree changes the bound, in bytes; the next Check goes by it. 0: never low.
func (s *Space) SetMinFree(n uint64) { s.minFree.Store(n) }

// Check looks and decides. If it can't look, the last decision stands and the
// error says why.
func (s *Space) Check() (free uint64, low bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, err = s.statfs(s.path)
	if err != nil {
		return s.free.Load(), s.low.Load(), fmt.Errorf("look at free space of %s: %w", s.path, err)
	}
	bound := s.minFree.Load()
	if s.low.Load() {
		bound += bound / 4
	}
	low = free < bound
	s.free.Store(free)
	s.low.Store(low)
	return free, low, nil
}

// ReportFull says that a write has just failed for want of room, which a check
// may not see (quota, inodes). It counts as low until the next Check finds room.
func (s *Space) ReportFull() { s.low.Store(true) }

// Err is nil, or a *LowSpaceError while space is low: what to answer a write
// with. It costs one atomic load when there is room.
func (s *Space) Err() error {
	if !s.low.Load() {
		return nil
	}
	return &LowSpaceError{Path: s.path, Free: s.free.Load(), MinFree: s.minFree.Load()}
}

// Run checks at each tick until ctx is done or ticks is closed, and calls changed
// after each check that decided otherwise than the one before, or that failed
// when the one before did not (err says so, low is unchanged).
func (s *Space) Run(ctx context.Context, ticks <-chan time.Time, changed func(free uint64, low bool, err error)) error {
	was, failed := s.low.Load(), false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-ticks:
			if !ok {
				return nil
			}
		}
		free, low, err := s.Check()
		if low != was || (err != nil && !failed) {
			changed(free, low, err)
		}
		was, failed = low, err != nil
	}
}
