package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/holdfast-kv/holdfast/internal/version"
)

// Check is one thing that a server needs to serve.
type Check struct {
	Name   string
	OK     bool
	Reason string // one line: how it stands, or what is wrong
}

// livez answers GET /livez: the process turns. It asks nothing of the cluster, for
// a restart mends nothing there.
func (c *call) livez() error {
	c.w.Header()["Cache-Control"] = noStore
	c.text(http.StatusOK, "ok\n")
	return nil
}

// readyz answers GET /readyz: 200 when this server can serve, else 503. With
// ?verbose it says how each check stands; ?exclude=NAME leaves one out, for
// instance disk on a probe that should keep a read-only server in service.
func (c *call) readyz() error {
	excluded := c.every("exclude")
	status, last := http.StatusOK, "ok\n"
	verdict := "readyz check passed\n"
	var lines strings.Builder
	for _, check := range c.s.checks() {
		switch {
		case slices.Contains(excluded, check.Name):
			lines.WriteString("[+]" + check.Name + " excluded: ok\n")
		case check.OK:
			lines.WriteString("[+]" + check.Name + " ok: " + check.Reason + "\n")
		default:
			lines.WriteString("[-]" + check.Name + " failed: " + check.Reason + "\n")
			status, last, verdict = http.StatusServiceUnavailable, "not ready\n", "readyz check failed\n"
		}
	}
	if c.q.has(pVerbose) {
		last = lines.String() + verdict
	}
	c.w.Header()["Cache-Control"] = noStore
	c.text(status, last)
	return nil
}

// checks are the agent's and our own.
func (s *Server) checks() []Check {
	serving := Check{Name: "serving", OK: true, Reason: "requests are taken"}
	if s.drained.Load() {
		serving.OK, serving.Reason = false, "the server is stopping"
	}
	return append([]Check{serving}, s.opts.Agent.Checks()...)
}

// indexPage answers GET /: what this is, and how to begin.
func (c *call) indexPage() error {
	host := c.r.Host
	if host == "" {
		host = "127.0.0.1:8500"
	}
	c.text(http.StatusOK, "Holdfast "+version.Version+`: a configuration store that services hold on to.

The API is below /v1/, as Consul's clients speak it. To begin:

  curl -X PUT -d hello http://`+host+`/v1/kv/app/motd
  curl http://`+host+`/v1/kv/app/motd?raw

Or with the command line: holdfast kv put app/motd hello

  /readyz?verbose    is this server ready, and if not, why
  /v1/agent/self     this server
  /metrics           what it measures, for Prometheus
`)
	return nil
}
