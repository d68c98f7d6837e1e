package httpapi

import (
	"net/http"
	"strings"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
)

// localHealth is a service of this server with what its health depends on.
//
// Source: contract, agent, section 5.
type localHealth struct {
	AggregatedStatus string
	Service          *localService
	Checks           []healthCheck
}

// underMaintenance is the status of a service that is, or whose node is, in
// maintenance mode.
const underMaintenance = "maintenance"

// severity orders states, from good to bad.
//
// Source: contract, catalog, section 3, "Aggregation".
var severity = map[string]int{catalog.Passing: 0, catalog.Warning: 1, catalog.Critical: 2, underMaintenance: 3}

// worst returns the worse of two states.
func worst(a, b string) string {
	if severity[b] > severity[a] {
		return b
	}
	return a
}

// agentHealthByID answers GET /v1/agent/health/service/id/ID.
func (c *call) agentHealthByID() error {
	if c.arg == "" {
		return errMissingServiceID
	}
	view, err := c.localView()
	if err != nil {
		return err
	}
	row := c.s.localService(view, c.arg)
	if row == nil {
		if err := c.knownHere(); err != nil {
			return err
		}
		c.status = http.StatusNotFound
		return c.health(catalog.Critical, localHealth{AggregatedStatus: catalog.Critical})
	}
	if err := c.needHere(acl.ResourceService, acl.AccessRead, row.Name); err != nil {
		return err
	}
	h := c.s.healthOf(view, row)
	c.status = statusOfHealth(h.AggregatedStatus)
	return c.health(h.AggregatedStatus, h)
}

// agentHealthByName answers GET /v1/agent/health/service/name/NAME: every instance
// of the service on this server, and the status of the worst.
func (c *call) agentHealthByName() error {
	if c.arg == "" {
		return badRequest("Missing service name")
	}
	view, err := c.localView()
	if err != nil {
		return err
	}
	if err := c.needHere(acl.ResourceService, acl.AccessRead, c.arg); err != nil {
		return err
	}
	instances, status := []localHealth{}, catalog.Passing
	c.s.localServices(view, func(row *catalog.Service) {
		if strings.EqualFold(row.Name, c.arg) && c.keeps(acl.ResourceService, row.Name) {
			h := c.s.healthOf(view, row)
			status = worst(status, h.AggregatedStatus)
			instances = append(instances, h)
		}
	})
	if c.status = statusOfHealth(status); len(instances) == 0 {
		c.status, status = http.StatusNotFound, catalog.Critical
	}
	return c.health(status, instances)
}

func (s *Server) healthOf(view catalog.View, row *catalog.Service) localHealth {
	service := s.localServiceOf(row)
	h := localHealth{AggregatedStatus: catalog.Passing, Service: &service, Checks: s.localChecksOf(view, row.ID)}
	for _, check := range h.Checks {
		status := check.Status
		if isMaintenance(check.CheckID) {
			status = underMaintenance
		}
		h.AggregatedStatus = worst(h.AggregatedStatus, status)
	}
	return h
}

func statusOfHealth(status string) int {
	switch status {
	case catalog.Passing:
		return http.StatusOK
	case catalog.Warning:
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

// health answers with the status c.status and with all there is to say, or with one
// word, as the client likes.
func (c *call) health(status string, all any) error {
	c.w.Header()["X-Consul-Reason"] = []string{status}
	if c.q.get(pFormat) == "text" || strings.HasPrefix(headerOf(c.r.Header, "Accept"), "text/plain") {
		c.write([]byte(status), typeRaw)
		return nil
	}
	return c.encode(all)
}
