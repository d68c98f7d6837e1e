package torture

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData flushes a file's content, as the log of a server does, without its times: those go
// through the file system's journal, where others are waited for.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
