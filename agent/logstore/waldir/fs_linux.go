package waldir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate takes the disk space of the first size bytes and makes the file that
// long; they read as zeros.
func allocate(file *os.File, size int64) error {
	if size <= 0 {
		return nil
	}
	return retry(func() error { return unix.Fallocate(int(file.Fd()), 0, 0, size) })
}

// syncData flushes what is needed to read the content back, which leaves out
// the file's times.
func syncData(file *os.File) error {
	if err := retry(func() error { return unix.Fdatasync(int(file.Fd())) }); err != nil {
		return &os.PathError{Op: "fdatasync", Path: file.Name(), Err: err}
	}
	return nil
}

func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// writesInPlace tells whether the file system is one of those that are known to write over what is
// there, and to mark space that was only taken.
func writesInPlace(file *os.File) bool {
	var s unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(int(file.Fd()), &s) }); err != nil {
		return false
	}
	return s.Type == unix.EXT4_SUPER_MAGIC || s.Type == unix.XFS_SUPER_MAGIC
}
