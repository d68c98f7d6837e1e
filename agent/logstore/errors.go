package logstore

import (
	"errors"
	"fmt"

	"github.com/holdfast-kv/holdfast/agent/datadir"
	"github.com/holdfast-kv/holdfast/agent/logstore/waldir"
)

// ErrClosed is what a closed store answers.
var ErrClosed = errors.New("the log store is closed")

// CorruptError says that what is on disk is not what was stored, so that going on
// would lose acknowledged writes or serve wrong ones. It is one sentence for the
// operator: the file, what is wrong with it, the way out. The server must stop.
type CorruptError struct {
	Path string // the file or folder
	What string // completes a sentence that begins with it, as in "is gone"
	Do   string // the way out
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s %s: %s", e.Path, e.What, e.Do)
}

// The ways out of a CorruptError.
const (
	doRestore = `keep this data dir for inspection, start with a new one and load a backup with "holdfast snapshot restore FILE"; ` +
		`in a cluster the new server catches up by itself`
	doPutBack = `put it back if you have it, or ` + doRestore
)

func corrupt(path, do, format string, args ...any) *CorruptError {
	return &CorruptError{Path: path, What: fmt.Sprintf(format, args...), Do: do}
}

// fromWAL gives damage in the write-ahead log its way out.
func fromWAL(err error) error {
	var damage *waldir.DamageError
	if errors.As(err, &damage) {
		return &CorruptError{Path: damage.File, What: damage.What, Do: doRestore}
	}
	return err
}

// BackendError says that the configuration asks for another kind of log than the
// one this data dir has.
type BackendError struct {
	Dir        string // the raft folder
	Configured string
	Found      string
}

func (e *BackendError) Error() string {
	return fmt.Sprintf("raft_logstore backend is set to %q, but %s holds a %q log, and one is not turned into the other: "+
		"take the setting out to go on with %[3]q, or start with a new data_dir and load a backup with \"holdfast snapshot restore FILE\"",
		e.Configured, e.Dir, e.Found)
}

// WriteError says that the log could not be written. The leader that gets it
// steps down; the server goes on and the next write tries again.
type WriteError struct {
	What string // what was being done, as in "store entries 5 to 9"

	// Absent means that nothing of it is in the log, now and after a restart.
	// Otherwise that can't be told before the disk works again: the outcome is
	// unknown.
	Absent bool

	Err error // what the disk said
}

func (e *WriteError) Error() string {
	outcome := "it may be found stored after a restart"
	if e.Absent {
		outcome = "nothing was stored"
	}
	return fmt.Sprintf("%s: %v; %s", e.What, e.Err, outcome)
}

func (e *WriteError) Unwrap() error { return e.Err }

// Full reports whether the reason is that there is no room, which goes away when
// space is made.
func (e *WriteError) Full() bool { return datadir.IsFull(e.Err) }
