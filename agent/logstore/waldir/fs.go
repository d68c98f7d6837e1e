package waldir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft-wal/types"

	"github.com/holdfast-kv/holdfast/agent/datadir"
)

const fileMode = 0o600

// FS is the file system a write-ahead log works on. It differs from the one
// that raft-wal brings in that a full disk does not stop a new segment from
// being made (see Create), data is flushed without the file's times, and all
// files can be closed when opening the log fails halfway.
type FS struct {
	noSync bool

	mu   sync.Mutex
	open map[io.Closer]struct{} // guarded by mu
}

var _ types.VFS = (*FS)(nil)

// NewFS returns a file system for one opening of a log. With noSync nothing is
// ever flushed: only for tests that do not pull the plug.
func NewFS(noSync bool) *FS {
	return &FS{noSync: noSync, open: map[io.Closer]struct{}{}}
}

// CloseAll closes what is still open. raft-wal forgets its files when it fails
// to open a log.
func (f *FS) CloseAll() error {
	f.mu.Lock()
	files := make([]io.Closer, 0, len(f.open))
	for c := range f.open {
		files = append(files, c)
	}
	f.mu.Unlock()
	var err error
	for _, c := range files {
		err = errors.Join(err, c.Close())
	}
	return err
}

// ListDir returns the names in dir, in order.
func (f *FS) ListDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Create makes a new segment and takes size bytes of disk for it if it can.
// Without that much room it makes the segment all the same: appending may still
// work, or fails in a way that raft-wal undoes, whereas failing here would leave
// the log without a place to write to.
func (f *FS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	path := filepath.Join(dir, name)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	if err := reserve(file, int64(size)); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(path))
	}
	return f.track(file, dir), nil
}

// reserve takes the disk space of the first size bytes. That there is none, or
// that the file system can't, is no error.
func reserve(file *os.File, size int64) error {
	if allocate(file, size) == nil {
		return nil
	}
	// What was taken before it failed is better left to others.
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return file.Truncate(info.Size())
}

// Delete removes a segment durably.
func (f *FS) Delete(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		return err
	}
	if f.noSync {
		return nil
	}
	return datadir.SyncFolder(dir)
}

// OpenReader opens a sealed segment.
func (f *FS) OpenReader(dir, name string) (types.ReadableFile, error) {
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	return f.track(file, dir), nil
}

// OpenWriter opens the last segment.
func (f *FS) OpenWriter(dir, name string) (types.WritableFile, error) {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	return f.track(file, dir), nil
}

func (f *FS) track(file *os.File, dir string) *openFile {
	s := &openFile{File: file, fs: f, dir: dir, fills: !f.noSync && writesInPlace(file)}
	f.mu.Lock()
	f.open[s] = struct{}{}
	f.mu.Unlock()
	return s
}

// openFile is an open segment.
type openFile struct {
	*os.File
	fs  *FS
	dir string

	// named is set once the file's name is known to be on disk. A file that was
	// opened rather than made counts as new too: whoever made it may have been
	// killed before flushing the folder.
	named atomic.Bool

	fills bool // it is worth it to fill what comes next
	ahead ahead
}

// WriteAt appends: what is behind it is not of the log.
func (s *openFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := s.File.WriteAt(p, off)
	if err == nil && s.fills && len(p) < largeWrite {
		s.ahead.fill(s.File, off+int64(n))
	}
	return n, err
}

// Sync makes all that was written durable, and the first time the file's name.
func (s *openFile) Sync() error {
	if s.fs.noSync {
		return nil
	}
	if s.named.Load() {
		return syncData(s.File)
	}
	if err := s.File.Sync(); err != nil {
		return err
	}
	if err := datadir.SyncFolder(s.dir); err != nil {
		return err
	}
	s.named.Store(true)
	return nil
}

// Close may be called twice: by raft-wal and by CloseAll.
func (s *openFile) Close() error {
	s.fs.mu.Lock()
	_, mine := s.fs.open[s]
	delete(s.fs.open, s)
	s.fs.mu.Unlock()
	if !mine {
		return nil
	}
	return s.File.Close()
}
