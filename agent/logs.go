package agent

import (
	"io"

	"github.com/hashicorp/go-hclog"
)

// Logs is the root of all loggers of a server. Its level can be changed while it
// runs, and more sinks can listen (the monitor).
type Logs struct {
	root hclog.InterceptLogger
}

// NewLogs returns loggers that write to w.
func NewLogs(w io.Writer, level hclog.Level, json bool) *Logs {
	return &Logs{root: hclog.NewInterceptLogger(&hclog.LoggerOptions{
		Name: "holdfast", Level: level, JSONFormat: json, Output: w, SyncParentLevel: true,
	})}
}

// Named returns the logger of one part of the server.
func (l *Logs) Named(name string) hclog.Logger { return l.root.Named(name) }

// SetLevel changes the level of all loggers.
func (l *Logs) SetLevel(level hclog.Level) { l.root.SetLevel(level) }
