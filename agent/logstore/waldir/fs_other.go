//go:build !linux

package waldir

import (
	"errors"
	"os"
)

// allocate can't here; segments grow as they are written.
func allocate(*os.File, int64) error { return errors.ErrUnsupported }

func syncData(file *os.File) error { return file.Sync() }

// writesInPlace is not asked where no space is taken.
func writesInPlace(*os.File) bool { return false }
