package agent

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// Logs is the root of all loggers of a server. Its level can be changed while it
// runs, and more sinks can listen (the monitor).
type Logs struct {
	root hclog.InterceptLogger
	file *logFile // nil when there is none

	tails   atomic.Int64  // followers that are open
	dropped atomic.Uint64 // lines that followers were too slow for
}

// NewLogs returns loggers that write to w.
//
// They share one level, which is atomic. The library can also give each its own and
// keep them in step, but reads that bookkeeping from several goroutines at once.
func NewLogs(w io.Writer, level hclog.Level, json bool) *Logs {
	return &Logs{root: hclog.NewInterceptLogger(&hclog.LoggerOptions{
		Name: "holdfast", Level: level, JSONFormat: json, Output: w,
	})}
}

// OpenLogs returns loggers as the configuration wants them: they write to w, and to
// a file if it names one.
func OpenLogs(w io.Writer, cfg *config.Config) (*Logs, error) {
	level := hclog.LevelFromString(cfg.Log.Level)
	if cfg.Log.File == "" {
		return NewLogs(w, level, cfg.Log.JSON), nil
	}
	file, err := openLogFile(cfg.Log, time.Now)
	if err != nil {
		return nil, err
	}
	logs := NewLogs(&tee{w: w, file: file}, level, cfg.Log.JSON)
	logs.file = file
	return logs, nil
}

// Named returns the logger of one part of the server.
func (l *Logs) Named(name string) hclog.Logger { return l.root.Named(name) }

// SetLevel changes the level of all loggers.
func (l *Logs) SetLevel(level hclog.Level) { l.root.SetLevel(level) }

// Reopen closes the log file and opens the one that has its name now, for tools
// that move log files away.
func (l *Logs) Reopen() error {
	if l.file == nil {
		return nil
	}
	return l.file.Reopen()
}

// Close closes the log file. What is logged afterwards goes to the writer alone.
func (l *Logs) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// tee writes to a file beside the writer. A file that cannot be written does not
// stop the log: it is said once, on the writer, until it works again.
type tee struct {
	w      io.Writer
	file   *logFile
	failed bool // hclog writes one line at a time
}

// Write writes one line to both.
func (t *tee) Write(line []byte) (int, error) {
	n, err := t.w.Write(line)
	switch _, fileErr := t.file.Write(line); {
	case fileErr == nil:
		t.failed = false
	case !t.failed && !errors.Is(fileErr, errLogFileClosed):
		t.failed = true
		_, _ = fmt.Fprintf(t.w, "holdfast: the log file cannot be written: %v\n", fileErr) // it is all we have
	}
	return n, err
}
