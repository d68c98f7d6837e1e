package httpapi

import (
	"context"
	"strings"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// Services and checks that clients register with this server (/v1/agent/service,
// /v1/agent/check) are rows of the replicated catalog, under the server's own node:
// everything there but the service and the check that the server itself has. So
// there is one state and not two that must be kept the same: what is registered is
// durable, in the catalog at once, and the same after a restart. The price is that a
// registration needs a leader, where one that is kept aside would wait for it; a
// report that changes nothing does not, see reportCheck.

// What a server registers for itself.
//
// Source: contract, catalog, the paragraph on what every server registers.
const (
	SelfService     = "consul" // its id and its name
	SelfCheck       = "serfHealth"
	SelfCheckName   = "Serf Health Status"
	SelfCheckOutput = "Agent alive and reachable"
)

// CheckTimers is the server as the keeper of the time of its TTL checks.
type CheckTimers interface {
	// HeardOfCheck begins the time of a check of this server anew. It returns when
	// that is certain: an expiry that was already under way is in the state then.
	HeardOfCheck(ctx context.Context, id string) error
}

// localView returns the local state, once this server has caught up with what was
// committed before it started. It asks no other server.
func (c *call) localView() (catalog.View, error) {
	if !c.returning {
		if _, err := c.s.node.ReadIndex(c.r.Context(), Stale); err != nil {
			return catalog.View{}, err
		}
	}
	return c.s.node.Store().View().Catalog(), nil
}

// commitLocal puts a change of this server's own rows through the log, and returns
// when it can be read here.
func (c *call) commitLocal(cmd *fsm.Command) error {
	index, err := c.commit(cmd)
	if err != nil {
		return err
	}
	return c.waitApplied(index)
}

// registerLocal registers a service, nil for none, and checks of this server's node.
// The node comes with them: whatever became of it, they stand on the right one.
func (c *call) registerLocal(s *catalog.Service, checks ...catalog.Check) error {
	self := c.s.opts.Agent.CatalogNode()
	return c.commitLocal(&fsm.Command{Register: &catalog.Registration{Node: self.Row(), Service: s, Checks: checks}})
}

func (c *call) deregisterLocal(serviceID, checkID string) error {
	return c.commitLocal(&fsm.Command{Deregister: &fsm.Deregistration{
		Node: c.s.opts.NodeName, ServiceID: serviceID, CheckID: checkID,
	}})
}

// localService returns the service of this server with that id; nil when there is
// none.
func (s *Server) localService(view catalog.View, id string) *catalog.Service {
	if id == SelfService {
		return nil
	}
	return view.Service(s.opts.NodeName, id)
}

// localServices calls visit for every service of this server.
func (s *Server) localServices(view catalog.View, visit func(*catalog.Service)) {
	view.Services(s.opts.NodeName, func(row *catalog.Service) bool {
		if row.ID != SelfService {
			visit(row)
		}
		return true
	})
}

// localCheck returns the check of this server with that id; nil when there is none.
func (s *Server) localCheck(view catalog.View, id string) *catalog.Check {
	if id == SelfCheck {
		return nil
	}
	return view.Check(s.opts.NodeName, id)
}

// localChecks calls visit for every check of this server.
func (s *Server) localChecks(view catalog.View, visit func(*catalog.Check)) {
	view.Checks(s.opts.NodeName, unlessSelf(visit))
}

// localChecksOf returns the checks that the health of a service of this server
// depends on: those of the node and its own.
func (s *Server) localChecksOf(view catalog.View, serviceID string) []healthCheck {
	checks := []healthCheck{}
	add := unlessSelf(func(row *catalog.Check) { checks = append(checks, localCheckOf(row)) })
	view.ChecksOf(s.opts.NodeName, "", add)
	view.ChecksOf(s.opts.NodeName, serviceID, add)
	return checks
}

func unlessSelf(visit func(*catalog.Check)) func(*catalog.Check) bool {
	return func(row *catalog.Check) bool {
		if row.ID != SelfCheck {
			visit(row)
		}
		return true
	}
}

// localCheckOf is a check as its own server shows it.
//
// Source: contract, agent, section 6: both indexes are 0.
func localCheckOf(row *catalog.Check) healthCheck {
	h := checkOf(row)
	h.CreateIndex, h.ModifyIndex = 0, 0
	return h
}

// Ids of the checks that maintenance mode adds.
//
// Source: contract, agent, section 4.
const (
	nodeMaintenance    = "_node_maintenance"
	serviceMaintenance = "_service_maintenance:" // and the id of the service
)

func isMaintenance(id string) bool {
	return id == nodeMaintenance || strings.HasPrefix(id, serviceMaintenance)
}
