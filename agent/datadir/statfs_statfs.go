//go:build linux || darwin || freebsd

package datadir

import (
	"os"

	"golang.org/x/sys/unix"
)

// statFS is the free bytes for this user on the file system that holds path,
// without what is kept back for root.
func statFS(path string) (free uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return uint64(max(int64(st.Bavail), 0)) * uint64(st.Bsize), nil
}
