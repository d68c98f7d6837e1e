//go:build unix

package logstore

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	writerDir     = "LOGSTORE_TEST_WRITER_DIR"
	writerBackend = "LOGSTORE_TEST_WRITER_BACKEND"
)

// TestWriterProcess is the process that TestKilled kills: it stores batches and
// says so on its output as soon as each is acknowledged.
func TestWriterProcess(t *testing.T) {
	dir := os.Getenv(writerDir)
	if dir == "" {
		t.Skip("only run by TestKilled")
	}
	o := Options{Backend: os.Getenv(writerBackend), SegmentBytes: 4 << 10, NoSync: true}
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stable().SetUint64([]byte(keyTerm), 2); err != nil {
		t.Fatal(err)
	}
	last, _ := s.LastIndex()
	for {
		n := 1 + last%17
		if err := s.StoreLogs(entries(last+1, last+n)); err != nil {
			t.Fatal(err)
		}
		last += n
		fmt.Printf("stored %d\n", last)
		if first, _ := s.FirstIndex(); last > first+400 {
			makeSnapshot(t, s, last)
			if err := s.DeleteRange(1, last-100); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A process that is killed at any moment, changes of segments, snapshots and
// compactions included, leaves every acknowledged entry, and a log that opens
// without a complaint.
func TestKilled(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	forBackends(t, func(t *testing.T, backend string) {
		dir := filepath.Join(t.TempDir(), "raft")
		for round := range rounds {
			acked := killWriter(t, dir, backend, 40+round*37)
			s, err := Open(dir, Options{SegmentBytes: 4 << 10, NoSync: true, Initialised: true})
			if err != nil {
				t.Fatalf("round %d, after entry %d: %v", round, acked, err)
			}
			first, _ := s.FirstIndex()
			last, _ := s.LastIndex()
			if last < acked {
				t.Fatalf("round %d: the log ends with %d, but %d was acknowledged", round, last, acked)
			}
			mustHold(t, s, first, last)
			mustClose(t, s)
		}
	})
}

// killWriter runs the process above until it has said so many lines, kills it and
// returns the last entry it acknowledged.
func killWriter(t *testing.T, dir, backend string, lines int) (acked uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestWriterProcess$")
	cmd.Env = append(os.Environ(), writerDir+"="+dir, writerBackend+"="+backend)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	for n := 0; in.Scan(); n++ {
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		number, ok := strings.CutPrefix(in.Text(), "stored ")
		if !ok {
			t.Log(in.Text())
			continue
		}
		if acked, err = strconv.ParseUint(number, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait() // it was killed
	if acked == 0 {
		t.Fatal("nothing was stored")
	}
	return acked
}
