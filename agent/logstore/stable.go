package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/holdfast-kv/holdfast/agent/datadir"
)

// The keys that raft uses.
const (
	keyTerm     = "CurrentTerm"
	keyVoteTerm = "LastVoteTerm"
)

// stableReserve is taken from the disk for stable.db when it is opened. It never
// needs more than a few pages, so that an election works on a full disk.
const stableReserve = 64 << 10

// stable keeps term and vote. Each value has a checksum over its key and itself.
//
// raft panics when a term can't be written, so a write that fails for want of
// room is tried again until there is some; the server has no leader meanwhile.
type stable struct {
	raft.StableStore
	path     string
	log      hclog.Logger
	onDamage func(error)
	db       *raftboltdb.BoltStore
}

// openStable opens the file at path, made if it is not there. What is there has
// been checked.
func openStable(path string, o *Options) (*stable, error) {
	db, err := openBolt(path, o)
	if err != nil {
		return nil, err
	}
	// Without the reserve a full disk makes an election wait: worth knowing, no more.
	if err := reserveFile(path, stableReserve); err != nil {
		o.Logger.Debug("no space set aside", "file", filepath.Base(path), "error", err)
	}
	return &stable{StableStore: db, path: path, log: o.Logger, onDamage: o.OnDamage, db: db}, nil
}

// checkStable reads all of the file at path. The term and the term of the vote are
// 0 if they are not in it.
func checkStable(path string) (term, vote uint64, err error) {
	err = checkBoltFile(path, func(bucket string, key, sealed []byte) error {
		if bucket != bucketStable {
			return fmt.Errorf("%w: %q does not belong into bucket %q", errBolt, key, bucket)
		}
		value, err := openValue(key, sealed)
		if err != nil {
			return fmt.Errorf("%w: %q %v", errBolt, key, err)
		}
		if len(value) != 8 {
			return nil
		}
		switch string(key) {
		case keyTerm:
			term = binary.BigEndian.Uint64(value)
		case keyVoteTerm:
			vote = binary.BigEndian.Uint64(value)
		}
		return nil
	})
	if errors.Is(err, errBolt) {
		err = corrupt(path, doRestore, "%v", err)
	}
	return term, vote, err
}

// sealValue appends the checksum.
func sealValue(key, value []byte) []byte {
	sealed := append(make([]byte, 0, len(value)+sumBytes), value...)
	sealed = append(sealed, sumMark)
	return binary.LittleEndian.AppendUint32(sealed, valueSum(key, value))
}

// openValue checks and removes it.
func openValue(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - sumBytes
	if n < 0 || sealed[n] != sumMark {
		return nil, errNoChecksum
	}
	if binary.LittleEndian.Uint32(sealed[n+1:]) != valueSum(key, sealed[:n]) {
		return nil, errChecksum
	}
	return sealed[:n], nil
}

func valueSum(key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, key)
	sum = crc32.Update(sum, castagnoli, []byte{0})
	return crc32.Update(sum, castagnoli, value)
}

// Get returns raft-boltdb's "not found", which raft knows by its text, if there
// is no such key.
func (s *stable) Get(key []byte) ([]byte, error) {
	var value []byte
	err := guard(func() (err error) {
		value, err = s.StableStore.Get(key)
		return err
	})
	if err != nil {
		return nil, err
	}
	value, err = openValue(key, value)
	if err != nil {
		err = corrupt(s.path, doRestore, "is damaged: %q %v", key, err)
		s.onDamage(err)
		return nil, err
	}
	return value, nil
}

func (s *stable) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%s: %q is not a number", s.path, key)
	}
	return binary.BigEndian.Uint64(value), nil
}

func (s *stable) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// stableRetry is the pause between two tries to write on a full disk.
const stableRetry = 200 * time.Millisecond

func (s *stable) Set(key, value []byte) error {
	sealed := sealValue(key, value)
	err := s.StableStore.Set(key, sealed)
	if err == nil {
		return nil
	}
	if datadir.IsFull(err) {
		s.log.Error("no room to store the term or vote; waiting for space", "file", s.path, "error", err)
		pause := time.NewTicker(stableRetry)
		defer pause.Stop()
		for datadir.IsFull(err) {
			<-pause.C
			err = s.StableStore.Set(key, sealed)
		}
		if err == nil {
			s.log.Info("term or vote stored; there is room again", "file", s.path)
			return nil
		}
	}
	err = fmt.Errorf("store %q in %s: %w", key, s.path, err)
	s.onDamage(err)
	return err
}

func (s *stable) Close() error { return s.db.Close() }

// number is GetUint64 with 0 for a key that is not there.
func number(s raft.StableStore, key string) (uint64, error) {
	n, err := s.GetUint64([]byte(key))
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return 0, nil
	}
	return n, err
}
