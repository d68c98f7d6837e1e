package httpapi

import (
	"strconv"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// healthCheck is a check of a node or of a service on it.
//
// Source: contract, catalog, section 3.
type healthCheck struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	Interval    string
	Timeout     string
	ExposedPort int
	Definition  definition
	CreateIndex uint64
	ModifyIndex uint64
}

// definition is a JSON object as the client sent it; empty is the empty object.
type definition string

// MarshalJSON implements json.Marshaler.
func (d definition) MarshalJSON() ([]byte, error) {
	if d == "" {
		return []byte("{}"), nil
	}
	return []byte(d), nil
}

// serviceHealth is an instance of a service with all that its health depends on.
type serviceHealth struct {
	Node    CatalogNode
	Service nodeService
	Checks  []healthCheck
}

// healthNode answers GET /v1/health/node/NODE.
func (c *call) healthNode() error {
	return c.readChecks(askChecks, "Missing node name", func(view catalog.View, visit func(*catalog.Check) bool) {
		view.Checks(c.arg, visit)
	})
}

// healthChecks answers GET /v1/health/checks/SERVICE: the service's own checks.
func (c *call) healthChecks() error {
	return c.readChecks(c.askChecksOfNodes(), "Missing service name", func(view catalog.View, visit func(*catalog.Check) bool) {
		view.ChecksOfService(c.arg, c.onNodes(view, visit))
	})
}

// healthState answers GET /v1/health/state/STATE. A word that is no state matches
// nothing.
func (c *call) healthState() error {
	return c.readChecks(c.askChecksOfNodes(), "Missing check state", func(view catalog.View, visit func(*catalog.Check) bool) {
		visit = c.onNodes(view, visit)
		view.Checks("", func(check *catalog.Check) bool {
			return c.arg != "any" && c.arg != check.Status || visit(check)
		})
	})
}

// readChecks answers with the checks that walk visits.
func (c *call) readChecks(ask tableQuestion, missing string, walk func(catalog.View, func(*catalog.Check) bool)) error {
	var keep *filter[healthCheck]
	return c.readTable(ask, true, c.withName(missing, readFilter(c, &keep)), func(v *fsm.View) (any, error) {
		checks := []healthCheck{}
		walk(v.Catalog(), func(check *catalog.Check) bool {
			if c.keepsRow(check.Node, check.ServiceName) {
				checks = append(checks, checkOf(check))
			}
			return true
		})
		return keep.of(checks)
	})
}

// askChecksOfNodes is the question about checks that may be limited by the metadata
// of their nodes.
func (c *call) askChecksOfNodes() tableQuestion {
	if c.every("node-meta") != nil {
		return askNodesChecks
	}
	return askChecks
}

// onNodes passes on only the checks of nodes with the metadata that is asked for.
func (c *call) onNodes(view catalog.View, visit func(*catalog.Check) bool) func(*catalog.Check) bool {
	meta := c.every("node-meta")
	if meta == nil {
		return visit
	}
	return func(check *catalog.Check) bool { return !nodeHasMeta(view, check.Node, meta) || visit(check) }
}

// healthService answers GET /v1/health/service/SERVICE: every instance with its
// node, and the checks of both.
func (c *call) healthService() error {
	var keep *filter[serviceHealth]
	var passing bool
	check := c.withName("Missing service name", func() (err error) {
		if passing, err = c.onlyPassing(); err != nil {
			return err
		}
		return readFilter(c, &keep)()
	})
	return c.readTable(askAll, true, check, func(v *fsm.View) (any, error) {
		view, tags, meta := v.Catalog(), c.every("tag"), c.every("node-meta")
		instances := []serviceHealth{}
		view.Instances(c.arg, func(s *catalog.Service) bool {
			n := view.Node(s.Node)
			if n == nil || !hasTags(s.Tags, tags) || !hasMeta(n.Meta, meta) || !c.keepsRow(n.Name, s.Name) {
				return true
			}
			checks := []healthCheck{}
			all := true
			add := func(check *catalog.Check) bool {
				all = all && check.Status == catalog.Passing
				checks = append(checks, checkOf(check))
				return true
			}
			view.ChecksOf(n.Name, "", add)
			view.ChecksOf(n.Name, s.ID, add)
			if all || !passing {
				instances = append(instances, serviceHealth{c.node(n), serviceOf(s), checks})
			}
			return true
		})
		return keep.of(instances)
	})
}

// onlyPassing reads ?passing, which is on without a value too.
//
// Source: contract, README, section 5.
func (c *call) onlyPassing() (bool, error) {
	value, ok := c.given("passing")
	if !ok || value == "" {
		return ok, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, badRequest("Invalid value for ?passing")
	}
	return on, nil
}

func checkOf(c *catalog.Check) healthCheck {
	h := healthCheck{
		Node: c.Node, CheckID: c.ID, Name: c.Name, Status: c.Status, Notes: c.Notes, Output: c.Output,
		ServiceID: c.ServiceID, ServiceName: c.ServiceName, ServiceTags: listOf(c.ServiceTags),
		Type: c.Type, Interval: c.Interval, Timeout: c.Timeout, Definition: definition(c.Definition),
		CreateIndex: c.CreateIndex, ModifyIndex: c.ModifyIndex,
	}
	if c.Type == catalog.TypeTTL {
		h.Interval, h.Timeout = "0s", "0s" // contract, agent, worked example 32
	}
	return h
}
