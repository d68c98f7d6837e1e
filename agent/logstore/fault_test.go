package logstore

import (
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/types"
)

// faultyFS is a disk that fails when it is told to.
type faultyFS struct {
	types.VFS
	fault *atomic.Pointer[fault]
}

// fault says which call fails. The zero value fails none.
type fault struct {
	create, openWriter, write, sync, del error
	partial                              int // bytes a failing write puts on disk before
}

func (f faultyFS) now() fault {
	if p := f.fault.Load(); p != nil {
		return *p
	}
	return fault{}
}

func (f faultyFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	if err := f.now().create; err != nil {
		return nil, err
	}
	file, err := f.VFS.Create(dir, name, size)
	return faultyFile{file, f}, err
}

func (f faultyFS) OpenWriter(dir, name string) (types.WritableFile, error) {
	if err := f.now().openWriter; err != nil {
		return nil, err
	}
	file, err := f.VFS.OpenWriter(dir, name)
	return faultyFile{file, f}, err
}

func (f faultyFS) Delete(dir, name string) error {
	if err := f.now().del; err != nil {
		return err
	}
	return f.VFS.Delete(dir, name)
}

type faultyFile struct {
	types.WritableFile
	fs faultyFS
}

func (f faultyFile) WriteAt(b []byte, off int64) (int, error) {
	now := f.fs.now()
	if now.write == nil {
		return f.WritableFile.WriteAt(b, off)
	}
	n, err := f.WritableFile.WriteAt(b[:min(now.partial, len(b))], off)
	return n, errors.Join(err, now.write)
}

func (f faultyFile) Sync() error {
	if err := f.fs.now().sync; err != nil {
		return err
	}
	return f.WritableFile.Sync()
}

func faultyOptions() (Options, *atomic.Pointer[fault]) {
	o := testOptions(WAL)
	var f atomic.Pointer[fault]
	o.wrapFS = func(inner types.VFS) types.VFS { return faultyFS{inner, &f} }
	return o, &f
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		fault fault
		full  bool
	}{
		{"nothing was written", fault{write: syscall.ENOSPC}, true},
		{"half was written", fault{write: syscall.ENOSPC, partial: 150}, true},
		{"all was written, but the disk says it failed", fault{write: syscall.EIO, partial: 1 << 20}, false},
		{"all was written, but flushing failed", fault{sync: syscall.EIO}, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "raft")
			o, disk := faultyOptions()
			s := mustOpen(t, dir, o)
			mustSeed(t, s)
			for round := range 3 {
				last := uint64(3 + 2*round)
				disk.Store(&tc.fault)
				err := s.StoreLogs(entries(last+1, last+4))
				var failed *WriteError
				if !errors.As(err, &failed) || !failed.Absent || failed.Full() != tc.full || !strings.Contains(err.Error(), "nothing was stored") {
					t.Fatalf("store: %v, want a WriteError that says nothing was stored, full = %v", err, tc.full)
				}
				if s.Err() == nil {
					t.Error("Err is nil after a failed write")
				}
				mustHold(t, s, 1, last)
				if err := s.StoreLogs(entries(last+1, last+1)); err == nil {
					t.Fatal("a write succeeded on a broken disk")
				}
				disk.Store(nil)
				mustStore(t, s, last+1, last+2)
				mustHold(t, s, 1, last+2)
				if s.Err() != nil {
					t.Errorf("Err = %v after a write that succeeded", s.Err())
				}
			}
			mustClose(t, s)
			mustHold(t, mustOpen(t, dir, testOptions("")), 1, 9)
		})
	}
}

// If the process ends right after the failure nothing of the failed write comes
// back at the next start.
func TestAFailedWriteDoesNotComeBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	o, disk := faultyOptions()
	s := mustOpen(t, dir, o)
	mustSeed(t, s)
	disk.Store(&fault{sync: syscall.EIO})
	if err := s.StoreLogs(entries(4, 9)); err == nil {
		t.Fatal("no error")
	}
	killed := readTree(t, dir)
	again := filepath.Join(t.TempDir(), "raft")
	writeTree(t, again, killed)
	mustHold(t, mustOpen(t, again, testOptions("")), 1, 3)
}

