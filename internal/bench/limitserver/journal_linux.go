package limitserver

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// journal appends to a file and shares fdatasync: whoever arrives while one is
// under way joins a group, and the first of the group syncs for all of it.
//
// There is no goroutine behind it. With one writer the sync then happens on the
// writer's own goroutine, without a hand-over that would cost more than the
// write itself.
type journal struct {
	file *os.File

	mu   sync.Mutex
	open *group // the group that newcomers join; guarded by mu

	// sync is held over one write and fdatasync. Taken before mu.
	sync sync.Mutex
}

// group is a set of writers that share one fdatasync.
type group struct {
	bytes []byte        // guarded by journal.mu until the group is closed
	led   bool          // someone has taken on the sync; guarded by journal.mu
	done  chan struct{} // closed when err is final
	err   error
}

func newGroup() *group { return &group{done: make(chan struct{})} }

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &journal{file: f, open: newGroup()}, nil
}

// append returns when b is on the disk.
func (j *journal) append(b []byte) error {
	j.mu.Lock()
	g := j.open
	g.bytes = append(g.bytes, b...)
	lead := !g.led
	g.led = true
	j.mu.Unlock()
	if !lead {
		<-g.done
		return g.err
	}

	j.sync.Lock() // others join g while an earlier group is being synced
	j.mu.Lock()
	j.open = newGroup()
	j.mu.Unlock()
	g.err = j.write(g.bytes)
	j.sync.Unlock()
	close(g.done)
	return g.err
}

func (j *journal) write(b []byte) error {
	if _, err := j.file.Write(b); err != nil {
		return err
	}
	if err := unix.Fdatasync(int(j.file.Fd())); err != nil {
		return fmt.Errorf("fdatasync %s: %w", j.file.Name(), err)
	}
	return nil
}

// reset empties the file, so that a long run does not fill the disk.
func (j *journal) reset() error {
	j.sync.Lock()
	defer j.sync.Unlock()
	return errors.Join(j.file.Truncate(0), j.file.Sync())
}

// close may be called on nil.
func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.sync.Lock()
	defer j.sync.Unlock()
	return j.file.Close()
}
