package httpapi

import (
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// usage is what a datacenter has.
//
// Source: contract, status and operator, section 4.
type usage struct {
	Services                 int
	ServiceInstances         int
	ConnectServiceInstances  map[string]int
	BillableServiceInstances int
	Nodes                    int
}

// operatorUsage answers GET /v1/operator/usage. There is one datacenter, with ?global
// or without.
func (c *call) operatorUsage() error {
	return c.readTableSaying(askNodesServices, true, nil, func(v *fsm.View, seen tableSeen) (any, error) {
		if err := c.need(acl.ResourceOperator, acl.AccessRead, ""); err != nil {
			return nil, err
		}
		return struct {
			Usage                 map[string]usage
			Index                 uint64
			LastContact           time.Duration // nanoseconds
			KnownLeader           bool
			ConsistencyLevel      string
			NotModified           bool
			Backend               int
			ResultsFilteredByACLs bool
		}{
			Usage: map[string]usage{c.s.opts.Datacenter: countUsage(v.Catalog())},
			Index: seen.index, LastContact: seen.contact.LastContact, KnownLeader: seen.contact.KnownLeader,
			ConsistencyLevel: consistencyNames[seen.mode][0],
		}, nil
	})
}

func countUsage(view catalog.View) usage {
	u := usage{ConnectServiceInstances: map[string]int{ // of a service mesh, which this is not
		"api-gateway": 0, "connect-native": 0, "connect-proxy": 0, "ingress-gateway": 0, "mesh-gateway": 0, "terminating-gateway": 0,
	}}
	view.Nodes(func(*catalog.Node) bool {
		u.Nodes++
		return true
	})
	names := map[string]bool{}
	view.Services("", func(s *catalog.Service) bool {
		names[s.Name] = true
		u.ServiceInstances++
		if s.Name != SelfService {
			u.BillableServiceInstances++
		}
		return true
	})
	u.Services = len(names)
	return u
}
