package agent

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/version"
)

// entriesOf is the fsm.EntryVersion of a member; those of the first version do not tell.
func entriesOf(m *gossip.Member) uint32 {
	v, err := strconv.ParseUint(m.Tags[gossip.TagEntries], 10, 32)
	if err != nil {
		return 1
	}
	return uint32(v)
}

// heldBack says why a command that needs a version of log entries must not be proposed:
// a server that does not understand it would stop. What the state has needed before, no
// server that is left can lack.
func (a *Agent) heldBack(needs uint32) error {
	switch {
	case needs > fsm.EntryVersion:
		return fmt.Errorf("this needs servers of a newer version: %s, of version %s, does not know it: upgrade all servers first",
			a.config().NodeName, version.Version)
	case needs <= a.store.View().Used() || a.peers == nil:
		return nil
	}
	return heldBackBy(needs, a.nodeID, a.configuration().Servers, a.memberOf)
}

func heldBackBy(needs uint32, self string, servers []raft.Server, memberOf func(id string) *gossip.Member) error {
	for _, s := range servers {
		id := string(s.ID)
		if id == self {
			continue
		}
		m := memberOf(id)
		switch {
		case m == nil:
			return fmt.Errorf("this needs every server of the cluster to be of a newer version, and server %s at %s has not been met: "+
				"start it, or take it out of the cluster", id, s.Address)
		case entriesOf(m) < needs:
			return fmt.Errorf("this needs every server of the cluster to be of a newer version, and %s, of version %s, does not know it: "+
				"upgrade all servers first", m.Name, versionOf(m))
		}
	}
	return nil
}

// tooOld says why a server must not join: it would stop at what others have written.
func (a *Agent) tooOld(m *gossip.Member) error {
	if used := a.store.View().Used(); entriesOf(m) < used {
		return fmt.Errorf("it is of version %s, which does not understand what this cluster has written (log entries of version %d; it knows %d): "+
			"upgrade it", versionOf(m), used, entriesOf(m))
	}
	return nil
}

// ending is a command without Ending as long as some server does not understand that. It
// goes on without rather than be refused, as before the upgrade began: that the right to
// delete is there has been looked at by the server that took the request, as far as it
// knew the session.
func (a *Agent) ending(c *fsm.Command) *fsm.Command { return endingUnless(c, a.heldBack) }

func endingUnless(c *fsm.Command, heldBack func(needs uint32) error) *fsm.Command {
	if !c.Ending || heldBack(c.Needs()) == nil {
		return c
	}
	without := *c
	without.Ending = false
	return &without
}

// notUnderstoodError is the leader's word that some server may not understand an entry, which has
// certainly not happened.
type notUnderstoodError struct{ text string }

// Error is the leader's text.
func (e *notUnderstoodError) Error() string { return e.text }

// asUnderstood sends a command to the leader, and once more without Ending if the leader knows of
// a server that does not understand it, or has not met one that this server remembers.
func asUnderstood(c *fsm.Command, send func(*fsm.Command) (fsm.Result, error)) (fsm.Result, error) {
	res, err := send(c)
	var not *notUnderstoodError
	if !c.Ending || !errors.As(err, &not) {
		return res, err
	}
	without := *c
	without.Ending = false
	return send(&without)
}

// encode makes the log entry of a command that this server, which leads, proposes.
func (a *Agent) encode(c *fsm.Command) ([]byte, error) {
	c = a.ending(c)
	if err := a.heldBack(c.Needs()); err != nil {
		return nil, err
	}
	return fsm.Encode(c, a.now().UnixNano())
}
