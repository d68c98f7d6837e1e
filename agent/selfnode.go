package agent

import (
	"context"
	"fmt"
	"maps"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// serfHealth is the check that a default session is bound to, and consulService the
// service that every server is: clients look for both.
//
// Source: contract, catalog, its introduction.
const (
	serfHealth    = "serfHealth"
	consulService = "consul"
)

// registerSelf puts this server into the catalog, unless it stands there as it is. It
// is done before a leader serves, so that no client ever finds its node missing.
func (a *Agent) registerSelf(ctx context.Context) error {
	self := a.CatalogNode()
	cfg := a.config()
	want := catalog.Registration{
		Node: catalog.Node{
			ID: self.ID, Name: self.Node, Address: self.Address,
			TaggedAddresses: self.TaggedAddresses, Meta: self.Meta,
		},
		Service: &catalog.Service{ID: consulService, Name: consulService, Port: cfg.Ports.Server, PassingWeight: 1, WarningWeight: 1},
		Checks: []catalog.Check{{
			ID: serfHealth, Name: "Serf Health Status", Status: catalog.Passing, Output: "Agent alive and reachable",
		}},
	}
	if a.registered(&want) {
		return nil
	}
	res, err := a.Propose(ctx, &fsm.Command{Register: &want})
	if err != nil {
		return fmt.Errorf("register this server in the catalog: %w", err)
	}
	if res.Invalid != "" {
		return fmt.Errorf("register this server in the catalog: %s", res.Invalid)
	}
	return nil
}

// registered tells whether the catalog has what would be registered.
func (a *Agent) registered(want *catalog.Registration) bool {
	view := a.store.View().Catalog()
	n := view.Node(want.Node.Name)
	if n == nil || n.ID != want.Node.ID || n.Address != want.Node.Address ||
		!maps.Equal(n.TaggedAddresses, want.Node.TaggedAddresses) || !maps.Equal(n.Meta, want.Node.Meta) {
		return false
	}
	service, check := false, false
	view.Services(n.Name, func(s *catalog.Service) bool {
		service = service || s.ID == consulService && s.Port == want.Service.Port
		return true
	})
	view.Checks(n.Name, func(c *catalog.Check) bool {
		check = check || c.ID == serfHealth && c.Status == catalog.Passing
		return true
	})
	return service && check
}
