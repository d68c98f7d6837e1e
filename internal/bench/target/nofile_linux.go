package target

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// wantedFiles is enough for 100,000 connections.
const wantedFiles = 1 << 17

// RaiseOpenFiles raises this process's limit of open files, and so that of the
// processes it starts, as far as it may, and returns what it is now.
func RaiseOpenFiles() (uint64, error) {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	if now.Max < wantedFiles {
		// Root may raise the hard limit too; for others it stays.
		more := unix.Rlimit{Cur: wantedFiles, Max: wantedFiles}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &more); err == nil {
			return wantedFiles, nil
		}
	}
	now.Cur = now.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	return now.Cur, nil
}
