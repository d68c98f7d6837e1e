package agent

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/httpapi"
)

// maxLag is how many committed entries a server that is ready may have before it
// to apply: what it does in a fraction of a second.
const maxLag = 10_000

// Checks are what this server needs to serve, each with how it stands.
func (a *Agent) Checks() []httpapi.Check {
	checks := []httpapi.Check{a.checkRaft(), a.checkLeader(), a.checkApplied(), a.checkDisk(), a.checkMember()}
	if err := a.unchecked(); err != nil {
		checks = append(checks, httpapi.Check{Name: "acl", Reason: err.Error()})
	}
	return checks
}

func (a *Agent) checkRaft() httpapi.Check {
	state := a.raft.State()
	return httpapi.Check{
		Name: "raft", OK: state != raft.Shutdown,
		Reason: fmt.Sprintf("%s in term %d", strings.ToLower(state.String()), a.raft.CurrentTerm()),
	}
}

func (a *Agent) checkLeader() httpapi.Check {
	address := a.LeaderAddress()
	if address == "" {
		return httpapi.Check{Name: "leader", Reason: "no leader is known"}
	}
	return httpapi.Check{Name: "leader", OK: true, Reason: address}
}

func (a *Agent) checkApplied() httpapi.Check {
	c := httpapi.Check{Name: "applied"}
	commit, applied := a.raft.CommitIndex(), a.raft.AppliedIndex()
	lag := commit - min(applied, commit)
	c.Reason = fmt.Sprintf("index %d of %d", applied, commit)
	select {
	case <-a.caughtUp:
		if c.OK = lag <= maxLag; !c.OK {
			c.Reason += fmt.Sprintf(", %d entries behind", lag)
		}
	default:
		c.Reason += ", not all applied that was committed before the start"
	}
	return c
}

func (a *Agent) checkDisk() httpapi.Check {
	if a.space == nil {
		return httpapi.Check{Name: "disk", OK: true, Reason: "not used, everything is in memory"}
	}
	if err := a.writable(); err != nil { // nearly full, or it does not answer
		var readOnly *httpapi.ReadOnlyError
		if errors.As(err, &readOnly) {
			return httpapi.Check{Name: "disk", Reason: readOnly.Reason}
		}
		return httpapi.Check{Name: "disk", Reason: err.Error()}
	}
	return httpapi.Check{Name: "disk", OK: true, Reason: "room for writes"}
}
