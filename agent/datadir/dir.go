package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// The names in a data dir.
const (
	lockName        = "lock"
	layoutName      = "layout"
	nodeIDName      = "node-id"
	initialisedName = "initialised"
	raftName        = "raft"

	tempSuffix = ".tmp"
)

const (
	folderMode = 0o700
	fileMode   = 0o600

	// probeBytes is written and flushed once at Open: a full disk is better
	// found out then than at the first write.
	probeBytes = 64 << 10
)

// Options of Open.
type Options struct {
	Logger hclog.Logger // nil: nothing is logged
}

// Dir is an open data dir. Its methods may be called from any goroutine.
type Dir struct {
	path string
	log  hclog.Logger
	lock *os.File

	mu sync.Mutex // held over WriteFile, so that two writers of one name do not mix
}

// Open makes path ours: it creates the folder if there is none, checks that it
// belongs to this user, is not open to others and can be written, locks it
// against a second process, and lays it out.
//
// The error is a *LockedError or a *RefusedError; both are one sentence for the
// operator, and nothing else needs to be logged beside it.
func Open(path string, o Options) (*Dir, error) {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, refuse(path, "find the current folder", err)
	}
	if err := create(path); err != nil {
		return nil, err
	}
	if err := checkFolder(path, ourUID(), o.Logger); err != nil {
		return nil, err
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, log: o.Logger, lock: lock}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// create makes the folder and its missing parents, durably.
func create(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // it is there, or checkFolder will say what is wrong
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := create(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return refuse(path, "create the folder", err)
	}
	// A parent we may write but not read can't be flushed; the folder itself
	// works, so that is no reason to refuse.
	if err := SyncFolder(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return refuse(path, "flush the parent folder", err)
	}
	return nil
}

// checkFolder refuses what is not a folder of the user uid, and takes away what
// others may do in it.
func checkFolder(path string, uid int, log hclog.Logger) error {
	info, err := os.Stat(path)
	if err != nil {
		return refuse(path, "look at the folder", err)
	}
	if !info.IsDir() {
		return &RefusedError{
			Path: "data dir " + path, Why: "is a file, not a folder",
			Do: "choose another data_dir, or move the file away", Err: fs.ErrExist,
		}
	}
	if owner, known := fileUID(info); known && owner != uid {
		return &RefusedError{
			Path: "data dir " + path,
			Why:  fmt.Sprintf("belongs to %s but this process runs as %s", ownerText(owner), ownerText(uid)),
			Do:   fmt.Sprintf(`run it as %s, hand the folder over with "chown -R", or choose another data_dir`, ownerText(owner)),
			Err:  fs.ErrPermission,
		}
	}
	if !modesMatter || info.Mode().Perm() == folderMode {
		return nil
	}
	if err := os.Chmod(path, folderMode); err != nil {
		return &RefusedError{
			Path: "data dir " + path,
			Why:  fmt.Sprintf("has mode %#o and can't be closed to others: %v", info.Mode().Perm(), err),
			Do:   fmt.Sprintf(`run "chmod 700 %s", or choose another data_dir`, path),
			Err:  err,
		}
	}
	log.Warn("data dir closed to other users", "path", path, "mode_before", fmt.Sprintf("%#o", info.Mode().Perm()))
	return nil
}

// prepare does what needs the lock.
func (d *Dir) prepare() error {
	if err := d.removeLeftovers(); err != nil {
		return err
	}
	if err := d.checkLayout(); err != nil {
		return err
	}
	if err := d.probe(); err != nil {
		return err
	}
	raft := d.RaftDir()
	if d.Initialised() {
		// A raft folder that was lost is for logstore to report; making an
		// empty one here would only hide it.
		return nil
	}
	if err := os.Mkdir(raft, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return refuse(d.path, "create "+raftName, err)
	}
	if err := SyncFolder(d.path); err != nil {
		return refuse(d.path, "flush the folder", err)
	}
	return nil
}

// removeLeftovers deletes what a process left that ended between writing a small
// file and renaming it.
func (d *Dir) removeLeftovers() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return refuse(d.path, "list the folder", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), tempSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(d.path, e.Name())); err != nil {
			return refuse(d.path, "remove "+e.Name(), err)
		}
	}
	return nil
}

// probe finds out whether there is any room at all.
func (d *Dir) probe() error {
	probe := filepath.Join(d.path, "probe"+tempSuffix)
	err := writeAndSync(probe, make([]byte, probeBytes))
	if removeErr := os.Remove(probe); err == nil && removeErr != nil {
		err = removeErr
	}
	if err != nil {
		return refuse(d.path, "write to it", err)
	}
	return nil
}

// Path is the absolute path of the folder.
func (d *Dir) Path() string { return d.path }

// RaftDir is the folder that belongs to package logstore. It exists unless it
// was removed from a data dir that had been in use.
func (d *Dir) RaftDir() string { return filepath.Join(d.path, raftName) }

// Close lets the next process in. The Dir must not be used afterwards.
func (d *Dir) Close() error {
	// The pid goes first: a reader must not be told of a process that is gone.
	err := d.lock.Truncate(0)
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return errors.Join(err, d.lock.Close())
}

// Initialised reports whether a Raft entry was ever stored here. Even an emptied
// marker counts: only its absence means "new".
func (d *Dir) Initialised() bool {
	_, err := os.Lstat(filepath.Join(d.path, initialisedName))
	return !errors.Is(err, fs.ErrNotExist)
}

// MarkInitialised makes Initialised true for ever. logstore calls it between the
// first durable entry and its acknowledgement. Doing it again is cheap.
func (d *Dir) MarkInitialised() error {
	if d.Initialised() {
		return nil
	}
	id, err := d.readID(nodeIDName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.WriteFile(initialisedName, []byte(id+"\n"))
}

// Used tells whether path is the data dir of a server that has stored something, without
// changing anything in it.
func Used(path string) bool {
	_, err := os.Lstat(filepath.Join(path, initialisedName))
	return err == nil
}
