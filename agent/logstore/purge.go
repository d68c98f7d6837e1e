package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Purged tells whether no file of the store has anything in it that was written with an
// entry up to through: neither the log nor a snapshot. Of the backend BoltDB it cannot
// say so of the file, which keeps what was removed until the room is used again; only
// that no entry is there. In memory there is no file.
func (s *Store) Purged(through uint64) (bool, error) {
	snaps, onDisk := s.snapshots.(*Snapshots)
	if !onDisk {
		return true, nil
	}
	names, err := snaps.before(through)
	if err != nil || len(names) > 0 {
		return false, err
	}
	if first := s.first.Load(); first != 0 && first <= through {
		return false, nil
	}
	if s.o.Backend != WAL {
		return true, nil
	}
	files, err := os.ReadDir(s.path)
	if err != nil {
		return false, fmt.Errorf("list the files of the log: %w", err)
	}
	for _, f := range files {
		base, _, ok := strings.Cut(strings.TrimSuffix(f.Name(), ".wal"), "-")
		first, err := strconv.ParseUint(base, 10, 64)
		if ok && strings.HasSuffix(f.Name(), ".wal") && err == nil && first <= through {
			return false, nil
		}
	}
	return true, nil
}

// Purge removes from the disk what a snapshot of the state at through or later has
// replaced: the entries that are in it, and the snapshots before. A file of the log goes
// when all its entries are gone; while the log is written to, that may take until the
// file is full, and Purge must be called again then, after another snapshot. Without such
// a snapshot nothing is removed.
func (s *Store) Purge(through uint64) error {
	snaps, onDisk := s.snapshots.(*Snapshots)
	if !onDisk || s.covered.Load() < through {
		return nil
	}
	if err := snaps.dropBefore(through); err != nil {
		return err
	}
	s.writing.Lock()
	first, covered := s.first.Load(), s.covered.Load()
	s.writing.Unlock()
	if first == 0 {
		return nil
	}
	return s.DeleteRange(first, covered)
}

// before returns the folders of snapshots of states before index.
func (s *Snapshots) before(index uint64) ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := parseSnapshotName(strings.TrimSuffix(e.Name(), tempSuffix)); ok && name.index < index {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// dropBefore removes the snapshots of states before index.
func (s *Snapshots) dropBefore(index uint64) error {
	names, err := s.before(index)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if s.writing[name] {
			continue
		}
		if gone := os.RemoveAll(filepath.Join(s.dir, name)); gone != nil {
			err = errors.Join(err, fmt.Errorf("remove a snapshot: %w", gone))
		}
	}
	return err
}
