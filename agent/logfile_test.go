package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// clock is a clock that a test moves.
type clock struct{ t time.Time }

func testClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.t }

func (c *clock) add(d time.Duration) { c.t = c.t.Add(d) }

// folder reads all files of a folder.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

func writeLines(t *testing.T, l *logFile, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if n, err := l.Write([]byte(line)); err != nil || n != len(line) {
			t.Fatalf("write %q: %d, %v", line, n, err)
		}
	}
}

func mustOpen(t *testing.T, conf config.Log, c *clock) *logFile {
	t.Helper()
	l, err := openLogFile(conf, c.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestLogFileRotates(t *testing.T) {
	const second, third = "h-20260102T030505.000000000Z.log", "h-20260102T030605.000000000Z.log"
	for _, tc := range []struct {
		rule string
		conf config.Log
		want map[string]string // after "aaaa", "bbbb", "cccc", "dddd", a minute apart
	}{
		{"never when nothing is set", config.Log{}, map[string]string{"h.log": "aaaa\nbbbb\ncccc\ndddd\n"}},
		{"by size, without splitting a line", config.Log{RotateBytes: 7}, map[string]string{second: "aaaa\n", third: "bbbb\n", "h-20260102T030705.000000000Z.log": "cccc\n", "h.log": "dddd\n"}},
		{"a line larger than a file has one to itself", config.Log{RotateBytes: 1, RotateMaxFiles: 1}, map[string]string{"h-20260102T030705.000000000Z.log": "cccc\n", "h.log": "dddd\n"}},
		{"by age", config.Log{RotateDuration: 2 * time.Minute}, map[string]string{third: "aaaa\nbbbb\n", "h.log": "cccc\ndddd\n"}},
		{"all are kept when none is said", config.Log{RotateBytes: 12, RotateMaxFiles: 0}, map[string]string{third: "aaaa\nbbbb\n", "h.log": "cccc\ndddd\n"}},
		{"the newest are kept", config.Log{RotateBytes: 5, RotateMaxFiles: 2}, map[string]string{third: "bbbb\n", "h-20260102T030705.000000000Z.log": "cccc\n", "h.log": "dddd\n"}},
		{"none is kept", config.Log{RotateBytes: 5, RotateMaxFiles: -1}, map[string]string{"h.log": "dddd\n"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			dir, c := t.TempDir(), testClock()
			tc.conf.File = filepath.Join(dir, "h.log")
			l := mustOpen(t, tc.conf, c)
			for _, line := range []string{"aaaa\n", "bbbb\n", "cccc\n", "dddd\n"} {
				writeLines(t, l, line)
				c.add(time.Minute)
			}
			if diff := cmp.Diff(tc.want, folder(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLogFileLeavesOthersAlone(t *testing.T) {
	dir, c := t.TempDir(), testClock()
	others := []string{"h-notes.log", "h.log.1", "hh-20260102T030405.000000000Z.log", "h-20260102T030405.000000000Z.txt"}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := mustOpen(t, config.Log{File: filepath.Join(dir, "h.log"), RotateBytes: 1, RotateMaxFiles: -1}, c)
	writeLines(t, l, "a\n", "b\n")
	names := []string{}
	for name := range folder(t, dir) {
		names = append(names, name)
	}
	slices.Sort(names)
	want := append([]string{"h.log"}, others...)
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestLogFileIsAddedTo(t *testing.T) {
	dir, c := t.TempDir(), testClock()
	path := filepath.Join(dir, "h.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, c.now(), c.now().Add(-50*time.Minute)); err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, config.Log{File: path, RotateDuration: time.Hour}, c)
	writeLines(t, l, "young enough\n")
	c.add(11 * time.Minute)
	writeLines(t, l, "next\n")
	want := map[string]string{"h.log": "next\n", "h-20260102T031505.000000000Z.log": "before\nyoung enough\n"}
	if diff := cmp.Diff(want, folder(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestLogFileThatCannotBePutAwayIsGoneOnWith(t *testing.T) {
	dir, c := t.TempDir(), testClock()
	l := mustOpen(t, config.Log{File: filepath.Join(dir, "h.log"), RotateBytes: 12}, c)
	// A folder with something in it is in the way of the new name.
	if err := os.MkdirAll(filepath.Join(l.rotatedName(c.now()), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeLines(t, l, "one\n", "two\n")
	if _, err := l.Write([]byte("three\n")); err == nil || !strings.Contains(err.Error(), "put the log file away") {
		t.Errorf("error is %v", err)
	}
	writeLines(t, l, "four\n")
	if got := folder(t, dir)["h.log"]; got != "one\ntwo\nthree\nfour\n" {
		t.Errorf("file is %q: no line may be lost", got)
	}
}

func TestLogFileThatWasMovedAwayIsOpenedAgain(t *testing.T) {
	dir, c := t.TempDir(), testClock()
	path := filepath.Join(dir, "h.log")
	l := mustOpen(t, config.Log{File: path}, c)
	writeLines(t, l, "one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	writeLines(t, l, "two\n")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	writeLines(t, l, "three\n")
	want := map[string]string{"h.log.1": "one\ntwo\n", "h.log": "three\n"}
	if diff := cmp.Diff(want, folder(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Write([]byte("x")); err == nil {
		t.Error("a closed file takes lines")
	}
}

func TestLogFileThatCannotBeReopenedIsGoneOnWith(t *testing.T) {
	dir, c := t.TempDir(), testClock()
	path := filepath.Join(dir, "h.log")
	l := mustOpen(t, config.Log{File: path}, c)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil {
		t.Error("a folder was opened as the log file")
	}
	writeLines(t, l, "one\n")
	if got := folder(t, dir)["h.log.1"]; got != "one\n" {
		t.Errorf("the old file has %q", got)
	}
}
