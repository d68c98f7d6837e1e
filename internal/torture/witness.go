package torture

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// witness writes and flushes a file of its own beside the servers, again and again. What it waits for
// is what the machine costs, its disk and its processors, without any server: a silence that it
// shares says nothing about them. It excuses nothing; it is there to be read.
type witness struct {
	flush func() error
	now   func() time.Duration

	mu     sync.Mutex
	begun  time.Duration // of the flush under way; guarded by mu
	flying bool          // there is one; guarded by mu
	stalls []stall       // guarded by mu
	absent bool          // there is none; guarded by mu
}

// stall is a flush that took long.
type stall struct{ from, to time.Duration }

const (
	// witnessEvery is the pause between two flushes, so that they are few beside those of
	// the servers.
	witnessEvery = 20 * time.Millisecond

	// stallFrom is from how long on a flush is kept. Most take a fraction of a millisecond.
	stallFrom = 5 * time.Millisecond
)

// noWitness stands for what nobody has seen.
const noWitness = -1

// run flushes until ctx ends, or until that fails: then there is no witness.
func (w *witness) run(ctx context.Context) {
	for rest(ctx, witnessEvery) && w.look() == nil {
	}
}

// look flushes once.
func (w *witness) look() error {
	w.mu.Lock()
	w.begun, w.flying = w.now(), true
	w.mu.Unlock()
	err := w.flush()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying, w.absent = false, err != nil
	if s := (stall{w.begun, w.now()}); s.to-s.from >= stallFrom {
		w.stalls = append(w.stalls, s)
	}
	return err
}

// longest is the longest flush of which a part was between two times; 0 if none was long, and
// noWitness if nobody knows.
func (w *witness) longest(from, to time.Duration) (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.absent {
		return noWitness
	}
	all := w.stalls
	if w.flying {
		all = append(all[:len(all):len(all)], stall{w.begun, w.now()})
	}
	for _, s := range all {
		if s.to >= from && s.from <= to && s.to-s.from >= stallFrom {
			longest = max(longest, s.to-s.from)
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
		return f.Sync()
	}
}

// startWitness begins to see what the machine costs, with a file in the folder of the load.
func (l *Load) startWitness() {
	l.witness = &witness{now: l.Elapsed, absent: true}
	if l.config.Dir == "" {
		return
	}
	f, err := os.Create(filepath.Join(l.config.Dir, "witness"))
	if err != nil {
		return
	}
	l.witness.flush, l.witness.absent = flushFile(f), false
	l.reads.Go(func() {
		defer f.Close()
		l.witness.run(l.reading)
	})
}
