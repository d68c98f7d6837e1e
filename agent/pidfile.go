package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// writePidFile writes the process id into the file that the configuration names,
// so that nobody ever reads half a number.
func (a *Agent) writePidFile() error {
	path := a.config().PidFile
	if path == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	if e := f.Chmod(0o644); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is of no use to anybody
		return fmt.Errorf("write pid file: %w", err)
	}
	a.pidFile = path
	return nil
}

// removePidFile removes the file, unless another process has written it since.
func (a *Agent) removePidFile() error {
	if a.pidFile == "" {
		return nil
	}
	text, err := os.ReadFile(a.pidFile)
	if err == nil && strings.TrimSpace(string(text)) == strconv.Itoa(os.Getpid()) {
		err = os.Remove(a.pidFile)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove pid file: %w", err)
	}
	return nil
}
