package logstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/logstore/waldir"
)

// The backends, with Consul's names.
const (
	WAL    = "wal"
	BoltDB = "boltdb"
)

const (
	walName    = "wal"
	boltName   = "raft.db"
	stableName = "stable.db"

	folderMode = 0o700
	fileMode   = 0o600
)

// backend is what differs between the kinds of log. It has one writer at a time,
// and readers beside it.
type backend interface {
	raft.LogStore

	// repair makes the log usable again after a write that failed. With cut, the
	// entries behind last are removed, because they were never acknowledged.
	// Reading goes on meanwhile, also if it fails. covered is the last entry that
	// a snapshot covers.
	repair(covered uint64, cut bool, last uint64) error

	Close() error
}

// chooseBackend finds the kind of log that is in dir, or what a new one is to be.
// path is where it is, and exists whether anything is there.
func chooseBackend(dir string, o *Options) (kind, path string, exists bool, err error) {
	paths := map[string]string{WAL: filepath.Join(dir, walName), BoltDB: filepath.Join(dir, boltName)}
	hasWAL, err := waldir.Exists(paths[WAL])
	if err != nil {
		return "", "", false, err
	}
	hasBolt, err := fileExists(paths[BoltDB])
	if err != nil {
		return "", "", false, err
	}
	kind = WAL
	switch {
	case hasWAL && hasBolt:
		return "", "", false, corrupt(dir, "move away the one that is not this server's, or "+doRestore, "holds two logs, %s and %s", walName, boltName)
	case hasBolt:
		kind = BoltDB
	case !hasWAL && o.Backend != "":
		kind = o.Backend
	}
	if o.Backend != "" && o.Backend != kind {
		if o.BackendExplicit {
			return "", "", false, &BackendError{Dir: dir, Configured: o.Backend, Found: kind}
		}
		o.Logger.Info("keeping the kind of log that this data dir has", "backend", kind, "default", o.Backend)
	}
	return kind, paths[kind], hasWAL || hasBolt, nil
}

func fileExists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
