package datadir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// layoutVersion is what this version writes and reads. A change that an older
// version could misread raises it.
const layoutVersion = 1

// checkLayout refuses a folder that another program or a newer version of this
// one has laid out, and marks a new one.
func (d *Dir) checkLayout() error {
	path := filepath.Join(d.path, layoutName)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.beginLayout()
	case err != nil:
		return refuse(d.path, "read "+layoutName, err)
	}
	version, ok := parseLayout(b)
	switch {
	case !ok:
		return &RefusedError{
			Path: path, Why: "does not hold the number of a layout, and only another program can have changed it",
			Do: fmt.Sprintf("if the data dir is Holdfast's, write %d into it", layoutVersion),
		}
	case version > layoutVersion:
		return &RefusedError{
			Path: "data dir " + d.path,
			Why:  fmt.Sprintf("was written by a newer version (layout %d, this one knows up to %d)", version, layoutVersion),
			Do:   "run the newer version, or choose another data_dir",
		}
	}
	return nil
}

func (d *Dir) beginLayout() error {
	for _, name := range []string{raftName, nodeIDName, initialisedName} {
		_, err := os.Lstat(filepath.Join(d.path, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return &RefusedError{
			Path: "data dir " + d.path,
			Why:  fmt.Sprintf("holds %s but no file %s, so it belongs to another program or that file was removed", name, layoutName),
			Do:   fmt.Sprintf("choose another data_dir, or, if it is Holdfast's, write %d into %s", layoutVersion, filepath.Join(d.path, layoutName)),
		}
	}
	if err := d.WriteFile(layoutName, fmt.Appendf(nil, "%d\n", layoutVersion)); err != nil {
		return refuse(d.path, "write "+layoutName, err)
	}
	return nil
}

// parseLayout accepts a positive decimal number with space around it.
func parseLayout(b []byte) (version uint64, ok bool) {
	version, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 32)
	if err != nil {
		return 0, false
	}
	return version, version > 0
}
