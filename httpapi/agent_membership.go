package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
)

// agentJoin answers PUT /v1/agent/join/ADDRESS.
//
// Source: contract, agent, section 2, and its "Where Holdfast should differ" 5 for
// what belongs to several datacenters.
func (c *call) agentJoin() error {
	switch {
	case c.arg == "":
		return badRequest("Missing address to join")
	case c.q.get(pWAN) != "":
		return badRequest("Cannot join across datacenters: this server knows only its own")
	}
	if err := c.needAgent(acl.AccessWrite); err != nil {
		return err
	}
	if err := c.s.opts.Membership.Join(c.r.Context(), c.arg); err != nil {
		return c.refusal(err)
	}
	c.empty()
	return nil
}

// agentLeave answers PUT /v1/agent/leave. To leave takes its time, so the head of
// the answer is sent at once and the end of it when the server has left. The body
// stays empty, unless the server ends without having left in good order: then it
// says so, since the status can no longer.
//
// Source: contract, agent, section 2 and "Where Holdfast should differ" 4.
func (c *call) agentLeave() error {
	if err := c.needAgent(acl.AccessWrite); err != nil {
		return err
	}
	began := time.Now()
	defer func() { c.waited += time.Since(began) }()
	c.w.Header()["Content-Type"] = typeJSON
	c.status = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
	// Not every ResponseWriter can; then the head comes with the end.
	_ = http.NewResponseController(c.w).Flush()
	// It is not left half done because the client has gone.
	c.s.busy.Add(-1)
	defer c.s.busy.Add(1)
	if err := c.s.opts.Membership.LeaveAndStop(context.WithoutCancel(c.r.Context())); err != nil {
		c.s.log.Warn("leave the cluster", "error", err)
		_, _ = c.w.Write([]byte("The server ends without having left in good order: " + err.Error())) // the client may be gone
	}
	return nil
}

// agentForceLeave answers PUT /v1/agent/force-leave/NODE. With ?wan the node has the
// name that it has across datacenters.
func (c *call) agentForceLeave() error {
	if c.arg == "" {
		return badRequest("Missing node name")
	}
	node := c.arg
	if c.q.has(pWAN) {
		node = strings.TrimSuffix(node, "."+c.s.opts.Datacenter)
	}
	_, prune := c.given("prune")
	if err := c.needOfAll(acl.ResourceOperator, acl.AccessWrite, ""); err != nil {
		return err
	}
	if err := c.s.opts.Membership.ForceLeave(c.r.Context(), node, prune); err != nil {
		return c.refusal(err)
	}
	c.empty()
	return nil
}

// refusal is the answer to what an operator has asked for and cannot have, such as to
// join a server that is not there. Nothing is wrong here that the log should tell.
func (c *call) refusal(err error) error {
	if c.r.Context().Err() != nil {
		return err
	}
	return serverError(err.Error())
}
