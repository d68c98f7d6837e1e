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

// openWAL opens the log in dir, made if there is none.
func openWAL(dir string, o *Options, covered, acked uint64) (*walLog, waldir.Report, error) {
	l := &walLog{dir: dir, segmentBytes: o.SegmentBytes, noSync: o.NoSync, log: o.Logger.Named("wal"), wrap: o.wrapFS}
	if err := os.Mkdir(dir, folderMode); err == nil {
		err = datadir.SyncFolder(filepath.Dir(dir))
		if err != nil {
			return nil, waldir.Report{}, err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return nil, waldir.Report{}, err
	}
	rep, err := l.reopen(waldir.Options{From: covered + 1, Acked: acked})
	return l, rep, err
}

// reopen puts the folder in order and makes l use it from then on.
func (l *walLog) reopen(o waldir.Options) (waldir.Report, error) {
	o.Verify, o.NoSync = verifyWAL, l.noSync
	list, rep, err := waldir.Recover(l.dir, o)
	if err != nil {
		return rep, fromWAL(err)
	}
	vfs := waldir.NewFS(l.noSync)
	var fs types.VFS = vfs
	if l.wrap != nil {
		fs = l.wrap(fs)
	}
	var w *wal.WAL
	err = guard(func() error {
		w, err = wal.Open(l.dir, wal.WithMetaStore(list), wal.WithSegmentFiler(segment.NewFiler(l.dir, fs)),
			wal.WithSegmentSize(l.segmentBytes), wal.WithLogger(l.log))
		return err
	})
	if err != nil {
		return rep, errors.Join(fmt.Errorf("open the log in %s: %w", l.dir, err), vfs.CloseAll())
	}
	l.mu.Lock()
	oldW, oldFS := l.w, l.vfs
	l.w, l.vfs = w, vfs
	l.mu.Unlock()
	return rep, closeWAL(oldW, oldFS)
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
	o := waldir.Options{From: covered + 1, Cut: cut, Last: last}
	if cut {
		o.Acked = last
	}
	_, err := l.reopen(o)
	return err
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
