//go:build unix

package cmd

import (
	"io/fs"
	"os"
	"syscall"
)

// ownerOf is the id of the user whose file it is.
func ownerOf(info fs.FileInfo) (uid int, known bool) {
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, false
	}
	return int(stat.Uid), true
}

// giveToOwner makes a file belong to the owner of another, which root alone can do and
// alone needs to.
func giveToOwner(file, like string) error {
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known || os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(file, int(stat.Uid), int(stat.Gid))
}
