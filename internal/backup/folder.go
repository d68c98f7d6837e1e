package backup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The form of a name: holdfast-20261124T163159.123Z.snap, in UTC.
const (
	prefix     = "holdfast-"
	suffix     = ".snap"
	timeForm   = "20060102T150405.000Z"
	unfinished = ".tmp" // and a dot before: what is being written
)

// Folder is a folder of snapshots.
type Folder struct {
	path string
	keep int
	now  func() time.Time
}

// Snapshot is one file.
type Snapshot struct {
	Path string
	At   time.Time // when it was taken, to the millisecond
	Size int64     // bytes; only of one that was just taken
}

// Open returns the folder at path, made if it is not there. Of its snapshots the newest
// keep are kept; 0: all.
func Open(path string, keep int, now func() time.Time) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("open the folder for snapshots: %w", err)
	}
	f := &Folder{path: path, keep: keep, now: now}
	if _, err := f.List(); err != nil {
		return nil, err
	}
	return f, nil
}

// List returns the snapshots, oldest first.
func (f *Folder) List() ([]Snapshot, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	var all []Snapshot
	for _, e := range entries {
		if at, ok := parse(e.Name()); ok && e.Type().IsRegular() {
			all = append(all, Snapshot{Path: filepath.Join(f.path, e.Name()), At: at})
		}
	}
	slices.SortFunc(all, func(a, b Snapshot) int { return a.At.Compare(b.At) })
	return all, nil
}

// name is that of a snapshot taken at a time.
func name(at time.Time) string { return prefix + at.UTC().Format(timeForm) + suffix }

// parse tells when a snapshot of that name was taken.
func parse(file string) (at time.Time, ok bool) {
	text, ok := strings.CutPrefix(file, prefix)
	if !ok {
		return at, false
	}
	if text, ok = strings.CutSuffix(text, suffix); !ok {
		return at, false
	}
	at, err := time.Parse(timeForm, text)
	return at, err == nil && name(at) == file
}

// Take adds a snapshot: save writes it, check reads it back from the file. When either
// fails, or the disk does, nothing of it stays and the others are as they were.
func (f *Folder) Take(save func(io.Writer) error, check func(io.Reader) error) (s Snapshot, err error) {
	at, err := f.next()
	if err != nil {
		return s, err
	}
	final := filepath.Join(f.path, name(at))
	file, err := os.CreateTemp(f.path, "."+name(at)+".*"+unfinished) // mode 0600: it holds secrets
	if err != nil {
		return s, f.explained(fmt.Errorf("begin a snapshot: %w", err))
	}
	size, err := fill(file, save, check)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), final)
	}
	if err != nil {
		// It may be gone already; what failed before matters more than this.
		_ = os.Remove(file.Name())
		return s, f.explained(err)
	}
	return Snapshot{Path: final, At: at, Size: size}, SyncFolder(f.path)
}

// fill writes a snapshot, waits until it is on disk, and reads it back.
func fill(file *os.File, save func(io.Writer) error, check func(io.Reader) error) (size int64, err error) {
	if err := save(file); err != nil {
		return 0, err
	}
	if err := file.Sync(); err != nil {
		return 0, fmt.Errorf("flush the snapshot: %w", err)
	}
	if size, err = file.Seek(0, io.SeekCurrent); err != nil {
		return 0, fmt.Errorf("read the snapshot back: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("read the snapshot back: %w", err)
	}
	if err := check(file); err != nil {
		return 0, fmt.Errorf("check the snapshot: %w", err)
	}
	return size, nil
}

// next is the time of the next snapshot: now, or just after the newest one, if the
// clock says that it is from later.
func (f *Folder) next() (time.Time, error) {
	all, err := f.List()
	if err != nil {
		return time.Time{}, err
	}
	at := f.now().UTC().Truncate(time.Millisecond)
	if n := len(all); n > 0 && !at.After(all[n-1].At) {
		at = all[n-1].At.Add(time.Millisecond)
	}
	return at, nil
}

// explained says what to do where the system only says that there is no room.
func (f *Folder) explained(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("no room in %s, free some space or keep fewer snapshots: %w", f.path, err)
	}
	return err
}

// Prune removes all but the newest snapshots. It removes what it can, and returns that.
func (f *Folder) Prune() (removed []string, err error) {
	all, err := f.List()
	if err != nil || f.keep <= 0 || len(all) <= f.keep {
		return nil, err
	}
	for _, s := range all[:len(all)-f.keep] {
		if e := os.Remove(s.Path); e != nil {
			err = errors.Join(err, fmt.Errorf("remove an old snapshot: %w", e))
			continue
		}
		removed = append(removed, s.Path)
	}
	return removed, err
}

// abandoned is how long an unfinished snapshot was not written to when it counts as
// left behind.
const abandoned = time.Hour

// Sweep removes what a process has left that ended while it took a snapshot, and that
// nobody has written to for an hour.
func (f *Folder) Sweep() error {
	left, err := filepath.Glob(filepath.Join(f.path, "."+prefix+"*"+suffix+".*"+unfinished))
	if err != nil {
		return fmt.Errorf("look for unfinished snapshots: %w", err)
	}
	for _, path := range left {
		if info, e := os.Lstat(path); e != nil || f.now().Sub(info.ModTime()) < abandoned {
			continue // gone, or perhaps being written
		}
		if e := os.Remove(path); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("remove an unfinished snapshot: %w", e))
		}
	}
	return err
}

// SyncFolder makes a rename in a folder last. Some systems cannot do that, and then
// there is nothing more to be done about it.
func SyncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = d.Sync() // see above
	return d.Close()
}
