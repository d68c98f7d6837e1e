package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/holdfast-kv/holdfast/agent/datadir"
)

// boltLockWait is how long bbolt waits for another process to let go of the
// file. The data dir's own lock has kept Holdfast out; a tool may look at it.
const boltLockWait = time.Second

// openBolt opens the bbolt file at path. A new one is made under another name and
// then renamed: bbolt writes its first pages in place, and can't tell a file that
// was cut short there from a damaged one.
func openBolt(path string, o *Options) (*raftboltdb.BoltStore, error) {
	exists, err := fileExists(path)
	if err != nil {
		return nil, err
	}
	if !exists {
		if err := makeBolt(path, o); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
	}
	return openBoltAs(path, o)
}

func openBoltAs(path string, o *Options) (db *raftboltdb.BoltStore, err error) {
	err = guard(func() error {
		db, err = raftboltdb.New(raftboltdb.Options{
			Path:   path,
			NoSync: o.NoSync,
			BoltOptions: &bbolt.Options{
				Timeout: boltLockWait, FreelistType: bbolt.FreelistMapType, NoFreelistSync: !o.BoltFreelistSync,
			},
			MsgpackUseNewTimeFormat: true,
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

func makeBolt(path string, o *Options) error {
	temp := path + ".tmp"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	db, err := openBoltAs(temp, o)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return datadir.SyncFolder(filepath.Dir(path))
}

// boltLog is a log in bbolt. A transaction that failed leaves nothing behind, but
// whether it did fail is not certain if the very last flush reported it; repair
// removes what may have come through.
type boltLog struct {
	*raftboltdb.BoltStore
}

// openBoltLog opens the log at path, after looking at every page of it and at
// every entry behind covered.
func openBoltLog(path string, o *Options, covered uint64) (*boltLog, error) {
	exists, err := fileExists(path)
	if err != nil {
		return nil, err
	}
	if exists {
		if err := checkBoltLog(path); err != nil {
			return nil, err
		}
	}
	db, err := openBolt(path, o)
	if err != nil {
		return nil, err
	}
	l := &boltLog{db}
	if err := l.checkEntries(path, covered); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// checkBoltLog makes sure that the file is sound and its entries are consecutive.
func checkBoltLog(path string) error {
	last := uint64(0)
	err := checkBoltFile(path, func(bucket string, key, _ []byte) error {
		if bucket != "logs" {
			return nil
		}
		if len(key) != 8 {
			return fmt.Errorf("%w: it holds an entry with the number %x", errBolt, key)
		}
		index := binary.BigEndian.Uint64(key)
		if last != 0 && index != last+1 {
			return fmt.Errorf("%w: entries %d to %d are missing", errBolt, last+1, index-1)
		}
		last = index
		return nil
	})
	if errors.Is(err, errBolt) {
		return corrupt(path, doRestore, "%v", err)
	}
	return err
}

func (l *boltLog) checkEntries(path string, covered uint64) error {
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	for i := max(first, covered+1); i != 0 && i <= last; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil {
			return corrupt(path, doRestore, "is damaged: entry %d can't be read (%v)", i, err)
		}
		if err := unseal(&e, i); err != nil {
			return corrupt(path, doRestore, "is damaged: entry %d %v", i, err)
		}
	}
	return nil
}

func (l *boltLog) GetLog(index uint64, log *raft.Log) error {
	return guard(func() error { return l.BoltStore.GetLog(index, log) })
}

func (l *boltLog) repair(_ uint64, cut bool, last uint64) error {
	if !cut {
		return nil
	}
	return l.DeleteRange(last+1, math.MaxUint64)
}
