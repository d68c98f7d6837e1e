package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// RefusedError says why a data dir can't be used and what to do about it. All
// fields are safe to show.
type RefusedError struct {
	Path string // the data dir or the file in it
	Why  string // what is wrong
	Do   string // what the operator can do
	Err  error  // the cause, if the system gave one
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s %s: %s", e.Path, e.Why, e.Do)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// LockedError says that another process uses the data dir.
type LockedError struct {
	Path string // the data dir
	PID  int    // of the other process; 0 if it has not written it (yet)
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("the process with pid %d", e.PID)
	}
	return fmt.Sprintf("data dir %s is in use by %s: stop it first, or choose another data_dir", e.Path, who)
}

// LowSpaceError says that there is too little room left to accept writes. The
// agent answers writes with it; reads go on.
type LowSpaceError struct {
	Path    string
	Free    uint64 // bytes
	MinFree uint64 // bytes
}

func (e *LowSpaceError) Error() string {
	if e.Free >= e.MinFree {
		// A write failed although the disk has room: a quota, or no inodes left.
		return fmt.Sprintf("no room for writes at %s although %s are free (a quota, or no more files): make room, writes resume by themselves",
			e.Path, bytesText(e.Free))
	}
	return fmt.Sprintf("disk is low on space: %s free at %s, writes need %s: free some space, writes resume by themselves",
		bytesText(e.Free), e.Path, bytesText(e.MinFree))
}

// IsFull reports whether err means that there is no room: disk, quota or file
// size limit. Such a failure goes away when space is made.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || isQuota(err)
}

// refuse turns what the system said about using path into a sentence. doing is
// what was tried, as in "create the folder".
func refuse(path, doing string, err error) error {
	r := &RefusedError{Path: "data dir " + path, Err: err}
	switch {
	case errors.Is(err, syscall.EROFS):
		r.Why = "is on a read-only file system"
		r.Do = "remount it read-write, or choose another data_dir"
	case isQuota(err):
		r.Why = "can't take more: a quota or file size limit is reached"
		r.Do = "free some space or raise the limit, then start again"
	case errors.Is(err, syscall.ENOSPC):
		r.Why = "is on a full disk" + freeText(path)
		r.Do = "free some space, then start again"
	case errors.Is(err, fs.ErrPermission):
		r.Why = fmt.Sprintf("can't be used by %s: no permission to %s", ownerText(ourUID()), doing)
		r.Do = "give that user the folder and what is in it, or choose another data_dir"
	default:
		r.Why = fmt.Sprintf("can't be used: %s: %v", doing, err)
		r.Do = "mend that, or choose another data_dir"
	}
	return r
}

func freeText(path string) string {
	free, err := statFS(path)
	if err != nil {
		return ""
	}
	return " (" + bytesText(free) + " free)"
}

// bytesText is for people: four digits are enough.
func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 5 {
		v /= unit
		i++
	}
	return fmt.Sprintf("%.4g %ciB", v, "KMGTPE"[i])
}
