package backup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newFolder(t *testing.T, keep int) (*Folder, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 11, 24, 16, 31, 59, 123_456_789, time.FixedZone("x", 3600))}
	f, err := Open(filepath.Join(t.TempDir(), "a", "b"), keep, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

// writes saves a text.
func writes(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

// reads checks for a text.
func reads(text string) func(io.Reader) error {
	return func(r io.Reader) error {
		got, err := io.ReadAll(r)
		if err == nil && string(got) != text {
			err = fmt.Errorf("it says %q", got)
		}
		return err
	}
}

// files are the names of all that is in the folder.
func files(t *testing.T, f *Folder) []string {
	t.Helper()
	entries, err := os.ReadDir(f.path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestTake(t *testing.T) {
	f, _ := newFolder(t, 0)
	s, err := f.Take(writes("state"), reads("state"))
	if err != nil {
		t.Fatal(err)
	}
	if got := filepath.Base(s.Path); got != "holdfast-20261124T153159.123Z.snap" || s.Size != 5 {
		t.Errorf("%+v", s)
	}
	info, err := os.Stat(s.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: it holds secrets", info.Mode(), err)
	}
	if got := files(t, f); len(got) != 1 {
		t.Errorf("the folder has %v", got)
	}
}

func TestWhatFailsLeavesNothing(t *testing.T) {
	broken := errors.New("broken")
	fail := func(err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, _ = io.WriteString(w, "half") // what comes of it is not the point
			return err
		}
	}
	for _, tc := range []struct {
		rule  string
		save  func(io.Writer) error
		check func(io.Reader) error
		want  error
		says  string
	}{
		{"the server does", fail(broken), reads("x"), broken, "broken"},
		{"the disk is full", fail(syscall.ENOSPC), reads("x"), syscall.ENOSPC, "free some space or keep fewer snapshots"},
		{"it is not what it should be", writes("y"), reads("x"), nil, `check the snapshot: it says "y"`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f, c := newFolder(t, 1)
			if _, err := f.Take(writes("old"), reads("old")); err != nil {
				t.Fatal(err)
			}
			before := files(t, f)
			c.at = c.at.Add(time.Hour)
			s, err := f.Take(tc.save, tc.check)
			if err == nil || !strings.Contains(err.Error(), tc.says) || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v with %q", err, tc.want, tc.says)
			}
			if s.Path != "" || !slices.Equal(files(t, f), before) {
				t.Errorf("it is said to be at %q, the folder has %v", s.Path, files(t, f))
			}
		})
	}
}

func TestNamesAreInOrderWhateverTheClockSays(t *testing.T) {
	f, c := newFolder(t, 0)
	var paths []string
	for _, step := range []time.Duration{0, 0, time.Hour, -2 * time.Hour, 0, time.Minute, 24 * time.Hour} {
		c.at = c.at.Add(step)
		s, err := f.Take(writes("x"), reads("x"))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, s.Path)
	}
	if !slices.IsSorted(paths) || len(slices.Compact(slices.Clone(paths))) != len(paths) {
		t.Errorf("in the order in which they were taken: %v", paths)
	}
	all, err := f.List()
	if err != nil || len(all) != len(paths) {
		t.Fatalf("%v, %v", all, err)
	}
	for i := range all {
		if all[i].Path != paths[i] {
			t.Errorf("place %d is %s, want %s", i, all[i].Path, paths[i])
		}
	}
}

func TestPruneKeepsTheNewestAndWhatIsNotOurs(t *testing.T) {
	f, c := newFolder(t, 2)
	others := []string{"holdfast-yesterday.snap", "holdfast-20261124T153159.123Z.snap.old", "backup.snap", "holdfast-20261324T153159.123Z.snap"}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(f.path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(f.path, "holdfast-20200101T000000.000Z.snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	var taken []string
	for range 4 {
		c.at = c.at.Add(time.Minute)
		s, err := f.Take(writes("x"), reads("x"))
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, s.Path)
	}
	removed, err := f.Prune()
	if err != nil || !slices.Equal(removed, taken[:2]) {
		t.Errorf("removed %v, %v; want the two oldest", removed, err)
	}
	if got := files(t, f); len(got) != len(others)+1+2 {
		t.Errorf("the folder has %v", got)
	}
	if removed, err := f.Prune(); err != nil || len(removed) != 0 {
		t.Errorf("again: %v, %v", removed, err)
	}
	all, c2 := newFolder(t, 0)
	c2.at = c2.at.Add(time.Minute)
	if _, err := all.Take(writes("x"), reads("x")); err != nil {
		t.Fatal(err)
	}
	if removed, err := all.Prune(); err != nil || len(removed) != 0 {
		t.Errorf("where all are kept: %v, %v", removed, err)
	}
}

func TestSweepRemovesWhatWasLeftUnfinished(t *testing.T) {
	f, c := newFolder(t, 0)
	s, err := f.Take(writes("x"), reads("x"))
	if err != nil {
		t.Fatal(err)
	}
	base := "." + filepath.Base(s.Path)
	for name, age := range map[string]time.Duration{base + ".123.tmp": 61 * time.Minute, base + ".456.tmp": 59 * time.Minute, ".other.tmp": 48 * time.Hour} {
		path := filepath.Join(f.path, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, c.at, c.at.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sweep(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, f); !slices.Equal(got, []string{base + ".456.tmp", ".other.tmp", filepath.Base(s.Path)}) {
		t.Errorf("left: %v", got)
	}
}

func TestOpenSaysWhatIsInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, 0, time.Now); err == nil || !strings.Contains(err.Error(), "open the folder for snapshots") {
		t.Errorf("error %v", err)
	}
}
