package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// maxImportFiles bounds the plan of a directory import.
const maxImportFiles = 1_000_000

// plannedFile is one file of a directory import.
type plannedFile struct {
	path string // below the directory, with slashes
	key  string
}

// planFolder lists the files of a directory, folder by folder in the order of
// their names, and finds everything that stands against importing them. Nothing outside dir is ever
// opened, whatever links it holds.
func planFolder(dir string, maxSize int64, stripExt bool) ([]plannedFile, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // it was only read
	var plan []plannedFile
	from := map[string]string{} // key → the file it comes from
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("import %s: %w", dir, err)
		case p == ".":
			return nil
		case strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		if err := checkFile(root, dir, p, maxSize); err != nil {
			return err
		}
		key := p
		if stripExt {
			key = strings.TrimSuffix(p, path.Ext(p))
		}
		if other, twice := from[key]; twice {
			return fmt.Errorf("import %s: %s and %s would both become the key %q", dir, other, p, key)
		}
		if len(plan) == maxImportFiles {
			return fmt.Errorf("import %s: it has more than %d files", dir, maxImportFiles)
		}
		from[key] = p
		plan = append(plan, plannedFile{path: p, key: key})
		return nil
	})
	return plan, err
}

// checkFile refuses what cannot become a value. A link is followed as long as it
// stays inside the directory.
func checkFile(root *os.Root, dir, p string, maxSize int64) error {
	info, err := root.Stat(p)
	if err != nil {
		if link, lerr := root.Lstat(p); lerr == nil && link.Mode()&fs.ModeSymlink != 0 {
			return &hintError{
				err: fmt.Errorf("import %s: %s is a link that leads nowhere inside the directory", dir, p),
				try: "the file itself in place of the link, or remove the link",
			}
		}
		return fmt.Errorf("import %s: %w", dir, err)
	}
	switch {
	case info.IsDir():
		return fmt.Errorf("import %s: %s is a link to a directory: import that one by itself", dir, p)
	case !info.Mode().IsRegular():
		return fmt.Errorf("import %s: %s is not a regular file", dir, p)
	case info.Size() > maxSize:
		return &hintError{
			err: fmt.Errorf("import %s: %s has %d bytes, more than the %d allowed", dir, p, info.Size(), maxSize),
			why: "servers take values of at most 512 KiB unless limits.kv_max_value_size says otherwise",
			try: "-max-size with a larger number, if the servers take it",
		}
	}
	return nil
}

// readPlanned reads a planned file, which may have changed since it was planned.
func readPlanned(root *os.Root, p string, maxSize int64) ([]byte, error) {
	f, err := root.Open(p)
	if err != nil {
		return nil, err
	}
	data, err := readBounded(f, p, maxSize)
	return data, errors.Join(err, f.Close())
}
