package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-kv/holdfast/agent/config"
)

const (
	logFileName  = "holdfast.log"
	logFileMode  = 0o640
	logFolderMod = 0o750

	// rotatedStamp is between name and extension of a log file that was closed. It
	// sorts by time, and is made of what every file system takes.
	rotatedStamp = "20060102T150405.000000000Z"
)

var errLogFileClosed = errors.New("log file is closed")

// logFile is a log file that begins anew when it is too large or too old. The one
// under way has always the configured name.
type logFile struct {
	path string
	conf config.Log
	now  func() time.Time

	mu     sync.Mutex
	file   *os.File  // nil when it could not be opened again; guarded by mu
	size   int64     // guarded by mu
	since  time.Time // from when on its age counts; guarded by mu
	closed bool      // guarded by mu
}

// openLogFile opens the log file to add to it. The age of a file that exists
// already counts from the last write to it.
func openLogFile(conf config.Log, now func() time.Time) (*logFile, error) {
	path := conf.File
	if strings.HasSuffix(path, "/") || strings.HasSuffix(path, string(filepath.Separator)) {
		path = filepath.Join(path, logFileName)
	}
	if err := os.MkdirAll(filepath.Dir(path), logFolderMod); err != nil {
		return nil, fmt.Errorf("make the folder of the log file: %w", err)
	}
	l := &logFile{path: path, conf: conf, now: now}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.openLocked()
}

func (l *logFile) openLocked() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, logFileMode)
	if err != nil {
		return fmt.Errorf("open the log file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open the log file: %w", err), f.Close())
	}
	l.file, l.size, l.since = f, info.Size(), l.now()
	if l.size > 0 {
		l.since = info.ModTime()
	}
	return nil
}

// Write adds one line, which is never split over two files.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, errLogFileClosed
	}
	var rotation error
	if l.file != nil && l.dueLocked(len(line)) {
		rotation = l.rotateLocked()
	}
	if l.file == nil {
		if err := l.openLocked(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, errors.Join(err, rotation)
}

func (l *logFile) dueLocked(more int) bool {
	if l.size == 0 {
		return false
	}
	bySize := l.conf.RotateBytes > 0 && l.size+int64(more) > int64(l.conf.RotateBytes)
	byAge := l.conf.RotateDuration > 0 && l.now().Sub(l.since) >= l.conf.RotateDuration
	return bySize || byAge
}

// rotateLocked puts the file away under the time and begins the next one. When that
// fails, the log goes on in the file that there is, and is tried again when it is
// due again.
func (l *logFile) rotateLocked() error {
	err := l.file.Close()
	l.file = nil
	if e := os.Rename(l.path, l.rotatedName(l.now())); e != nil {
		err = errors.Join(err, fmt.Errorf("put the log file away: %w", e))
	}
	if e := l.openLocked(); e != nil {
		return errors.Join(err, e)
	}
	if err != nil { // it is the old file: not due before as much again
		l.since, l.size = l.now(), 0
		return err
	}
	return l.pruneLocked()
}

// rotatedName is the name of a file that was put away at t.
func (l *logFile) rotatedName(t time.Time) string {
	stem, ext := l.stem()
	return stem + "-" + t.UTC().Format(rotatedStamp) + ext
}

func (l *logFile) stem() (stem, ext string) {
	ext = filepath.Ext(l.path)
	return strings.TrimSuffix(l.path, ext), ext
}

// pruneLocked removes the oldest files that were put away, beyond how many are
// kept.
func (l *logFile) pruneLocked() error {
	keep := l.conf.RotateMaxFiles
	if keep == 0 {
		return nil
	}
	old, err := l.rotated()
	if err != nil {
		return err
	}
	for _, name := range old[:max(len(old)-max(keep, 0), 0)] {
		if e := os.Remove(name); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("remove an old log file: %w", e))
		}
	}
	return err
}

// rotated lists the files that were put away, oldest first. Others whose names look
// like it are left alone.
func (l *logFile) rotated() ([]string, error) {
	stem, ext := l.stem()
	entries, err := os.ReadDir(filepath.Dir(l.path))
	if err != nil {
		return nil, fmt.Errorf("look for old log files: %w", err)
	}
	var names []string
	for _, e := range entries {
		stamp, ok := strings.CutPrefix(e.Name(), filepath.Base(stem)+"-")
		if !ok {
			continue
		}
		if stamp, ok = strings.CutSuffix(stamp, ext); !ok {
			continue
		}
		if _, err := time.Parse(rotatedStamp, stamp); err == nil && e.Type().IsRegular() {
			names = append(names, filepath.Join(filepath.Dir(l.path), e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Reopen opens the file that has the name now. If it cannot, the log goes on in the
// file that is open.
func (l *logFile) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	old := l.file
	if err := l.openLocked(); err != nil {
		return err
	}
	if old == nil {
		return nil
	}
	return old.Close()
}

// Close closes the file for good.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