// While the log can't be put in order the outcome is unknown, writes fail and
// reads go on; it heals by itself.
func TestALogThatCannotBeRepairedAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	o, disk := faultyOptions()
	o.CacheBytes = -1
	s := mustOpen(t, dir, o)
	mustSeed(t, s)
	disk.Store(&fault{sync: syscall.EIO, openWriter: syscall.EIO})
	err := s.StoreLogs(entries(4, 5))
	var failed *WriteError
	if !errors.As(err, &failed) || failed.Absent || !strings.Contains(err.Error(), "may be found stored") {
		t.Fatalf("store: %v, want an unknown outcome", err)
	}
	mustHold(t, s, 1, 3)
	err = s.StoreLogs(entries(4, 5))
	if !errors.As(err, &failed) || !failed.Absent || !strings.Contains(err.Error(), "not usable since an earlier write failed") {
		t.Fatalf("second store: %v", err)
	}
	if err := s.DeleteRange(1, 2); err == nil {
		t.Error("a delete succeeded")
	}
	mustHold(t, s, 1, 3)
	disk.Store(nil)
	mustStore(t, s, 4, 8)
	mustHold(t, s, 1, 8)
}

// A full segment for which no next one can be made is raft-wal's dead end.
func TestNoRoomForTheNextSegment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	o, disk := faultyOptions()
	s := mustOpen(t, dir, o)
	mustSeed(t, s)
	disk.Store(&fault{create: syscall.ENOSPC})
	last := uint64(3)
	var err error
	for err == nil {
		if last > 1000 {
			t.Fatal("no segment was ever full")
		}
		if err = s.StoreLogs(entries(last+1, last+5)); err == nil {
			last += 5
		}
	}
	var failed *WriteError
	if !errors.As(err, &failed) || !failed.Full() {
		t.Fatalf("store: %v, want one that says the disk is full", err)
	}
	mustHold(t, s, 1, last)
	disk.Store(nil)
	mustStore(t, s, last+1, last+5)
	mustHold(t, s, 1, last+5)
	mustClose(t, s)
	mustHold(t, mustOpen(t, dir, testOptions("")), 1, last+5)
}

// Deleting fails in steps of its own; whatever it reached, raft's next request
// finds a log that works.
func TestAFailedDelete(t *testing.T) {
	for _, tc := range []struct {
		rule     string
		min, max uint64
	}{
		{"at the start", 1, 90},
		{"at the end", 150, 200},
		{"all", 1, 200},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "raft")
			o, disk := faultyOptions()
			o.CacheBytes = -1
			s := mustOpen(t, dir, o)
			mustSeed(t, s)
			mustStore(t, s, 4, 200)
			makeSnapshot(t, s, 120)
			disk.Store(&fault{create: syscall.EIO, write: syscall.EIO, sync: syscall.EIO})
			if err := s.DeleteRange(tc.min, tc.max); err != nil {
				var failed *WriteError
				if !errors.As(err, &failed) {
					t.Errorf("delete: %v", err)
				}
			} else if tc.min != 1 || tc.max == 200 { // only the list changes
				t.Error("the delete succeeded on a broken disk")
			}
			disk.Store(nil)
			if err := s.DeleteRange(tc.min, tc.max); err != nil {
				t.Fatal(err)
			}
			switch {
			case tc.min == 1 && tc.max == 200:
				mustHold(t, s, 0, 0)
			case tc.min == 1:
				mustHold(t, s, tc.max+1, 200)
				mustStore(t, s, 201, 202)
			default:
				mustHold(t, s, 1, tc.min-1)
				mustStore(t, s, tc.min, tc.min+1)
			}
		})
	}
}

// failingStable fails writes with the given errors, then works.
type failingStable struct {
	raft.StableStore
	errs []error
}

func (f *failingStable) Set(key, value []byte) error {
	if len(f.errs) == 0 {
		return f.StableStore.Set(key, value)
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return err
}

func TestStableStoreWaitsForSpaceOnly(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "raft"), testOptions(WAL))
	st := s.stable.(*stable)
	inner := st.StableStore
	var told []error
	st.onDamage = func(err error) { told = append(told, err) }

	st.StableStore = &failingStable{inner, []error{syscall.ENOSPC, syscall.EDQUOT}}
	if err := st.SetUint64([]byte(keyTerm), 5); err != nil {
		t.Errorf("a full disk: %v", err)
	}
	if term, err := st.GetUint64([]byte(keyTerm)); err != nil || term != 5 {
		t.Errorf("term = %d, %v", term, err)
	}
	if len(told) != 0 {
		t.Errorf("told of %v", told)
	}
	st.StableStore = &failingStable{inner, []error{syscall.EIO}}
	if err := st.SetUint64([]byte(keyTerm), 6); !errors.Is(err, syscall.EIO) || len(told) != 1 {
		t.Errorf("a broken disk: %v, told %v", err, told)
	}
}
