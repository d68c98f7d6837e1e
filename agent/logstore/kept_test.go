package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

// mustKeep keeps a state, which is flushed.
func mustKeep(t *testing.T, s *Store, durable bool, state string) *Kept {
	t.Helper()
	k, err := s.Keep(durable)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(k, strings.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	if err := k.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(k.Reader()); err != nil || string(got) != state || k.Size() != int64(len(state)) {
		t.Fatalf("kept %d bytes that are read as %d, %v; want %d", k.Size(), len(got), err, len(state))
	}
	return k
}

// mustLeaveNothing wants no more below the raft folder than the store has always had.
func mustLeaveNothing(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{keptPattern, "snapshots/*" + tempSuffix} {
		if left, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func createSnapshot(t *testing.T, s *Store, index uint64) raft.SnapshotSink {
	t.Helper()
	_, trans := raft.NewInmemTransport("here")
	one := raft.Configuration{Servers: []raft.Server{{ID: "one", Address: "here"}}}
	sink, err := s.Snapshots().Create(1, index, 2, one, 1, trans)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// TestAKeptStateBecomesASnapshot: it is the same snapshot that writing would have made.
func TestAKeptStateBecomesASnapshot(t *testing.T) {
	for _, state := range []string{"", "state", strings.Repeat("0123456789", 2*flushBytes/10+7)} {
		t.Run(fmt.Sprint(len(state), " bytes"), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "raft")
			s := mustOpen(t, dir, testOptions(WAL))
			mustSeed(t, s)
			makeSnapshot(t, s, 1)
			makeSnapshot(t, s, 2)
			written := createSnapshot(t, s, 3)
			if _, err := io.WriteString(written, state); err != nil {
				t.Fatal(err)
			}
			if err := written.Close(); err != nil {
				t.Fatal(err)
			}
			k := mustKeep(t, s, true, state)
			adopted := createSnapshot(t, s, 4)
			if !adopted.(Adopter).Adopt(k) {
				t.Fatal("it is not adopted")
			}
			if err := adopted.Close(); err != nil {
				t.Fatal(err)
			}
			if err := k.Discard(); err != nil {
				t.Error(err)
			}
			if s.covered.Load() != 4 {
				t.Errorf("the newest snapshot is said to be of %d", s.covered.Load())
			}
			mustLeaveNothing(t, dir)
			check := func(s *Store) {
				t.Helper()
				list, err := s.Snapshots().List()
				if err != nil || len(list) != 2 || list[0].ID != adopted.ID() || list[1].ID != written.ID() {
					t.Fatalf("there are %+v, %v", list, err)
				}
				got, want := *list[0], *list[1]
				want.ID, want.Index = got.ID, 4
				if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
					t.Errorf("it is described as\n%+v, want\n%+v", got, want)
				}
				_, content, err := s.Snapshots().Open(adopted.ID())
				if err != nil {
					t.Fatal(err)
				}
				defer content.Close()
				if got, err := io.ReadAll(content); err != nil || string(got) != state {
					t.Errorf("it has %d bytes, %v; want %d", len(got), err, len(state))
				}
			}
			check(s)
			folder := filepath.Join(dir, "snapshots", adopted.ID())
			if sum, err := os.ReadFile(filepath.Join(folder, metaSumName)); err != nil || len(sum) == 0 {
				t.Errorf("its description has no checksum: %v", err)
			}
			mustClose(t, s)
			s = mustOpen(t, dir, testOptions(WAL))
			check(s)
			mustClose(t, s)

			// The checksum of the state is a true one.
			file := filepath.Join(folder, stateName)
			mustWriteFile(t, file, state+"x")
			if _, err := Open(dir, testOptions(WAL)); err == nil || !strings.Contains(err.Error(), file+" does not match its checksum") {
				t.Errorf("with a damaged state it is opened: %v", err)
			}
		})
	}
}

func TestAKeptStateThatIsNotAdopted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	s, other, memory := mustOpen(t, dir, testOptions(WAL)), mustOpen(t, filepath.Join(t.TempDir(), "raft"), testOptions(WAL)), Memory()
	mustSeed(t, s)
	for _, tc := range []struct {
		rule    string
		of      *Store
		durable bool
	}{
		{"one that is not durable", s, false},
		{"one of another store", other, true},
		{"one of a store in memory", memory, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			k := mustKeep(t, tc.of, tc.durable, "state")
			sink := createSnapshot(t, s, 3)
			if sink.(Adopter).Adopt(k) {
				t.Error("it is adopted")
			}
			if err := errors.Join(sink.Cancel(), k.Discard()); err != nil {
				t.Error(err)
			}
			mustLeaveNothing(t, dir)
			if _, err := os.Stat(k.folder); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
		})
	}
	t.Run("one whose snapshot is given up", func(t *testing.T) {
		k := mustKeep(t, s, true, "state")
		sink := createSnapshot(t, s, 3)
		if !sink.(Adopter).Adopt(k) {
			t.Error("it is not adopted")
		}
		if err := errors.Join(sink.Cancel(), k.Discard()); err != nil {
			t.Error(err)
		}
		mustLeaveNothing(t, dir)
	})
	for _, tc := range []struct {
		rule  string
		want  error // nil: any
		spoil func(k *Kept) error
	}{
		{"one whose folder is gone", os.ErrNotExist, func(k *Kept) error { return os.RemoveAll(k.folder) }},
		{"one whose snapshot cannot be finished, as on a full disk", nil, func(k *Kept) error {
			return os.Mkdir(filepath.Join(k.folder, metaSumName), 0o700)
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			k := mustKeep(t, s, true, "state")
			sink := createSnapshot(t, s, 3)
			if !sink.(Adopter).Adopt(k) {
				t.Error("it is not adopted")
			}
			if err := tc.spoil(k); err != nil {
				t.Fatal(err)
			}
			if err := sink.Close(); err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("the snapshot is finished without it: %v", err)
			}
			if err := k.Discard(); err != nil {
				t.Error(err)
			}
			mustLeaveNothing(t, dir)
		})
	}
	if list, err := s.Snapshots().List(); err != nil || len(list) != 0 {
		t.Errorf("there are snapshots: %v, %v", list, err)
	}
}

