package waldir

import "fmt"

// DamageError says that the log on disk is not what was written: going on would
// lose entries. The fields are safe to show.
type DamageError struct {
	File string // path of the file
	What string // what is wrong with it, as in "is gone"
}

func (e *DamageError) Error() string { return e.File + " " + e.What }

func damaged(file, format string, args ...any) *DamageError {
	return &DamageError{File: file, What: fmt.Sprintf(format, args...)}
}
