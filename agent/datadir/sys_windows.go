package datadir

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// modesMatter is false: who may enter a folder is in its access list, which it
// inherits.
const modesMatter = false

// tryLock locks a byte far beyond the pid, because a locked range can't be read
// by others here.
func tryLock(f *os.File) error {
	var at windows.Overlapped
	at.OffsetHigh = 1 << 30
	err := windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errHeld
	}
	return err
}

func ourUID() int { return -1 }

func fileUID(fs.FileInfo) (uid int, known bool) { return 0, false }

func ownerText(int) string { return "this user" }

func isQuota(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// SyncFolder has nothing to do: the file system orders names itself.
func SyncFolder(string) error { return nil }

// statFS is the free bytes for this user on the disk that holds path.
func statFS(path string) (free uint64, err error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	err = windows.GetDiskFreeSpaceEx(p, &free, nil, nil)
	return free, err
}
