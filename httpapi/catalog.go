package httpapi

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// CatalogNode is a node of the catalog.
//
// Source: contract, catalog, section 2.
type CatalogNode struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	CreateIndex     uint64
	ModifyIndex     uint64
}

// Row is the node as the state keeps it; its indexes are the state's business.
func (n *CatalogNode) Row() catalog.Node {
	return catalog.Node{
		ID: n.ID, Name: n.Node, Address: n.Address, TaggedAddresses: n.TaggedAddresses, Meta: n.Meta,
	}
}

// nodeService is a service as it is shown with its node.
//
// Source: contract, catalog, section 2.
type nodeService struct {
	ID                string
	Service           string
	Tags              []string
	Address           string
	TaggedAddresses   map[string]serviceAddress `json:",omitempty"`
	Meta              map[string]string
	Port              int `json:",omitempty"`
	Weights           serviceWeights
	EnableTagOverride bool
	Proxy             serviceProxy
	Connect           nothing
	PeerName          string
	CreateIndex       uint64
	ModifyIndex       uint64
}

// serviceInstance is a service as it is shown by itself, with its node.
//
// Source: contract, catalog, section 2.
type serviceInstance struct {
	ID                       string
	Node                     string
	Address                  string
	Datacenter               string
	TaggedAddresses          map[string]string
	NodeMeta                 map[string]string
	ServiceKind              string
	ServiceID                string
	ServiceName              string
	ServiceTags              []string
	ServiceAddress           string
	ServiceTaggedAddresses   map[string]serviceAddress `json:",omitempty"`
	ServiceWeights           serviceWeights
	ServiceMeta              map[string]string
	ServicePort              int
	ServiceSocketPath        string
	ServiceEnableTagOverride bool
	ServiceProxy             serviceProxy
	ServiceConnect           nothing
	ServiceLocality          *nothing
	CreateIndex              uint64
	ModifyIndex              uint64
}

type serviceAddress struct {
	Address string
	Port    int
}

type serviceWeights struct{ Passing, Warning int }

// serviceProxy and nothing stand for what belongs to a service mesh. Holdfast is
// none; clients want the fields to be there.
type serviceProxy struct {
	Mode        string
	MeshGateway nothing
	Expose      nothing
}

type nothing struct{}

// What is read of the catalog, by the tables that the answer is made of.
var (
	askNodes    = tableQuestion{topic: fsm.TopicNodes, index: func(v *fsm.View) uint64 { n, _, _ := v.CatalogIndexes(); return n }}
	askServices = tableQuestion{topic: fsm.TopicServices, index: func(v *fsm.View) uint64 { _, s, _ := v.CatalogIndexes(); return s }}
	askChecks   = tableQuestion{topic: fsm.TopicChecks, index: func(v *fsm.View) uint64 { _, _, c := v.CatalogIndexes(); return c }}

	askNodesServices = tableQuestion{topic: fsm.TopicCatalog, index: func(v *fsm.View) uint64 { n, s, _ := v.CatalogIndexes(); return max(n, s) }}
	askNodesChecks   = tableQuestion{topic: fsm.TopicCatalog, index: func(v *fsm.View) uint64 { n, _, c := v.CatalogIndexes(); return max(n, c) }}
	askAll           = tableQuestion{topic: fsm.TopicCatalog, index: func(v *fsm.View) uint64 { n, s, c := v.CatalogIndexes(); return max(n, s, c) }}
)

var consistencyNames = map[Mode][]string{Default: {"leader"}, Consistent: {"consistent"}, Stale: {"stale"}}

