package logstore

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// onDisk tells whether something is in any file below dir.
func onDisk(t *testing.T, dir string, what []byte) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || bytes.Contains(data, what)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func mustBePurged(t *testing.T, s *Store, through uint64, want bool) {
	t.Helper()
	if got, err := s.Purged(through); err != nil || got != want {
		t.Errorf("purged through %d: %v, %v; want %v", through, got, err, want)
	}
}

// TestPurge: what was written up to an index leaves the disk, and the store goes on.
func TestPurge(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir := filepath.Join(t.TempDir(), "raft")
		s := mustOpen(t, dir, testOptions(backend))
		mustSeed(t, s)
		makeSnapshot(t, s, 3)
		mustStore(t, s, 4, 6)
		mustBePurged(t, s, 5, false)

		// A snapshot from before does not have what is to go.
		if err := s.Purge(5); err != nil {
			t.Fatal(err)
		}
		mustHold(t, s, 1, 6)
		if !onDisk(t, dir, []byte("state as of entry 3")) {
			t.Error("the only snapshot is gone")
		}

		// One that has it, while the log goes on: entries behind it stay.
		makeSnapshot(t, s, 5)
		if err := s.Purge(5); err != nil {
			t.Fatal(err)
		}
		mustHold(t, s, 6, 6)
		mustNotHave(t, s, 5)
		if onDisk(t, dir, []byte("state as of entry 3")) {
			t.Error("the snapshot from before is still there")
		}
		mustBePurged(t, s, 5, backend == BoltDB) // the file of the WAL has entry 6

		makeSnapshot(t, s, 6)
		if err := s.Purge(5); err != nil {
			t.Fatal(err)
		}
		mustBePurged(t, s, 5, true)
		for i := uint64(1); i <= 6 && backend == WAL; i++ {
			if onDisk(t, dir, dataOf(i)) {
				t.Errorf("entry %d is still on the disk", i)
			}
		}
		if err := s.Purge(5); err != nil { // again, with an empty log
			t.Error(err)
		}

		mustClose(t, s)
		s = mustOpen(t, dir, testOptions(backend))
		mustBePurged(t, s, 5, true)
		mustStore(t, s, 7, 9)
		mustHold(t, s, 7, 9)
		mustBePurged(t, s, 5, true)
	})
}

// TestPurgeOfMemory has nothing to do.
func TestPurgeOfMemory(t *testing.T) {
	s := Memory()
	mustStore(t, s, 1, 3)
	mustBePurged(t, s, 2, true)
	if err := s.Purge(2); err != nil {
		t.Error(err)
	}
	mustHold(t, s, 1, 3)
}
