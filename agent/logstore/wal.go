package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"github.com/holdfast-kv/holdfast/agent/datadir"
	"github.com/holdfast-kv/holdfast/agent/logstore/waldir"
)

// walLog is a log in raft-wal.
//
// raft-wal undoes an append that failed, but when a segment was full and the next
// could not be made it answers every write with an error until it is opened
// again; and what a failed write left in the file may later be read as entries.
// So after any failure the folder is put in order and the log opened anew,
// beside the old one, which serves readers until then.
type walLog struct {
	dir          string
	segmentBytes int
	noSync       bool
	log          hclog.Logger
	wrap         func(types.VFS) types.VFS // tests make the disk fail; nil: no

	mu  sync.RWMutex
	w   *wal.WAL   // guarded by mu
	vfs *waldir.FS // the files of w; guarded by mu
}

// lookAtWAL puts the log in dir in order and says what it holds; the newest entries
// are in c then. Opening it makes dir if there is none.
func lookAtWAL(dir string, o *Options, c *cache, covered, acked uint64) (logLook, error) {
	l := &walLog{dir: dir, segmentBytes: o.SegmentBytes, noSync: o.NoSync, log: o.Logger.Named("wal"), wrap: o.wrapFS}
	list, rep, err := waldir.Recover(dir, l.recoverOptions(c, covered, acked))
	if err != nil {
		return logLook{}, fromWAL(err)
	}
	if rep.Mended != "" {
		o.Logger.Warn("removed a write at the end of the log that was not finished when the process ended",
			"file", rep.Mended, "last_index", rep.Last)
	}
	if rep.Dropped > 0 {
		o.Logger.Warn("gave up damaged entries of the log that a snapshot covers", "up_to", rep.Dropped, "damage", rep.DroppedWhy)
	}
	open := func() (backend, error) {
		if err := makeFolder(dir); err != nil {
			return nil, err
		}
		return l, l.open(list)
	}
	return logLook{first: rep.First, last: rep.Last, open: open}, nil
}

func makeFolder(path string) error {
	err := os.Mkdir(path, folderMode)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err == nil {
		err = datadir.SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("make the folder of the log: %w", err)
	}
	return nil
}

func (l *walLog) recoverOptions(c *cache, covered, acked uint64) waldir.Options {
	return waldir.Options{From: covered + 1, Acked: acked, Verify: verifyWAL(c), NoSync: l.noSync}
}

// open opens the log with the list that Recover made, and uses it from then on.
func (l *walLog) open(list *waldir.Segments) error {
	vfs := waldir.NewFS(l.noSync)
	var fs types.VFS = vfs
	if l.wrap != nil {
		fs = l.wrap(fs)
	}
	var w *wal.WAL
	err := guard(func() (err error) {
		w, err = wal.Open(l.dir, wal.WithMetaStore(list), wal.WithCodec(&waldir.Codec{}), wal.WithSegmentFiler(waldir.Filer{SegmentFiler: segment.NewFiler(l.dir, fs)}),
			wal.WithSegmentSize(l.segmentBytes), wal.WithLogger(l.log))
		return err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("open the log in %s: %w", l.dir, err), vfs.CloseAll())
	}
	l.mu.Lock()
	oldW, oldFS := l.w, l.vfs
	l.w, l.vfs = w, vfs
	l.mu.Unlock()
	return closeWAL(oldW, oldFS)
}

func closeWAL(w *wal.WAL, vfs *waldir.FS) error {
	if w == nil {
		return nil
	}
	return errors.Join(w.Close(), vfs.CloseAll())
}

// repair is safe although the old log is still open: no call is in it that
// writes, and it starts nothing in the background that a failed call would leave
// behind.
func (l *walLog) repair(covered uint64, cut bool, last uint64) error {
	o := l.recoverOptions(nil, covered, 0)
	if cut {
		o.Acked, o.Cut, o.Last = last, true, last
	}
	list, _, err := waldir.Recover(l.dir, o)
	if err != nil {
		return fromWAL(err)
	}
	return l.open(list)
}

func (l *walLog) current() *wal.WAL {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.w
}

func (l *walLog) FirstIndex() (uint64, error)       { return l.current().FirstIndex() }
func (l *walLog) LastIndex() (uint64, error)        { return l.current().LastIndex() }
func (l *walLog) StoreLog(log *raft.Log) error      { return l.StoreLogs([]*raft.Log{log}) }
func (l *walLog) StoreLogs(logs []*raft.Log) error  { return l.current().StoreLogs(logs) }
func (l *walLog) DeleteRange(min, max uint64) error { return l.current().DeleteRange(min, max) }

// closedRetries is how often a read is tried again that met a closed file.
const closedRetries = 10

// GetLog keeps the log from being closed by repair while it reads.
//
// A segment that is being removed may be closed under a reader: raft-wal looks up
// its state and takes hold of it in two steps. The next look finds the new state.
func (l *walLog) GetLog(index uint64, log *raft.Log) (err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.w == nil {
		return ErrClosed
	}
	for range closedRetries {
		err = guard(func() error { return l.w.GetLog(index, log) })
		if !errors.Is(err, os.ErrClosed) {
			break
		}
	}
	return err
}

func (l *walLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := closeWAL(l.w, l.vfs)
	l.w, l.vfs = nil, nil
	return err
}
