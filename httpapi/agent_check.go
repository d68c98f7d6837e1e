package httpapi

import (
	"fmt"
	"net/http"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
)

var errMissingCheckID = badRequest("Missing check ID")

func unknownCheck(id string) error {
	return &statusError{http.StatusNotFound, fmt.Sprintf("Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)}
}

// agentCheckRegister answers PUT /v1/agent/check/register.
//
// Source: contract, agent, section 6, which also gives the order of the checks.
func (c *call) agentCheckRegister() error {
	var body localCheckBody
	if err := c.readRegistration(&body); err != nil {
		return err
	}
	if body.Name == "" {
		return badRequest("Missing check name")
	}
	if body.id() == "" {
		body.CheckID = body.Name
	}
	check, err := body.check()
	if err != nil {
		return err
	}
	view, err := c.localView()
	if err != nil {
		return err
	}
	if check.ServiceID != "" && c.s.localService(view, check.ServiceID) == nil {
		if err := c.decide(c.known); err != nil {
			return err
		}
		return &statusError{http.StatusNotFound, fmt.Sprintf("ServiceID %q does not exist", check.ServiceID)}
	}
	if err := c.decide(func() error { return c.needLocalCheck(&check) }); err != nil {
		return err
	}
	check = body.withState(check, c.s.localCheck(view, check.ID))
	if err := c.registerLocal(nil, check); err != nil {
		return err
	}
	if err := c.s.opts.Agent.HeardOfCheck(c.r.Context(), check.ID); err != nil {
		return err
	}
	c.empty()
	return nil
}

// agentCheckDeregister answers PUT /v1/agent/check/deregister/ID.
func (c *call) agentCheckDeregister() error {
	if c.arg == "" {
		return errMissingCheckID
	}
	view, err := c.localView()
	if err != nil {
		return err
	}
	if err := c.needLocalCheckID(view, c.arg); err != nil {
		return err
	}
	if err := c.deregisterLocal("", c.arg); err != nil {
		return err
	}
	c.empty()
	return nil
}

// needLocalCheck checks that a check of this server may be changed or made.
//
// Source: contract, ACL enforcement, section 5.5.
func (c *call) needLocalCheck(check *catalog.Check) error {
	view := c.s.node.Store().View().Catalog()
	if old := c.s.localCheck(view, check.ID); old != nil && old.ServiceID != check.ServiceID {
		if err := c.needCheck(view, acl.AccessWrite, old); err != nil {
			return err
		}
	}
	row := *check
	row.Node = c.s.opts.NodeName
	return c.needCheck(view, acl.AccessWrite, &row)
}

// needLocalCheckID checks that a check of this server is there and may be changed.
func (c *call) needLocalCheckID(view catalog.View, id string) error {
	check := c.s.localCheck(view, id)
	if check == nil {
		if err := c.decide(c.known); err != nil {
			return err
		}
		return unknownCheck(id)
	}
	return c.decide(func() error { return c.needLocalCheck(check) })
}

// agentCheckPass answers PUT /v1/agent/check/pass/ID, and so do the next two.
func (c *call) agentCheckPass() error { return c.reportNote(catalog.Passing) }

func (c *call) agentCheckWarn() error { return c.reportNote(catalog.Warning) }

func (c *call) agentCheckFail() error { return c.reportNote(catalog.Critical) }

func (c *call) reportNote(status string) error {
	note, _ := c.given("note")
	return c.reportCheck(status, note)
}

// agentCheckUpdate answers PUT /v1/agent/check/update/ID.
func (c *call) agentCheckUpdate() error {
	var body struct{ CheckID, Status, Output string }
	if err := c.readRegistration(&body); err != nil {
		return err
	}
	if !catalog.ValidStatus(body.Status) {
		return badRequest(fmt.Sprintf("Invalid check status: '%s'", body.Status))
	}
	return c.reportCheck(body.Status, body.Output)
}

// reportCheck takes a client's word for the state of a TTL check, whose time begins
// anew. A report that changes nothing writes nothing and asks no other server, so
// that checks which are well cost the log nothing.
func (c *call) reportCheck(status, output string) error {
	if c.arg == "" {
		return errMissingCheckID
	}
	view, err := c.localView()
	if err != nil {
		return err
	}
	if err := c.needLocalCheckID(view, c.arg); err != nil {
		return err
	}
	// First the time, then the state: an expiry that was quicker is in it.
	if err := c.s.opts.Agent.HeardOfCheck(c.r.Context(), c.arg); err != nil {
		return err
	}
	old := c.s.localCheck(c.s.node.Store().View().Catalog(), c.arg)
	switch {
	case old == nil:
		return unknownCheck(c.arg)
	case old.Type != catalog.TypeTTL:
		return badRequest(fmt.Sprintf("Check %q is not a TTL check: nobody reports its state here", c.arg))
	}
	next := *old
	next.Status, next.Output = status, cutOutput(output)
	if next.Status != old.Status || next.Output != old.Output {
		// Only this check, and not one that was made since of the same name, or the
		// report would bring a check back that was removed.
		next.ModifyIndex = 0
		if err := c.registerLocal(nil, next); err != nil {
			return err
		}
		if now := c.s.localCheck(c.s.node.Store().View().Catalog(), c.arg); now == nil || now.CreateIndex != old.CreateIndex {
			return unknownCheck(c.arg)
		}
	}
	c.empty()
	return nil
}

// agentChecks answers GET /v1/agent/checks: every check by its id.
func (c *call) agentChecks() error {
	keep, err := newFilter[healthCheck](c.q.get(pFilter))
	if err != nil {
		return err
	}
	view, err := c.localView()
	if err != nil {
		return err
	}
	var checks []healthCheck
	if err := c.knownHere(); err != nil {
		return err
	}
	c.s.localChecks(view, func(row *catalog.Check) {
		if c.keepsCheck(row) {
			checks = append(checks, localCheckOf(row))
		}
	})
	if checks, err = keep.of(checks); err != nil {
		return err
	}
	byID := make(map[string]healthCheck, len(checks))
	for _, check := range checks {
		byID[check.CheckID] = check
	}
	return c.encode(byID)
}