// TestWhatWasKeptGoesAtTheNextStart: the server was killed during a restore.
func TestWhatWasKeptGoesAtTheNextStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	s := mustOpen(t, dir, testOptions(WAL))
	mustSeed(t, s)
	kept := []*Kept{mustKeep(t, s, true, "state"), mustKeep(t, s, false, "state")}
	mustClose(t, s)
	s = mustOpen(t, dir, testOptions(WAL))
	mustLeaveNothing(t, dir)
	mustHold(t, s, 1, 3)
	for _, k := range kept {
		if err := k.Discard(); err != nil {
			t.Error(err)
		}
	}
}

func TestAStateThatDoesNotFit(t *testing.T) {
	disk := smallDisk(t, "2m")
	dir := filepath.Join(disk, "raft")
	s := mustOpen(t, dir, Options{SegmentBytes: 64 << 10})
	mustSeed(t, s)
	k, err := s.Keep(true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(k, bytes.NewReader(make([]byte, 4<<20))); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a state on a full disk: %v", err)
	}
	if err := k.Discard(); err != nil {
		t.Error(err)
	}
	mustLeaveNothing(t, dir)
	mustStore(t, s, 4, 6)
}

// TestAFlushThatFailedIsRemembered: the system says it once.
func TestAFlushThatFailedIsRemembered(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "raft"), testOptions(WAL))
	k := mustKeep(t, s, true, "state")
	broken := errors.New("broken")
	_ = k.failed(broken)
	if _, err := k.Write([]byte("x")); !errors.Is(err, broken) {
		t.Errorf("it is written on: %v", err)
	}
	if err := k.Flush(); !errors.Is(err, broken) {
		t.Errorf("it is flushed: %v", err)
	}
	if err := k.Discard(); err != nil {
		t.Error(err)
	}
}

// TestRaftRestoresAKeptArchive: as TestRaftRestoresAnArchive, with what was kept.
func TestRaftRestoresAKeptArchive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	s := startServer(t, dir, testOptions(WAL))
	s.await()
	s.mustApply(1, 20)
	snap := s.raft.Snapshot()
	if err := snap.Error(); err != nil {
		t.Fatal(err)
	}
	meta, content, err := snap.Open()
	if err != nil {
		t.Fatal(err)
	}
	state, err := io.ReadAll(content)
	if err = errors.Join(err, content.Close()); err != nil {
		t.Fatal(err)
	}
	wantN, wantTotal := s.fsm.state()
	s.mustApply(21, 50)
	k := mustKeep(t, s.store, true, string(state))
	if err := s.raft.Restore(meta, &adopting{k.Reader(), k}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := k.Discard(); err != nil {
		t.Error(err)
	}
	mustGoOn(t, s, dir, testOptions(WAL), wantN, wantTotal)
}

// adopting has the sink that it is copied to adopt a state.
type adopting struct {
	io.Reader
	k *Kept
}

func (a *adopting) WriteTo(w io.Writer) (int64, error) {
	if adopter, ok := w.(Adopter); !ok || !adopter.Adopt(a.k) {
		return 0, errors.New("it is not adopted")
	}
	return a.k.Size(), nil
}
