//go:build linux

package logstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

// smallDisk is a file system of the given size, which only root may have.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	path := t.TempDir()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "mode=700,size="+size); err != nil {
		t.Skipf("NOT TESTED: a disk that is really full needs the right to mount one: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", path, err)
		}
	})
	return path
}

// fillDisk takes what is left of a disk and returns what gives it back.
func fillDisk(t *testing.T, disk string) (free func()) {
	t.Helper()
	path := filepath.Join(disk, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// mustFailFull writes until the disk is full and returns the last entry that was
// stored.
func mustFailFull(t *testing.T, s *Store, last uint64) uint64 {
	t.Helper()
	for range 10_000 {
		began := time.Now()
		err := s.StoreLogs(large(last+1, last+4))
		if err == nil {
			last += 4
			continue
		}
		var failed *WriteError
		if !errors.As(err, &failed) || !failed.Full() || !failed.Absent {
			t.Fatalf("store: %v, want one that says the disk is full and nothing was stored", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the error took %v", took)
		}
		return last
	}
	t.Fatal("the disk was never full")
	return 0
}

func large(first, last uint64) []*raft.Log {
	logs := entries(first, last)
	for _, l := range logs {
		l.Data = make([]byte, 4000)
		copy(l.Data, dataOf(l.Index))
	}
	return logs
}

func mustHoldLarge(t *testing.T, s *Store, last uint64) {
	t.Helper()
	if l, _ := s.LastIndex(); l != last {
		t.Fatalf("last entry = %d, want %d", l, last)
	}
	for i := uint64(4); i <= last; i++ {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil || string(l.Data) != string(large(i, i)[0].Data) {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
}

func TestAFullDiskAndBack(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		disk := smallDisk(t, "12m")
		dir := filepath.Join(disk, "raft")
		o := Options{Backend: backend, SegmentBytes: 256 << 10, CacheBytes: -1}
		s := mustOpen(t, dir, o)
		mustSeed(t, s)
		mustStore(t, s, 4, 5)
		if err := s.DeleteRange(4, 5); err != nil {
			t.Fatal(err)
		}
		last := uint64(3)
		for round := range 2 {
			free := fillDisk(t, disk)
			last = mustFailFull(t, s, last)
			mustHoldLarge(t, s, last)
			// An election on a full disk: raft would panic if this failed.
			if err := s.Stable().SetUint64([]byte(keyTerm), uint64(10+round)); err != nil {
				t.Errorf("term on a full disk: %v", err)
			}
			last = mustFailFull(t, s, last)
			free()
			if err := s.StoreLogs(large(last+1, last+4)); err != nil {
				t.Fatalf("store after space was made: %v", err)
			}
			last += 4
			mustHoldLarge(t, s, last)
		}
		fillDisk(t, disk)
		last = mustFailFull(t, s, last)
		mustClose(t, s)
		if s, err := Open(filepath.Join(disk, "another"), o); err == nil {
			mustClose(t, s)
			t.Error("a new log was made on a full disk")
		} else if !strings.Contains(err.Error(), "free some space, then start again") {
			t.Errorf("open on a full disk: %v", err)
		}
		if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
			t.Fatal(err)
		}
		o.Backend = ""
		s = mustOpen(t, dir, o)
		mustHoldLarge(t, s, last)
		if st, err := s.State(); err != nil || st.Term != 11 {
			t.Errorf("state = %+v, %v", st, err)
		}
	})
}

func TestASnapshotThatDoesNotFit(t *testing.T) {
	disk := smallDisk(t, "2m")
	s := mustOpen(t, filepath.Join(disk, "raft"), Options{SegmentBytes: 64 << 10})
	mustSeed(t, s)
	makeSnapshot(t, s, 2)
	free := fillDisk(t, disk)
	_, trans := raft.NewInmemTransport("")
	sink, err := s.Snapshots().Create(1, 3, 2, raft.Configuration{}, 1, trans)
	if err == nil {
		_, err = sink.Write(make([]byte, 1<<20))
		if err == nil {
			err = sink.Close()
		} else if cancelErr := sink.Cancel(); cancelErr != nil {
			t.Errorf("cancel: %v", cancelErr)
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("snapshot on a full disk: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(disk, "raft", "snapshots", "*.tmp")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if s.covered.Load() != 2 {
		t.Errorf("covered = %d", s.covered.Load())
	}
	free()
	makeSnapshot(t, s, 3)
}

// The whole of it: a single server whose disk fills up answers each write with an
// error within a second, does not die, and accepts writes again by itself when
// there is space.
func TestRaftOnAFullDiskAndBack(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		disk := smallDisk(t, "8m")
		o := Options{Backend: backend, SegmentBytes: 256 << 10}
		dir := filepath.Join(disk, "raft")
		s := startServer(t, dir, o)
		s.await()
		s.mustApply(1, 10)
		acked := uint64(10)
		for range 2 {
			free := fillDisk(t, disk)
			full := 0
			for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
				began := time.Now()
				err := s.apply(acked+1, 3000)
				if took := time.Since(began); took > time.Second {
					t.Errorf("a write took %v", took)
				}
				var failed *WriteError
				switch {
				case err == nil:
					acked++
				case errors.As(err, &failed) && failed.Full() && failed.Absent:
					full++
				case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
				default:
					t.Errorf("apply: %v", err)
				}
			}
			if full == 0 {
				t.Error("no write was told that the disk is full")
			}
			free()
			s.await()
			s.mustApply(acked+1, acked+5)
			acked += 5
			if s.store.Err() != nil {
				t.Errorf("Err = %v after the disk was emptied", s.store.Err())
			}
		}
		wantN, wantTotal := s.fsm.state()
		s.stop()
		s = startServer(t, dir, o)
		defer s.stop()
		s.await()
		if n, total := s.fsm.state(); n != wantN || total != wantTotal || n < acked {
			t.Errorf("state after restart %d, %d, want %d, %d", n, total, wantN, wantTotal)
		}
	})
}
