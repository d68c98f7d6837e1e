package api

import (
	"context"
	"fmt"
	"net/http"
)

// Status asks what a server believes about its cluster. It is a view of a
// [Client]; copies are free.
type Status struct{ c *Client }

// Status gives access to what the server believes about its cluster.
func (c *Client) Status() Status { return Status{c} }

// Leader is the address of the leader's server port as the asked server believes;
// "" when it knows none. It never waits and is never forwarded, so it is the
// cheapest question whether a server is ready.
func (s Status) Leader(ctx context.Context, opts ...CallOption) (string, error) {
	var leader string
	if err := s.c.ask(ctx, "/v1/status/leader", opts, &leader); err != nil {
		return "", fmt.Errorf("ask for the leader: %w", err)
	}
	return leader, nil
}

// Peers are the addresses of all servers that take part in consensus.
func (s Status) Peers(ctx context.Context, opts ...CallOption) ([]string, error) {
	var peers []string
	if err := s.c.ask(ctx, "/v1/status/peers", opts, &peers); err != nil {
		return nil, fmt.Errorf("ask for the peers: %w", err)
	}
	return peers, nil
}

// ask reads the JSON at a fixed path.
func (c *Client) ask(ctx context.Context, path string, opts []CallOption, v any) error {
	r := newRequest(http.MethodGet, path).calls(opts)
	_, err := c.fetch(ctx, r, v)
	return err
}
