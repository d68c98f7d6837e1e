package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
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
		stop := false
		select {
		case <-tail.Ready():
			pause.Reset(monitorPause)
			select {
			case <-pause.C:
			case <-c.r.Context().Done():
				return errClientGone
			case <-c.s.draining:
				stop = true
			}
		case <-c.r.Context().Done():
			return errClientGone
		case <-c.s.draining:
			stop = true
		}
		if lines := tail.Take(); len(lines) > 0 {
			if err := out.send(lines); err != nil {
				return err
			}
		}
		if stop {
			return nil
		}
	}
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
	case "error":
		return hclog.Error, nil
	}
	return hclog.NoLevel, badRequest("Unknown log level: " + name)
}
