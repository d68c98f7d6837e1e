package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/internal/backup"
)

// scheduled starts a server that keeps snapshots in a folder.
func scheduled(t *testing.T, path string, retain int) *inMemory {
	t.Helper()
	cfg := testConfig()
	cfg.Schedule = config.Schedule{Path: path, Interval: time.Hour, Retain: retain}
	m, _ := startInMemory(t, Options{Loaded: &config.Loaded{Config: cfg}})
	return m
}

func snapshotFiles(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestScheduledSnapshots: the first one comes by itself, the others are asked for here,
// since nobody waits an hour.
func TestScheduledSnapshots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "snapshots")
	m := scheduled(t, path, 2)
	deadline := time.After(20 * time.Second)
	for m.scheduled.taken.Load() == 0 {
		select {
		case <-deadline:
			t.Fatalf("no snapshot\n%s", m.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
	m.ask(t, "PUT", "/v1/kv/a", "1")
	for range 3 {
		if err := m.takeDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	files := snapshotFiles(t, path)
	if len(files) != 2 {
		t.Fatalf("kept %v, want 2", files)
	}
	f, err := os.Open(files[1])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if index, err := LoadArchive(f); err != nil || index != m.store.Applied() {
		t.Errorf("the newest one reaches %d, %v; want %d", index, err, m.store.Applied())
	}
	families := m.scrape(t)
	if got := value(t, families, "holdfast_snapshot_scheduled_total", "result", "done"); got != 4 {
		t.Errorf("%v snapshots are counted, want 4", got)
	}
	if got := value(t, families, "holdfast_snapshot_scheduled_last_success_timestamp_seconds"); time.Since(time.Unix(int64(got), 0)) > time.Minute {
		t.Errorf("the last one is of %v", got)
	}
	if due := m.firstDue(); due.Before(m.now().Add(50*time.Minute)) || due.After(m.now().Add(time.Hour)) {
		t.Errorf("after a restart the next one is due at %v", due)
	}
}

func TestScheduledSnapshotThatFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := scheduled(t, path, 2)
	deadline := time.After(20 * time.Second)
	for m.scheduled.failed.Load() == 0 {
		select {
		case <-deadline:
			t.Fatalf("no failure is counted\n%s", m.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if text := m.log.String(); !strings.Contains(text, "scheduled snapshot failed") || !strings.Contains(text, "not a directory") {
		t.Errorf("the log does not say so:\n%s", text)
	}
	if got := value(t, m.scrape(t), "holdfast_snapshot_scheduled_total", "result", "failed"); got < 1 {
		t.Errorf("%v failures are counted", got)
	}
}

func TestScheduledSnapshotEndsWithTheServer(t *testing.T) {
	path := t.TempDir()
	m, _ := startInMemory(t, Options{}) // takes none by itself
	folder, err := backup.Open(path, 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (untilDone{ctx, nil, strings.NewReader("x")}).Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	if err := m.takeScheduled(ctx, folder); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if left := snapshotFiles(t, path); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
