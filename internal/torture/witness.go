package torture

import (
	"context"
	"errors"
	"fmt"
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

// run flushes until ctx ends.
func (w *witness) run(ctx context.Context) error {
	for rest(ctx, witnessEvery) {
		if err := w.look(); err != nil {
			return fmt.Errorf("see how long the machine takes: %w", err)
		}
	}
	return nil
}

// look flushes once.
func (w *witness) look() error {
	w.mu.Lock()
	w.begun, w.flying = w.now(), true
	w.mu.Unlock()
	err := w.flush()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying = false
	if s := (stall{w.begun, w.now()}); s.to-s.from >= stallFrom {
		w.stalls = append(w.stalls, s)
	}
	return err
}

// longest is the longest flush of which a part was between two times; 0 if none was long.
func (w *witness) longest(from, to time.Duration) (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
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
	l.witness = &witness{now: l.Elapsed}
	if l.config.Dir == "" {
		return
	}
	f, err := os.Create(filepath.Join(l.config.Dir, "witness"))
	if err != nil {
		l.faults.add("no witness of what the machine costs: %v", err)
		return
	}
	l.witness.flush = flushFile(f)
	l.reads.Go(func() {
		if err := errors.Join(l.witness.run(l.reading), f.Close()); err != nil {
			l.faults.add("%v", err)
		}
	})
}
