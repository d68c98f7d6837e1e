package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestLevelHoldsForLoggersThatExist(t *testing.T) {
	var out bytes.Buffer
	logs := NewLogs(&out, hclog.Info, false)
	log := logs.Named("raft").With("peer", "b")
	log.Debug("before")
	logs.SetLevel(hclog.Debug)
	log.Debug("after")
	logs.SetLevel(hclog.Error)
	log.Warn("late")
	if got := out.String(); strings.Contains(got, "before") || !strings.Contains(got, "after") || strings.Contains(got, "late") {
		t.Errorf("log is\n%s", got)
	}
}

func TestOpenLogs(t *testing.T) {
	for _, tc := range []struct {
		rule, file, path string // as configured; where it must be; "" for none
		json             bool
		want             string
	}{
		{"no file", "", "", false, "[WARN]  holdfast.x: hello"},
		{"a file", "var/log/h.log", "var/log/h.log", false, "[WARN]  holdfast.x: hello"},
		{"a folder", "var/log/", "var/log/holdfast.log", false, "[WARN]  holdfast.x: hello"},
		{"JSON", "h", "h", true, `"@message":"hello"`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			dir := t.TempDir()
			cfg := testConfig()
			cfg.Log.Level, cfg.Log.JSON = "WARN", tc.json
			if tc.file != "" {
				cfg.Log.File = dir + "/" + tc.file
			}
			var out bytes.Buffer
			logs, err := OpenLogs(&out, cfg)
			if err != nil {
				t.Fatal(err)
			}
			logs.Named("x").Warn("hello")
			logs.Named("x").Info("too little")
			if err := logs.Close(); err != nil {
				t.Fatal(err)
			}
			logs.Named("x").Warn("after the end")
			if got := out.String(); !strings.Contains(got, tc.want) || strings.Contains(got, "too little") || !strings.Contains(got, "after the end") || strings.Contains(got, "cannot be written") {
				t.Errorf("output is\n%s", got)
			}
			if tc.path == "" {
				return
			}
			got, err := os.ReadFile(filepath.Join(dir, tc.path))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(got), tc.want) || strings.Contains(string(got), "after the end") {
				t.Errorf("file is\n%s", got)
			}
		})
	}
}

func TestLogFileThatCannotBeOpenedIsAnErrorAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.Log.File = filepath.Join(path, "x.log")
	if _, err := OpenLogs(&bytes.Buffer{}, cfg); err == nil {
		t.Error("a log file below a file was opened")
	}
}

func TestLogGoesOnWithoutItsFileAndSaysSoOnce(t *testing.T) {
	file := &logFile{path: filepath.Join(t.TempDir(), "gone", "x.log"), now: testClock().now}
	var out bytes.Buffer
	w := &tee{w: &out, file: file}
	for _, line := range []string{"one\n", "two\n"} {
		if n, err := w.Write([]byte(line)); err != nil || n != len(line) {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if got := out.String(); !strings.HasPrefix(got, "one\nholdfast: the log file cannot be written: ") || strings.Count(got, "cannot be written") != 1 || !strings.HasSuffix(got, "two\n") {
		t.Errorf("output is\n%s", got)
	}
}
