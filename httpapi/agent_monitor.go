package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/acl"
)

// monitorPause is how long lines gather before they are sent, so that a burst
// costs one packet rather than one for each line.
//
// Source: contract, agent, section 3: at most 200 ms.
const monitorPause = 50 * time.Millisecond

// agentMonitor answers GET /v1/agent/monitor: the log from now on, until the
// client goes or the server stops.
//
// Source: contract, agent, section 3, and "Where Holdfast should differ" 6.
func (c *call) agentMonitor() error {
	level, err := logLevel(c.q.get(pLogLevel))
	if err != nil {
		return err
	}
	if err := c.needAgent(acl.AccessRead); err != nil {
		return err
	}
	contentType := "text/plain; charset=utf-8"
	if c.q.has(pLogJSON) {
		contentType = "application/x-ndjson"
	}
	// Before the headers: who has them may count on all that is logged from then on.
	tail := c.s.opts.Agent.TailLog(level, c.q.has(pLogJSON))
	defer tail.Close()
	out, err := c.stream(contentType)
	if err != nil {
		return err
	}
	defer out.close()
	if c.r.Method == http.MethodHead {
		return nil
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		again := c.untilLogged(tail, pause)
		if err := c.still(); err != nil {
			out.refuse(err, c.q.has(pLogJSON))
			return nil
		}
		if lines := tail.Take(); len(lines) > 0 && !out.send(lines) {
			return nil
		}
		if !again {
			return nil
		}
	}
}

// untilLogged waits until there are lines to send and a little longer. It tells
// whether more may follow.
func (c *call) untilLogged(tail LogTail, pause *time.Timer) bool {
	if due, again := c.untilDue(tail.Ready()); !due {
		return again
	}
	pause.Reset(monitorPause)
	select {
	case <-pause.C:
		return true
	case <-c.r.Context().Done():
	case <-c.s.draining:
	}
	return false
}

// logLevel reads ?loglevel.
func logLevel(name string) (hclog.Level, error) {
	switch strings.ToLower(name) {
	case "trace":
		return hclog.Trace, nil
	case "debug":
		return hclog.Debug, nil
	case "", "info":
		return hclog.Info, nil
	case "warn":
		return hclog.Warn, nil
	case "error", "err": // the latter is what existing clients offer
		return hclog.Error, nil
	}
	return hclog.NoLevel, badRequest("Unknown log level: " + name)
}
