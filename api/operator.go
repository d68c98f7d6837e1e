package api

import (
	"context"
	"fmt"
	"net/http"
)

// Operator asks and changes what concerns the cluster as a whole. It is a view of
// a [Client]; copies are free.
type Operator struct{ c *Client }

// Operator gives access to the cluster as a whole.
func (c *Client) Operator() Operator { return Operator{c} }

// A RaftServer is one server of the consensus group.
type RaftServer struct {
	ID              string // node id
	Node            string // node name; "(unknown)" when the membership does not know it
	Address         string // host:port of its server port
	Leader          bool
	ProtocolVersion string // a number, or "unknown"
	Voter           bool   // counts for a majority
	LastIndex       uint64 // the last log index it was seen at; may lag
}

// A RaftConfiguration is who takes part in consensus.
type RaftConfiguration struct {
	Servers []RaftServer
	Index   uint64 // log index of this configuration; 0 when the server does not tell
}

// RaftConfiguration reads who takes part in consensus. With [Stale] any server
// answers, even without a leader.
func (o Operator) RaftConfiguration(ctx context.Context, opts ...ReadOption) (*RaftConfiguration, error) {
	var config RaftConfiguration
	r := newRequest(http.MethodGet, "/v1/operator/raft/configuration").reads(opts)
	if _, err := o.c.fetch(ctx, r, &config); err != nil {
		return nil, fmt.Errorf("read raft configuration: %w", err)
	}
	return &config, nil
}