// catalogDatacenters answers GET /v1/catalog/datacenters. It has no query headers.
func (c *call) catalogDatacenters() error {
	if _, err := c.consistency(); err != nil {
		return err
	}
	if err := checkCacheControl(c.r.Header); err != nil {
		return err
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	return c.encode([]string{c.s.opts.Datacenter})
}

// catalogNodes answers GET /v1/catalog/nodes. ?near has nothing to sort by.
func (c *call) catalogNodes() error {
	var keep *filter[CatalogNode]
	return c.readTable(askNodes, true, readFilter(c, &keep), func(v *fsm.View) (any, error) {
		meta := c.every("node-meta")
		nodes := []CatalogNode{}
		v.Catalog().Nodes(func(n *catalog.Node) bool {
			if hasMeta(n.Meta, meta) && c.keeps(acl.ResourceNode, n.Name) {
				nodes = append(nodes, c.node(n))
			}
			return true
		})
		return keep.of(nodes)
	})
}

// catalogServices answers GET /v1/catalog/services: every tag of every name.
func (c *call) catalogServices() error {
	meta := c.every("node-meta")
	ask := askServices
	if meta != nil {
		ask = askNodesServices
	}
	return c.readTable(ask, true, nil, func(v *fsm.View) (any, error) {
		view := v.Catalog()
		tags := map[string]map[string]bool{}
		view.Services("", func(s *catalog.Service) bool {
			if meta != nil && !nodeHasMeta(view, s.Node, meta) {
				return true
			}
			if !c.keeps(acl.ResourceService, s.Name) || meta != nil && !c.keeps(acl.ResourceNode, s.Node) {
				return true
			}
			if tags[s.Name] == nil {
				tags[s.Name] = map[string]bool{}
			}
			for _, t := range s.Tags {
				tags[s.Name][t] = true
			}
			return true
		})
		answer := make(map[string][]string, len(tags))
		for name, set := range tags {
			answer[name] = listOf(slices.Sorted(maps.Keys(set)))
		}
		return answer, nil
	})
}

// catalogService answers GET /v1/catalog/service/NAME.
func (c *call) catalogService() error {
	var keep *filter[serviceInstance]
	check := c.withName("Missing service name", readFilter(c, &keep))
	return c.readTable(askNodesServices, true, check, func(v *fsm.View) (any, error) {
		view, tags, meta := v.Catalog(), c.every("tag"), c.every("node-meta")
		instances := []serviceInstance{}
		view.Instances(c.arg, func(s *catalog.Service) bool {
			n := view.Node(s.Node)
			if n != nil && hasTags(s.Tags, tags) && hasMeta(n.Meta, meta) && c.keepsRow(n.Name, s.Name) {
				instances = append(instances, c.instance(n, s))
			}
			return true
		})
		return keep.of(instances)
	})
}

// catalogNode answers GET /v1/catalog/node/NODE: null when there is no such node.
// Then the index is that of the tables, so that a client can wait for the node.
//
// Source: contract, catalog, section 2 and "Where Holdfast should differ" 2.
func (c *call) catalogNode() error {
	var keep *filter[nodeService]
	check := c.withName("Missing node name", readFilter(c, &keep))
	return c.readTable(askNodesServices, true, check, func(v *fsm.View) (any, error) {
		n, services, err := c.servicesOf(v, keep)
		if n == nil || err != nil {
			return nil, err
		}
		byID := make(map[string]nodeService, len(services))
		for _, s := range services {
			byID[s.ID] = s
		}
		return struct {
			Node     *CatalogNode
			Services map[string]nodeService
		}{n, byID}, nil
	})
}

// catalogNodeServices answers GET /v1/catalog/node-services/NODE.
func (c *call) catalogNodeServices() error {
	var keep *filter[nodeService]
	check := c.withName("Missing node name", readFilter(c, &keep))
	return c.readTable(askNodesServices, true, check, func(v *fsm.View) (any, error) {
		n, services, err := c.servicesOf(v, keep)
		return struct {
			Node     *CatalogNode
			Services []nodeService
		}{n, services}, err
	})
}

// servicesOf returns the node that the path names, nil when there is none, and the
// services on it.
func (c *call) servicesOf(v *fsm.View, keep *filter[nodeService]) (*CatalogNode, []nodeService, error) {
	view := v.Catalog()
	row := view.Node(c.arg)
	if row == nil || !c.keeps(acl.ResourceNode, row.Name) {
		return nil, nil, nil
	}
	n, services := c.node(row), []nodeService{}
	view.Services(row.Name, func(s *catalog.Service) bool {
		if c.keeps(acl.ResourceService, s.Name) {
			services = append(services, serviceOf(s))
		}
		return true
	})
	services, err := keep.of(services)
	return &n, services, err
}

func (c *call) node(n *catalog.Node) CatalogNode {
	return CatalogNode{
		ID: n.ID, Node: n.Name, Address: n.Address, Datacenter: c.s.opts.Datacenter,
		TaggedAddresses: n.TaggedAddresses, Meta: n.Meta, CreateIndex: n.CreateIndex, ModifyIndex: n.ModifyIndex,
	}
}

func (c *call) instance(n *catalog.Node, s *catalog.Service) serviceInstance {
	return serviceInstance{
		ID: n.ID, Node: n.Name, Address: n.Address, Datacenter: c.s.opts.Datacenter,
		TaggedAddresses: n.TaggedAddresses, NodeMeta: n.Meta,
		ServiceID: s.ID, ServiceName: s.Name, ServiceTags: listOf(s.Tags), ServiceAddress: s.Address,
		ServiceTaggedAddresses: taggedAddresses(s), ServiceWeights: serviceWeights{s.PassingWeight, s.WarningWeight},
		ServiceMeta: mapOf(s.Meta), ServicePort: s.Port, ServiceEnableTagOverride: s.EnableTagOverride,
		CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex,
	}
}

func serviceOf(s *catalog.Service) nodeService {
	return nodeService{
		ID: s.ID, Service: s.Name, Tags: listOf(s.Tags), Address: s.Address, TaggedAddresses: taggedAddresses(s),
		Meta: s.Meta, Port: s.Port, Weights: serviceWeights{s.PassingWeight, s.WarningWeight},
		EnableTagOverride: s.EnableTagOverride, CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex,
	}
}

// listOf is a list as the wire shows one that may be empty but never null.
func listOf(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// mapOf is a map as the wire shows one that may be empty but never null.
func mapOf(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// withName checks that the path has an argument, and then what else there is to check.
func (c *call) withName(missing string, then func() error) func() error {
	return func() error {
		if c.arg == "" {
			return badRequest(missing)
		}
		return then()
	}
}

// readFilter returns the check that reads ?filter.
func readFilter[T any](c *call, into **filter[T]) func() error {
	return func() (err error) {
		*into, err = newFilter[T](c.q.get(pFilter))
		return err
	}
}

// hasMeta tells whether meta has all the pairs, each given as key:value.
func hasMeta(meta map[string]string, pairs []string) bool {
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, ":")
		if have, ok := meta[key]; !ok || have != value {
			return false
		}
	}
	return true
}

func nodeHasMeta(view catalog.View, node string, pairs []string) bool {
	n := view.Node(node)
	return n != nil && hasMeta(n.Meta, pairs)
}

// hasTags tells whether have has all the tags that are wanted, in any case of letters.
func hasTags(have, want []string) bool {
	for _, tag := range want {
		if !slices.ContainsFunc(have, func(t string) bool { return strings.EqualFold(t, tag) }) {
			return false
		}
	}
	return true
}

// every returns all values of a parameter that may be given several times; of the
// others the query keeps the first. The query has been checked before.
func (c *call) every(name string) []string {
	values, _ := url.ParseQuery(c.r.URL.RawQuery) // what is malformed was refused
	return values[name]
}

// given returns the first value of a parameter that only one endpoint knows, and
// whether it is there at all.
func (c *call) given(name string) (value string, ok bool) {
	if values := c.every(name); len(values) > 0 {
		return values[0], true
	}
	return "", false
}
