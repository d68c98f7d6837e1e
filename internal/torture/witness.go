package torture

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// witness writes and flushes a file of its own beside the servers, again and again. What it waits for
// is what the machine costs, its disk and its processors, without any server: a silence that it
// shares says nothing about them. What that excuses is for Run.Disturbed to say.
//
// A flush counts from when it was due, not from when it began: a machine that stops between two
// flushes is not seen by either of them, but by the one that comes late.
type witness struct {
	flush func() error
	now   func() time.Duration

	mu     sync.Mutex
	due    time.Duration // when the flush under way had to begin, or the next one has to; guarded by mu
	stalls []span        // guarded by mu
	failed bool          // it has seen nothing since; guarded by mu
}

// span is from one time to another.
type span struct{ from, to time.Duration }

func (s span) length() time.Duration { return s.to - s.from }

const (
	// witnessEvery is the pause between two flushes. 50 small ones a second, at most, are
	// nothing to the disk beside those of the servers, which flush for every write.
	witnessEvery = 20 * time.Millisecond

	// stallFrom is from how long on a flush is kept. Most take a fraction of a millisecond.
	stallFrom = 5 * time.Millisecond
)

// noWitness stands for what nobody has seen.
const noWitness = -1

// newWitness returns one whose first flush is due after a pause.
func newWitness(flush func() error, now func() time.Duration) *witness {
	return &witness{flush: flush, now: now, due: now() + witnessEvery}
}

// run flushes until ctx ends, or until that fails: then there is no witness.
func (w *witness) run(ctx context.Context) {
	for rest(ctx, witnessEvery) && w.look() == nil {
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = math.MaxInt64
}

// look flushes once.
func (w *witness) look() error {
	err := w.flush()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = err != nil
	s := span{w.due, w.now()}
	if s.length() >= stallFrom {
		w.stalls = append(w.stalls, s)
	}
	w.due = s.to + witnessEvery
	return err
}

// longest is how long the longest flush took of which a part was within a span; 0 if none was long,
// and noWitness if nobody knows. One that is still under way, or late, counts.
func (w *witness) longest(within span) (longest time.Duration) {
	if w == nil {
		return noWitness
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed {
		return noWitness
	}
	open := span{w.due, w.now()}
	for _, s := range append(w.stalls[:len(w.stalls):len(w.stalls)], open) {
		if s.to >= within.from && s.from <= within.to && s.length() >= stallFrom {
			longest = max(longest, s.length())
		}
	}
	return longest
}

// flushFile writes a few bytes over those at the beginning of a file and returns when they are on
// the disk.
func flushFile(f *os.File) func() error {
	return func() error {
		if _, err := f.WriteAt([]byte("witness"), 0); err != nil {
			return err
		}
		return syncData(f)
	}
}

// startWitness begins to see what the machine costs, with a file in the folder of the load. Without
// one there is no witness.
func (l *Load) startWitness() {
	if l.config.Dir == "" {
		return
	}
	f, err := os.Create(filepath.Join(l.config.Dir, "witness"))
	if err != nil {
		return
	}
	l.witness = newWitness(flushFile(f), l.Elapsed)
	l.reads.Go(func() {
		defer f.Close()
		l.witness.run(l.reading)
	})
}
