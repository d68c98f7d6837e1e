package api

import (
	"context"
	"fmt"
	"net/http"
)

// A Node is a machine that sessions can be bound to.
type Node struct {
	ID              string // "" when it has none
	Node            string // its name
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	CreateIndex     uint64
	ModifyIndex     uint64
}

// A Check is a health check of a node, or of a service on it.
type Check struct {
	Node        string
	CheckID     string
	Name        string
	Status      CheckStatus
	Notes       string
	Output      string
	ServiceID   string // "" for a check of the node
	ServiceName string
	ServiceTags []string
	Type        string
	CreateIndex uint64
	ModifyIndex uint64
}

// A CheckStatus is the state of a check. The words are the wire's.
type CheckStatus string

// States of a check. A session that is bound to a check ends when that is critical.
const (
	CheckPassing  CheckStatus = "passing"
	CheckWarning  CheckStatus = "warning"
	CheckCritical CheckStatus = "critical"
)

// Catalog reads what sessions can be bound to: nodes and their checks. It is a view of
// a [Client]; copies are free.
type Catalog struct{ c *Client }

// Catalog gives access to nodes and checks.
func (c *Client) Catalog() Catalog { return Catalog{c} }

// Nodes lists all nodes, in the order of their names.
func (c Catalog) Nodes(ctx context.Context, opts ...ReadOption) ([]*Node, Meta, error) {
	var nodes []*Node
	meta, err := c.c.fetch(ctx, newRequest(http.MethodGet, "/v1/catalog/nodes").reads(opts), &nodes)
	if err != nil {
		return nil, meta, fmt.Errorf("list nodes: %w", err)
	}
	return nodes, meta, nil
}

// Checks lists the checks of a node and of its services; none for a node that is not
// known.
func (c Catalog) Checks(ctx context.Context, node string, opts ...ReadOption) ([]*Check, Meta, error) {
	r := argRequest(http.MethodGet, "/v1/health/node/", node).reads(opts)
	if node == "" {
		r.err = errNoName
	}
	var checks []*Check
	meta, err := c.c.fetch(ctx, r, &checks)
	if err != nil {
		return nil, meta, fmt.Errorf("list checks of node %q: %w", node, err)
	}
	return checks, meta, nil
}
