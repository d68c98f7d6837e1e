package api

import (
	"context"
	"errors"
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

// TransferLeader hands the leadership to the server with that id, or to one of the
// cluster's choice when it is "", and returns when that has happened.
func (o Operator) TransferLeader(ctx context.Context, id string, opts ...CallOption) error {
	r := newRequest(http.MethodPost, "/v1/operator/raft/transfer-leader").calls(opts)
	if id != "" {
		r.set("id", id)
	}
	var answer struct{ Success bool }
	_, err := o.c.fetch(ctx, r, &answer)
	if err == nil && !answer.Success {
		err = errors.New("it was not handed over")
	}
	if err != nil {
		return fmt.Errorf("transfer leadership: %w", err)
	}
	return nil
}

// RemovePeer takes the server with that id out of the consensus group. It is for one
// that is gone for good: others leave by themselves with [Agent.Leave].
func (o Operator) RemovePeer(ctx context.Context, id string, opts ...CallOption) error {
	return o.removePeer(ctx, "id", id, opts)
}

// RemovePeerByAddress is RemovePeer for the server that has that address, host:port,
// in the consensus group.
func (o Operator) RemovePeerByAddress(ctx context.Context, address string, opts ...CallOption) error {
	return o.removePeer(ctx, "address", address, opts)
}

func (o Operator) removePeer(ctx context.Context, by, peer string, opts []CallOption) error {
	r := newRequest(http.MethodDelete, "/v1/operator/raft/peer").calls(opts).set(by, peer)
	if err := o.c.act(ctx, r); err != nil {
		return fmt.Errorf("remove peer with %s %q: %w", by, peer, err)
	}
	return nil
}

// A Usage counts what a datacenter has.
type Usage struct {
	Services                 int // names
	ServiceInstances         int
	ConnectServiceInstances  map[string]int // those of a service mesh, by kind; Holdfast has none
	BillableServiceInstances int            // those that are not the servers' own
	Nodes                    int
}

// Usage counts what each datacenter has in its catalog. [WaitIndex] waits for a change.
func (o Operator) Usage(ctx context.Context, opts ...ReadOption) (map[string]Usage, Meta, error) {
	var answer struct{ Usage map[string]Usage }
	meta, err := o.c.fetch(ctx, newRequest(http.MethodGet, "/v1/operator/usage").reads(opts), &answer)
	if err != nil {
		return nil, meta, fmt.Errorf("read usage: %w", err)
	}
	return answer.Usage, meta, nil
}
