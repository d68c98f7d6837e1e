package logstore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// reserveFile takes disk space for the first size bytes of the file at path
// without changing its length.
func reserveFile(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	return errors.Join(err, f.Close())
}
