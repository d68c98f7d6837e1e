package httpapi

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/holdfast-kv/holdfast/acl"
)

var (
	typePrometheus  = []string{"text/plain; version=0.0.4; charset=utf-8"}
	typeOpenMetrics = []string{"application/openmetrics-text; version=1.0.0; charset=utf-8"}
	noStore         = []string{"no-store"}
)

// agentMetrics answers GET /v1/agent/metrics: the last complete interval, or the
// Prometheus text for who asks for that.
//
// Source: contract, agent, section 3 and "Where Holdfast should differ" 1 and 2.
func (c *call) agentMetrics() error {
	if c.q.get(pFormat) == "prometheus" || acceptsPrometheus(c.r.Header) {
		return c.metricsText(false)
	}
	if err := c.needAgent(acl.AccessRead); err != nil {
		return err
	}
	c.json(c.s.opts.Agent.Metrics().Interval())
	return nil
}

// metricsPage answers GET /metrics, where scrapers look when nobody tells them.
func (c *call) metricsPage() error {
	return c.metricsText(accepts(c.r.Header, "application/openmetrics-text", nil))
}

func (c *call) metricsText(openMetrics bool) error {
	if err := c.needAgent(acl.AccessRead); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := c.s.opts.Agent.Metrics().WriteText(&text, openMetrics); err != nil {
		return err
	}
	if openMetrics {
		c.write(text.Bytes(), typeOpenMetrics)
	} else {
		c.write(text.Bytes(), typePrometheus)
	}
	return nil
}

// acceptsPrometheus tells whether the Accept header names a format of Prometheus.
// A bare text/plain does not: it is what a browser or curl sends.
func acceptsPrometheus(h http.Header) bool {
	return accepts(h, "application/openmetrics-text", nil) ||
		accepts(h, "text/plain", []string{"0.0.4", "0.4.0"}) // the second is a slip that clients copied
}

// accepts tells whether Accept names a media type, in one of the given versions
// if there are any.
func accepts(h http.Header, mediaType string, versions []string) bool {
	for _, line := range h["Accept"] {
		for entry := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(entry, ";")
			if !strings.EqualFold(strings.TrimSpace(name), mediaType) {
				continue
			}
			if versions == nil {
				return true
			}
			for p := range strings.SplitSeq(params, ";") {
				for _, v := range versions {
					if strings.EqualFold(strings.TrimSpace(p), "version="+v) {
						return true
					}
				}
			}
		}
	}
	return false
}

// agentMetricsStream answers GET /v1/agent/metrics/stream: one indented object for
// each interval, until the client goes or the server stops.
//
// Source: contract, agent, section 3.
func (c *call) agentMetricsStream() error {
	if err := c.needAgent(acl.AccessRead); err != nil {
		return err
	}
	metrics := c.s.opts.Agent.Metrics()
	next := metrics.Next()
	out, err := c.stream("application/json")
	if err != nil {
		return err
	}
	defer out.close()
	if c.r.Method == http.MethodHead {
		return nil
	}
	for {
		due, again := c.untilDue(next)
		if !again {
			return nil
		}
		if err := c.still(); err != nil {
			out.refuse(err, true)
			return nil
		}
		if !due {
			continue
		}
		next = metrics.Next()
		if !out.send(indent(metrics.Interval())) {
			return nil
		}
	}
}
