package datadir

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mustOpen opens path and closes it when the test ends.
func mustOpen(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// mustRefuse opens path and wants one sentence that says all of want.
func mustRefuse(t *testing.T, path string, want ...string) {
	t.Helper()
	d, err := Open(path, Options{})
	if err == nil {
		t.Error(d.Close())
		t.Fatalf("%s was opened, want a refusal that says %q", path, want)
	}
	mustSay(t, err, want...)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Do == "" {
		t.Errorf("%v: not a RefusedError that says what to do", err)
	}
}

func mustSay(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error = %q, want it to say %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q is more than one line", err)
	}
}

func TestOpenMakesAClosedFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "srv", "holdfast")
	d := mustOpen(t, path)
	for name, mode := range map[string]fs.FileMode{
		"": 0o700 | fs.ModeDir, "raft": 0o700 | fs.ModeDir, "lock": 0o600, "layout": 0o600,
	} {
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode() != mode {
			t.Errorf("%q has mode %v, want %v", name, info.Mode(), mode)
		}
	}
	if d.Path() != path || d.RaftDir() != filepath.Join(path, "raft") {
		t.Errorf("path = %s, raft = %s", d.Path(), d.RaftDir())
	}
	if d.Initialised() {
		t.Error("a new data dir claims to have been used")
	}
}

func TestOpenTakesAwayWhatOthersMayDo(t *testing.T) {
	for _, mode := range []fs.FileMode{0o755, 0o777, 0o750, 0o500} {
		path := t.TempDir()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		d, err := Open(path, Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
		if err != nil {
			t.Errorf("mode %#o: %v", mode, err)
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("mode %#o became %#o, want 0700", mode, info.Mode().Perm())
		}
		if want := "0" + strconv.FormatUint(uint64(mode), 8); !strings.Contains(log.String(), want) {
			t.Errorf("log %q does not say that the mode was %s", log.String(), want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefusesAnotherOwner(t *testing.T) {
	path := t.TempDir()
	err := checkFolder(path, os.Geteuid()+7, hclog.NewNullLogger())
	mustSay(t, err, "data dir "+path, "belongs to", "uid "+strconv.Itoa(os.Geteuid()), "uid "+strconv.Itoa(os.Geteuid()+7), "chown -R")
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v is not a permission error", err)
	}
}

func TestOpenRefusesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, path, path, "is a file, not a folder")
	mustRefuse(t, filepath.Join(path, "below"), path, "not a directory")
}

func TestSecondOpenNamesTheHolder(t *testing.T) {
	path := t.TempDir()
	d, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(path, Options{})
	mustSay(t, err, path, "pid "+strconv.Itoa(os.Getpid()), "stop it first")
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("error = %#v, want a LockedError with our pid", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	mustOpen(t, path)
}

func TestHolderThatHasNotWrittenItsPID(t *testing.T) {
	path := t.TempDir()
	f, err := os.Create(filepath.Join(path, lockName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := tryLock(f); err != nil {
		t.Fatal(err)
	}
	_, err = Open(path, Options{})
	mustSay(t, err, "in use by another process")
}

func TestALockFileLeftBehindKeepsNobodyOut(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, lockName), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path)
}

func TestLayout(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		layout string
		want   []string // nil: opens
	}{
		{"our own number opens", "1\n", nil},
		{"space around it does not matter", " 1 ", nil},
		{"a newer one is refused", "2\n", []string{"newer version", "layout 2"}},
		{"an emptied file was emptied by somebody else", "", []string{"layout does not hold", "write 1 into it"}},
		{"so was one that holds anything else", "one", []string{"layout does not hold", "write 1 into it"}},
		{"zero is no layout", "0", []string{"layout does not hold"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			path := t.TempDir()
			if err := os.WriteFile(filepath.Join(path, layoutName), []byte(tc.layout), 0o600); err != nil {
				t.Fatal(err)
			}
			if tc.want == nil {
				mustOpen(t, path)
			} else {
				mustRefuse(t, path, tc.want...)
			}
		})
	}
}

func TestAFolderOfAnotherProgramIsLeftAlone(t *testing.T) {
	for _, name := range []string{"raft", "node-id", "initialised"} {
		path := t.TempDir()
		if err := os.Mkdir(filepath.Join(path, name), 0o700); err != nil {
			t.Fatal(err)
		}
		mustRefuse(t, path, "holds "+name, "belongs to another program", "choose another data_dir")
		if _, err := os.Stat(filepath.Join(path, layoutName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a refused folder got a layout file: %v", err)
		}
	}
	path := t.TempDir()
	if err := os.Mkdir(filepath.Join(path, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path) // a fresh file system is not another program
}

func TestAnEmptiedDataDirIsNotMadeNewAgain(t *testing.T) {
	path := t.TempDir()
	d := mustOpen(t, path)
	if err := d.MarkInitialised(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(d.RaftDir()); err != nil {
		t.Fatal(err)
	}
	d = mustOpen(t, path)
	if !d.Initialised() {
		t.Error("the marker is gone")
	}
	if _, err := os.Stat(d.RaftDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lost raft folder was made again (%v); logstore could not tell", err)
	}
}

func TestAnEmptiedMarkerStillCounts(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	if err := os.WriteFile(filepath.Join(d.Path(), initialisedName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !d.Initialised() {
		t.Error("an emptied marker reads as a new data dir")
	}
}

func TestWriteFileReplacesAndLeavesNothingBeside(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	for _, content := range []string{"first, and longer", "second"} {
		if err := d.WriteFile("note", []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(d.Path(), "note"))
		if err != nil || string(got) != content {
			t.Errorf("read %q, %v, want %q", got, err, content)
		}
	}
	left, err := filepath.Glob(filepath.Join(d.Path(), "*"+tempSuffix))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWriteFileKeepsTheOldContentWhenItFails(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	if err := d.WriteFile("note", []byte("old")); err != nil {
		t.Fatal(err)
	}
	// A folder in the way of the temporary file makes the write fail before the
	// rename, as a full disk would.
	if err := os.MkdirAll(filepath.Join(d.Path(), "note"+tempSuffix, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteFile("note", []byte("new")); err == nil {
		t.Error("the write did not fail")
	}
	if got, err := os.ReadFile(filepath.Join(d.Path(), "note")); err != nil || string(got) != "old" {
		t.Errorf("read %q, %v, want the old content", got, err)
	}
}

func TestWriteFileTakesOnlyNamesOfTheDataDir(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/etc/x", ".hidden", "x.tmp"} {
		if err := d.WriteFile(name, nil); err == nil {
			t.Errorf("%q was written", name)
		}
	}
}

func TestOpenRemovesHalfWrittenFiles(t *testing.T) {
	path := t.TempDir()
	left := filepath.Join(path, "node-id"+tempSuffix)
	if err := os.WriteFile(left, []byte("3f6c"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	for _, tc := range []struct {
		rule string
		err  error
		want []string
	}{
		{"read-only", &fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, []string{"read-only file system", "remount it read-write"}},
		{"full", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, []string{"full disk", "free)", "free some space"}},
		{"quota", syscall.EDQUOT, []string{"quota", "raise the limit"}},
		{"forbidden", syscall.EACCES, []string{"no permission to write to it", "choose another data_dir"}},
		{"anything else", syscall.EIO, []string{"write to it: input/output error"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			err := refuse(t.TempDir(), "write to it", tc.err)
			mustSay(t, err, tc.want...)
			if !errors.Is(err, tc.err) {
				t.Errorf("%v lost its cause", err)
			}
		})
	}
}
