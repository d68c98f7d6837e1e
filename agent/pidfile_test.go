package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/agent/config"
)

func TestPidFileLivesAsLongAsTheServer(t *testing.T) {
	cfg := testConfig()
	dir := t.TempDir()
	cfg.PidFile = filepath.Join(dir, "holdfast.pid")
	if err := os.WriteFile(cfg.PidFile, []byte("a stale one"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stop := startInMemory(t, Options{Loaded: &config.Loaded{Config: cfg}})
	if got := folder(t, dir); len(got) != 1 || got["holdfast.pid"] != strconv.Itoa(os.Getpid())+"\n" {
		t.Errorf("folder has %q", got)
	}
	if info, err := os.Stat(cfg.PidFile); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode is %v, %v: others must be able to read it", info.Mode(), err)
	}
	stop()
	if _, err := os.Stat(cfg.PidFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

func TestPidFileOfAnotherProcessStays(t *testing.T) {
	cfg := testConfig()
	cfg.PidFile = filepath.Join(t.TempDir(), "holdfast.pid")
	_, stop := startInMemory(t, Options{Loaded: &config.Loaded{Config: cfg}})
	if err := os.WriteFile(cfg.PidFile, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop()
	if got, err := os.ReadFile(cfg.PidFile); err != nil || string(got) != "1\n" {
		t.Errorf("file has %q, %v", got, err)
	}
}

func TestPidFileThatCannotBeWrittenStopsTheStart(t *testing.T) {
	cfg := testConfig()
	cfg.PidFile = filepath.Join(t.TempDir(), "missing", "holdfast.pid")
	a, err := New(Options{Loaded: &config.Loaded{Config: cfg}, Log: NewLogs(&logBuffer{}, hclog.Debug, false)})
	if err == nil || a != nil {
		t.Errorf("server %v, error %v", a, err)
	}
}
