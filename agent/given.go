package agent

import (
	"context"
	"fmt"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// What the leader does and no log entry says (a restore, a change of the Raft
// configuration, a renewal) is authorised again by the leader before it does it, as a log
// entry is where it is applied: the server that was asked may know old rights, or not know
// yet that its cluster checks any.

// ownAct is the right to what a server does by itself.
var ownAct = &acl.Given{Who: ownWork}

// stillGiven returns why this server, which leads, must not do what somebody was given the
// right to; nil for given: nobody has looked whether they have it.
func (a *Agent) stillGiven(ctx context.Context, given *acl.Given) error {
	switch {
	case given != nil:
		// Another server can have applied what this one only knows to be committed.
		ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
		defer cancel()
		if err := a.store.WaitApplied(ctx, given.Who.Index); err != nil {
			return httpapi.ErrNotReady
		}
		return a.store.StillGiven(given, a.now())
	case a.acl != nil:
		return errUnchecked
	}
	return a.unchecked()
}

func givenToProto(g *acl.Given) (*rpcpb.Given, error) {
	if g == nil {
		return nil, nil
	}
	checked, err := fsm.EncodeChecked(g.Who)
	if err != nil {
		return nil, err
	}
	return &rpcpb.Given{Checked: checked, Resource: g.Resource.String(), Access: g.Access.String(), Name: []byte(g.Name)}, nil
}

func givenFromProto(m *rpcpb.Given) (*acl.Given, error) {
	who, err := fsm.DecodeChecked(m.GetChecked())
	switch {
	case err != nil:
		return nil, err
	case who == nil:
		return nil, nil
	case who.Trusted:
		return &acl.Given{Who: who}, nil
	}
	g := &acl.Given{Who: who, Name: string(m.GetName())}
	if g.Resource, err = acl.ParseResource(m.GetResource()); err == nil {
		g.Access, err = acl.ParseAccess(g.Resource, m.GetAccess())
	}
	if err != nil {
		return nil, fmt.Errorf("read the right of who asked: %w", err)
	}
	return g, nil
}
