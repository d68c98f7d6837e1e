package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// WriteFile puts data into the file name of the data dir. When it returns nil
// the content is on disk; when it fails, or the power does, the old content (or
// absence) is still there.
func (d *Dir) WriteFile(name string, data []byte) error {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") || strings.HasSuffix(name, tempSuffix) {
		return fmt.Errorf("write %q: not the name of a file in the data dir", name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return WriteFile(filepath.Join(d.path, name), data)
}

// WriteFile replaces the file at path as Dir.WriteFile does. There must be only
// one writer of a path at a time.
func WriteFile(path string, data []byte) error {
	temp := path + tempSuffix
	err := writeAndSync(temp, data)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		// The temporary file is useless now; if it can't be removed the next
		// Open does it.
		_ = os.Remove(temp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := SyncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: flush its folder: %w", path, err)
	}
	return nil
}

func writeAndSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
