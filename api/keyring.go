package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// A Keyring is the keys that the servers of one gossip have.
type Keyring struct {
	WAN         bool // the gossip between datacenters; Holdfast has none
	Datacenter  string
	Segment     string
	Keys        map[string]int // in base64; how many servers accept each
	PrimaryKeys map[string]int // how many encrypt with each
	NumNodes    int            // how many servers were asked
}

// RelayFactor makes n servers, 0 to 5, pass on the answers to a call on keys, for
// networks that lose messages.
func RelayFactor(n int) CallOption {
	return callOption(func(r *request) { r.set("relay-factor", strconv.Itoa(n)) })
}

// Keyrings lists the keys that the gossip is encrypted with. All calls on keys fail
// when it is not encrypted, and when a server does not do as it was asked; the error
// has a line for each of those.
func (o Operator) Keyrings(ctx context.Context, opts ...CallOption) ([]Keyring, error) {
	var rings []Keyring
	if err := o.c.ask(ctx, "/v1/operator/keyring", opts, &rings); err != nil {
		return nil, fmt.Errorf("list gossip keys: %w", err)
	}
	return rings, nil
}

// InstallKey makes all servers accept a key: 16, 24 or 32 bytes in base64.
func (o Operator) InstallKey(ctx context.Context, key string, opts ...CallOption) error {
	return o.changeKeys(ctx, "install gossip key", http.MethodPost, key, opts)
}

// UseKey makes all servers encrypt with a key that they accept.
func (o Operator) UseKey(ctx context.Context, key string, opts ...CallOption) error {
	return o.changeKeys(ctx, "change the primary gossip key", http.MethodPut, key, opts)
}

// RemoveKey makes all servers forget a key with which none encrypts.
func (o Operator) RemoveKey(ctx context.Context, key string, opts ...CallOption) error {
	return o.changeKeys(ctx, "remove gossip key", http.MethodDelete, key, opts)
}

func (o Operator) changeKeys(ctx context.Context, what, method, key string, opts []CallOption) error {
	r := newRequest(method, "/v1/operator/keyring").calls(opts)
	body, err := json.Marshal(struct{ Key string }{key})
	if err == nil {
		r.body, r.size = bytes.NewReader(body), int64(len(body))
		err = o.c.act(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// act sends a call whose good answer says no more than that it is done.
func (c *Client) act(ctx context.Context, r *request) error {
	res, err := c.call(ctx, r)
	if err != nil {
		return err
	}
	closeBody(res)
	return nil
}
