package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// snapshotFigures are the metrics of "snapshot agent", for a collector of text files.
type snapshotFigures struct {
	path string // empty: nobody wants them

	active    bool // takes snapshots, rather than waiting for the lock
	successes uint64
	failures  uint64
	at        time.Time // of the last success; zero: there was none
	last      takenSnapshot
}

// took notes a success.
func (f *snapshotFigures) took(at time.Time, taken takenSnapshot) {
	f.successes++
	f.at, f.last = at, taken
}

// text is the file. Every series is there from the start.
func (f *snapshotFigures) text() []byte {
	var b bytes.Buffer
	series := func(name, kind, help string, value any) {
		name = "holdfast_snapshot_agent_" + name
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s %v\n", name, help, name, kind, name, value)
	}
	var active, at int64
	if f.active {
		active = 1
	}
	if !f.at.IsZero() {
		at = f.at.Unix()
	}
	series("active", "gauge", "1 while it takes snapshots, 0 while another does.", active)
	series("successes_total", "counter", "Snapshots taken and checked.", f.successes)
	series("failures_total", "counter", "Snapshots that failed.", f.failures)
	series("last_success_timestamp_seconds", "gauge", "When the last snapshot was taken, as Unix time; 0 before there is one.", at)
	series("last_duration_seconds", "gauge", "How long it took, the check included.", f.last.Seconds)
	series("last_bytes", "gauge", "Its size.", f.last.Size)
	series("last_index", "gauge", "Index of the log that it reaches.", f.last.Index)
	return b.Bytes()
}

// write replaces the file, so that whoever reads it finds all of the old or all of the
// new one.
func (f *snapshotFigures) write() (err error) {
	if f.path == "" {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(f.path), "."+filepath.Base(f.path)+".*")
	if err != nil {
		return fmt.Errorf("write the metrics file: %w", err)
	}
	_, err = file.Write(f.text())
	// Another user collects it, and there is nothing secret in it.
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the error before it is the one that matters
		return fmt.Errorf("write the metrics file: %w", err)
	}
	return nil
}
