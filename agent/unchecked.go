package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/fsm"
)

// Access control is on for a whole cluster or for none of it. A server with acl.enabled =
// false has the state of the others all the same, and would show and change it for anybody.
// So it answers nothing while another server of its cluster checks rights, and a leader that
// checks them takes nothing from it. Only when all are without does a state that has ACLs
// lie open, which is how they are turned off.

// unchecked says why this server must answer nothing although it would check no rights; nil
// when it may.
func (a *Agent) unchecked() error {
	if a.acl != nil {
		return nil
	}
	if a.store.View().ACL().Key() == nil {
		select {
		case <-a.caughtUp: // the cluster has none
			return nil
		default:
		}
		if a.gossip == nil {
			return nil
		}
		return uncheckedAmong(a.nodeID, a.gossip.Members())
	}
	l, reign := a.leader.get()
	if last := a.heard.Load(); last != nil && last.reign == reign && last.checks {
		return errChecks(a.nameOf(l.id))
	}
	return uncheckedBy(a.nodeID, l.id, a.configuration().Servers, a.memberOf)
}

// heardLeader is what a leader said last of whether it checks rights, which it says with
// every read index. The gossip may know later that a server was started anew with another
// setting.
type heardLeader struct {
	reign  context.Context // its own
	checks bool
}

// nameOf is the name of the server with an id, or else the id.
func (a *Agent) nameOf(id string) string {
	if m := a.memberOf(id); m != nil {
		return m.Name
	}
	return id
}

// uncheckedAmong is unchecked for a server that has not got the state of its cluster yet:
// the other servers say whether they check rights.
func uncheckedAmong(self string, members []gossip.Member) error {
	for _, m := range members {
		if m.ID != self && m.Tags[tagACLs] == "1" {
			return errChecks(m.Name)
		}
	}
	return nil
}

func errChecks(name string) error {
	return fmt.Errorf("this server checks no rights (acl.enabled = false), and others of its cluster do, such as %s: "+
		"ask one of them, or set acl.enabled = true here", name)
}

// uncheckedBy is unchecked for the servers of a configuration. One that has not been met is
// taken for one that checks, unless those that are known not to, of whom the leader must be
// one, are a quorum: then it is down, or new. (A server may be elected before it has met
// anybody.)
func uncheckedBy(self, leader string, servers []raft.Server, memberOf func(id string) *gossip.Member) error {
	voters, without, open := 0, 0, leader == self
	count := func(s raft.Server, checks bool) {
		if s.Suffrage != raft.Voter {
			return
		}
		if voters++; !checks {
			without++
		}
	}
	var unmet error
	for _, s := range servers {
		id := string(s.ID)
		if id == self {
			count(s, false)
			continue
		}
		switch m := memberOf(id); {
		case m == nil:
			count(s, true)
			unmet = fmt.Errorf("this server checks no rights (acl.enabled = false), the state has access control, and server %s at %s has not been met yet: "+
				"ask another server, or set acl.enabled = true here", id, s.Address)
		case m.Tags[tagACLs] != "0":
			return errChecks(m.Name)
		default:
			count(s, false)
			open = open || id == leader
		}
	}
	if open && without > voters/2 {
		return nil
	}
	return unmet
}

// errUnchecked is what a leader that checks rights answers another server that does not.
var errUnchecked = errors.New("this came through a server that checks no rights (acl.enabled = false), and the leader does: " +
	"ask another server, or set acl.enabled = true there")

// ownWork is in the commands of a server that checks rights where nobody asked for them:
// without it the leader would think that nobody has looked.
var ownWork = &acl.Checked{Trusted: true}

// toForward is a command as the leader is to get it.
func (a *Agent) toForward(c *fsm.Command) *fsm.Command {
	if c.Checked != nil || a.acl == nil {
		return c
	}
	own := *c
	own.Checked = ownWork
	if a.heldBack(own.Needs()) != nil { // servers that know no ACLs do not want it either
		return c
	}
	return &own
}

// uncheckedLook is how often a server without access control looks whether others have it,
// beside when the tables change.
const uncheckedLook = 5 * time.Second

// watchUnchecked says in the log when this server must answer nothing, or lets everybody do
// everything although the state has access control, and ends what waits here then.
func (a *Agent) watchUnchecked(ctx context.Context) error {
	if a.acl != nil {
		return nil
	}
	tick := time.NewTicker(uncheckedLook)
	defer tick.Stop()
	said := ""
	for {
		w := a.store.Topics().WatchKey(fsm.TopicACL)
		said = a.sayUnchecked(said)
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-w.C:
		case <-w.Reset:
		}
		w.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// sayUnchecked says how it stands, unless it has said so last.
func (a *Agent) sayUnchecked(before string) string {
	const open = "the state has access control, and no server of the cluster checks it (acl.enabled = false): everybody may do everything"
	err := a.unchecked()
	switch {
	case err != nil && err.Error() != before:
		a.log.Error("no request is answered here", "error", err)
		a.api.EndParked()
		return err.Error()
	case err != nil:
		return before
	case a.store.View().ACL().Key() == nil:
		return ""
	}
	if before != open {
		a.log.Warn(open)
	}
	return open
}
