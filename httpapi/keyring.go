package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-kv/holdfast/acl"
)

// maxRelay is the highest relay factor.
const maxRelay = 5

// keyringMembers is an element of the answer about the keys of the gossip.
//
// Source: contract, status and operator, section 5.
type keyringMembers struct {
	WAN         bool
	Datacenter  string
	Segment     string
	Keys        map[string]int
	PrimaryKeys map[string]int
	NumNodes    int
}

// keyringList answers GET /v1/operator/keyring. There is one gossip, that of the own
// datacenter, with ?local-only or without.
func (c *call) keyringList() error {
	r := KeyringRequest{Op: KeyringList}
	if err := c.keyringParams(&r); err != nil {
		return err
	}
	if err := c.needHere(acl.ResourceKeyring, acl.AccessRead, ""); err != nil {
		return err
	}
	var rings []KeyringMembers
	err := c.held(func(ctx context.Context) (err error) { // which waits for all members
		rings, err = c.s.opts.Membership.Keyring(ctx, r)
		return err
	})
	switch {
	case isRefusal(err):
		return err
	case err != nil:
		return c.keyringError(err)
	}
	answer := []keyringMembers{}
	for _, ring := range rings {
		answer = append(answer, keyringMembers{
			Datacenter: ring.Datacenter, Keys: ring.Keys, PrimaryKeys: ring.PrimaryKeys, NumNodes: ring.NumNodes,
		})
	}
	return c.encode(answer)
}

// keyringInstall answers POST /v1/operator/keyring, keyringUse PUT and keyringRemove
// DELETE.
func (c *call) keyringInstall() error { return c.changeKeyring(KeyringInstall) }
func (c *call) keyringUse() error     { return c.changeKeyring(KeyringUse) }
func (c *call) keyringRemove() error  { return c.changeKeyring(KeyringRemove) }

func (c *call) changeKeyring(op KeyringOp) error {
	var body struct{ Key string }
	if err := c.readRegistration(&body); err != nil {
		return err
	}
	r := KeyringRequest{Op: op, Key: body.Key}
	if err := c.keyringParams(&r); err != nil {
		return err
	}
	if err := c.needOfAll(acl.ResourceKeyring, acl.AccessWrite, ""); err != nil {
		return err
	}
	if _, err := c.s.opts.Membership.Keyring(c.r.Context(), r); err != nil {
		return c.keyringError(err)
	}
	c.empty()
	return nil
}

// keyringParams reads the parameters that all operations on keys have.
func (c *call) keyringParams(r *KeyringRequest) error {
	if text, _ := c.given("relay-factor"); text != "" {
		n, err := strconv.Atoi(text)
		switch {
		case err != nil:
			return badRequest("Error parsing relay factor: " + err.Error())
		case n < 0 || n > maxRelay:
			return badRequest(fmt.Sprintf("Invalid relay-factor: Relay factor must be in range: [0, %d]", maxRelay))
		}
		r.Relay = uint8(n)
	}
	if text, _ := c.given("local-only"); text != "" {
		only, err := strconv.ParseBool(text)
		switch {
		case err != nil:
			return badRequest("Error parsing local-only: " + err.Error())
		case only && r.Op != KeyringList:
			return badRequest("Invalid use of local-only: local-only can only be set for list requests")
		}
	}
	return nil
}

// keyringError is the answer to a failed operation on keys: a list of what was wrong,
// with a line for each member that did not do it.
//
// Source: contract, status and operator, section 5.
func (c *call) keyringError(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	dc := c.s.opts.Datacenter
	var lines []string
	var failed *KeyringError
	if errors.As(err, &failed) {
		if failed.Datacenter != "" {
			dc = failed.Datacenter
		}
		err = failed // without what was put around it
		for _, member := range slices.Sorted(maps.Keys(failed.Messages)) {
			lines = append(lines, member+": "+failed.Messages[member])
		}
	}
	lines = append([]string{dc + " (LAN) error: " + err.Error()}, lines...)
	noun := "error"
	if len(lines) > 1 {
		noun = "errors"
	}
	return serverError(fmt.Sprintf("%d %s occurred:\n\t* %s\n\n", len(lines), noun, strings.Join(lines, "\n\t* ")))
}
