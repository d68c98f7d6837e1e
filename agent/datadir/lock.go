package datadir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// How often, and after what pause, the pid of a holder is looked for that has the
// lock but may not yet have written its pid.
const (
	lockRetries = 5
	lockPause   = 10 * time.Millisecond
)

// errHeld is what the system-specific tryLock says when somebody has the lock.
var errHeld = errors.New("held by another process")

// takeLock opens the lock file and locks it. The lock ends with the process,
// however that ends, so a file left behind never keeps anybody out.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, refuse(path, "open the lock file", err)
	}
	err = tryLock(f)
	if err == nil {
		err = writePID(f)
	}
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, errHeld):
		err = &LockedError{Path: path, PID: holder(f)}
	default:
		err = refuse(path, "lock it", err)
	}
	return nil, errors.Join(err, f.Close())
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// holder reads the pid of who has the lock. It may have taken it a moment ago.
func holder(f *os.File) int {
	for i := range lockRetries {
		if i > 0 {
			time.Sleep(lockPause)
		}
		b := make([]byte, 32)
		n, _ := f.ReadAt(b, 0) // the end of the file is an error that means nothing here
		if pid := parsePID(b[:n]); pid != 0 {
			return pid
		}
	}
	return 0
}

// parsePID returns 0 for anything that is not a pid.
func parsePID(b []byte) int {
	pid, err := strconv.Atoi(string(bytes.TrimSpace(b)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
