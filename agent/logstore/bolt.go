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

// The buckets that raft-boltdb makes in each file; we use one of them.
const (
	bucketLogs   = "logs"
	bucketStable = "conf"
)

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
				Timeout: boltLockWait, FreelistType: bbolt.FreelistMapType, NoFreelistSync: !o.BoltFreelistSync, ReadOnly: o.readOnly,
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

// lookAtBolt reads every page of the log at path, and every entry behind covered; the
// newest are in c then. Opening it makes the file if there is none.
func lookAtBolt(path string, o *Options, c *cache, covered uint64) (logLook, error) {
	look := logLook{open: func() (backend, error) {
		db, err := openBolt(path, o)
		if err != nil {
			return nil, err
		}
		return &boltLog{db}, nil
	}}
	exists, err := fileExists(path)
	if err != nil || !exists {
		return look, err
	}
	look.first, look.last, err = checkBoltLog(path)
	if err != nil || look.last <= covered {
		return look, err
	}
	return look, checkBoltEntries(path, o, c, max(look.first, covered+1), look.last)
}

// checkBoltLog makes sure that the file is sound and its entries are consecutive.
func checkBoltLog(path string) (first, last uint64, err error) {
	err = checkBoltFile(path, func(bucket string, key, _ []byte) error {
		if bucket != bucketLogs || len(key) != 8 {
			return fmt.Errorf("%w: %q in bucket %q is no entry", errBolt, key, bucket)
		}
		index := binary.BigEndian.Uint64(key)
		if last != 0 && index != last+1 {
			return fmt.Errorf("%w: entries %d to %d are missing", errBolt, last+1, index-1)
		}
		if last = index; first == 0 {
			first = index
		}
		return nil
	})
	if errors.Is(err, errBolt) {
		err = corrupt(path, doRestore, "%v", err)
	}
	return first, last, err
}

// checkBoltEntries reads entries without opening the file for writing, which
// alone would change it.
func checkBoltEntries(path string, o *Options, c *cache, first, last uint64) error {
	ro := *o
	ro.readOnly = true
	db, err := openBoltAs(path, &ro)
	if err != nil {
		return err
	}
	l := &boltLog{db}
	for i := first; i <= last; i++ {
		var e raft.Log
		err := l.GetLog(i, &e)
		if err == nil {
			err = unseal(&e, i)
		} else {
			err = fmt.Errorf("can't be read (%w)", err)
		}
		if err != nil {
			return errors.Join(corrupt(path, doRestore, "is damaged: entry %d %v", i, err), l.Close())
		}
		c.add([]*raft.Log{&e})
	}
	return l.Close()
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
