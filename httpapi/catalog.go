package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// catalogIndex is the index of the catalog. Nothing changes it yet: it holds this
// server and no more.
const catalogIndex = 1

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

// catalogNodes answers GET /v1/catalog/nodes.
//
// Source: contract, catalog, section 2. ?near has nothing to sort by.
func (c *call) catalogNodes() error {
	err := c.catalogNodesOrFail()
	if err != nil && statusOf(err) == http.StatusInternalServerError { // contract, README, section 8
		setIndex(c.w.Header(), 1)
		setContact(c.w.Header(), Contact{})
	}
	return err
}

func (c *call) catalogNodesOrFail() error {
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	keep, err := newFilter[CatalogNode](c.q.get(pFilter))
	if err != nil {
		return err
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	contact, err := c.fresh(o)
	if err != nil {
		return err
	}
	if o.index >= catalogIndex {
		if err := c.linger(o); err != nil {
			return err
		}
		contact = c.s.node.Contact()
	}
	nodes := []CatalogNode{}
	node := c.s.opts.Agent.CatalogNode()
	node.CreateIndex, node.ModifyIndex = catalogIndex, catalogIndex
	if hasMeta(node.Meta, c.every("node-meta")) {
		nodes = append(nodes, node)
	}
	if nodes, err = keep.of(nodes); err != nil {
		return err
	}
	h := c.w.Header()
	setQuery(h, catalogIndex, contact)
	h["X-Consul-Effective-Consistency"] = consistencyNames[o.mode]
	return c.encode(nodes)
}

var consistencyNames = map[Mode][]string{Default: {"leader"}, Consistent: {"consistent"}, Stale: {"stale"}}

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

// linger waits as a query does that nothing can wake.
func (c *call) linger(o readOptions) error {
	client := clientOf(c.r)
	if err := c.s.parked.enter(client, c.s.settings.Load()); err != nil {
		return err
	}
	defer c.s.parked.leave(client)
	began := time.Now()
	defer func() { c.waited += time.Since(began) }()
	timer := time.NewTimer(c.s.waitTime(o.wait))
	defer timer.Stop()
	if c.park(nil, nil, timer.C) == clientGone {
		return errClientGone
	}
	return nil
}

// every returns all values of a parameter that may be given several times; of the
// others the query keeps the first. The query has been checked before.
func (c *call) every(name string) []string {
	values, _ := url.ParseQuery(c.r.URL.RawQuery) // what is malformed was refused
	return values[name]
}
