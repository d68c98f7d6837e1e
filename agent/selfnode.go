package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/session"
)

// Every server is a node of the catalog, with a service and a check that passes:
// sessions belong to it, and clients look for it before they lock. A leader makes
// sure of that before it serves, and again whenever somebody changes it.

// How soon a registration of itself is tried again that did not succeed, and how
// often a server looks whether a former name of it can go.
const (
	selfRetry  = time.Second
	selfRetire = time.Minute
)

// deadOutput is the output of the health check of a node that is gone.
//
// Source: contract, catalog, the paragraph on what every server registers.
const deadOutput = "Agent not live or unreachable"

// proposer puts a command through the log.
type proposer func(context.Context, *fsm.Command) (fsm.Result, error)

// registerSelf makes sure that the catalog has this server as it is. It is for a
// leader that does not serve yet.
func (a *Agent) registerSelf(ctx context.Context) error {
	_, err := a.keepSelf(ctx, a.applyAsLeader)
	return err
}

// watchSelf keeps this server in the catalog while it leads: also when somebody
// removes it, or an archive is restored that does not know it.
func (a *Agent) watchSelf(ctx context.Context) error {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		watch := a.store.Topics().WatchKey(fsm.TopicCatalog)
		if a.leading.Load() || a.otherLeader() != "" {
			settled, err := a.keepSelf(ctx, a.Propose)
			switch {
			case err != nil:
				if ctx.Err() == nil {
					a.log.Warn("register this server in the catalog", "error", err)
				}
				again.Reset(selfRetry)
			case !settled:
				again.Reset(selfRetire)
			}
		} else {
			again.Reset(selfRetry)
		}
		select {
		case <-ctx.Done():
			watch.Stop()
			return nil
		case <-watch.C:
		case <-watch.Reset:
		case <-again.C:
		}
		watch.Stop()
	}
}

// keepSelf proposes what is missing for the catalog to have this server as it is,
// under this name only. It is settled when nothing is left to do later.
func (a *Agent) keepSelf(ctx context.Context, propose proposer) (settled bool, err error) {
	self := a.selfRegistration()
	if !a.leading.Load() && a.store.View().Catalog().Check(self.Node.Name, httpapi.SelfCheck) != nil {
		self.Checks = nil // how this server is, the leader says
	}
	if !a.store.View().Catalog().Holds(self) {
		if _, err := propose(ctx, &fsm.Command{Register: self}); err != nil {
			return false, fmt.Errorf("register node %s: %w", self.Node.Name, err)
		}
	}
	settled = true
	for _, old := range a.formerNodes() {
		gone, err := a.retire(ctx, old, propose)
		if err != nil {
			return false, fmt.Errorf("retire node %s, a former name of this server: %w", old.Name, err)
		}
		settled = settled && gone
	}
	return settled, nil
}

// selfRegistration is what this server registers for itself.
func (a *Agent) selfRegistration() *catalog.Registration {
	node := a.CatalogNode()
	return &catalog.Registration{
		Node: node.Row(),
		Service: &catalog.Service{
			ID: httpapi.SelfService, Name: httpapi.SelfService, Port: a.config().Ports.Server, PassingWeight: 1, WarningWeight: 1,
		},
		Checks: []catalog.Check{selfCheck(catalog.Passing, httpapi.SelfCheckOutput)},
	}
}

func selfCheck(status, output string) catalog.Check {
	return catalog.Check{ID: httpapi.SelfCheck, Name: httpapi.SelfCheckName, Status: status, Output: output}
}

// formerNodes are the nodes with this server's id and another name: a server in a
// container often has a new name after each start.
func (a *Agent) formerNodes() []*catalog.Node {
	node := a.CatalogNode()
	self := node.Row()
	var former []*catalog.Node
	a.store.View().Catalog().Nodes(func(n *catalog.Node) bool {
		if n.ID == self.ID && n.RowID() != self.RowID() {
			former = append(former, n)
		}
		return true
	})
	return former
}

// retire takes what clients have registered with this server along to its present
// name, and removes the node of the former one: at once if no session is left there,
// and else when the last has ended. Sessions with a TTL go on until then; those that
// only the node kept alive end.
func (a *Agent) retire(ctx context.Context, old *catalog.Node, propose proposer) (gone bool, err error) {
	node := a.CatalogNode()
	self := node.Row()
	view := a.store.View()
	commands := moveAll(view.Catalog(), old.Name, self)
	living := 0
	sessions, _ := view.Sessions()
	sessions.ListNode(old.Name, func(s *session.Session) bool {
		if s.Lifetime > 0 {
			living++
		}
		return true
	})
	dead := &catalog.Registration{Node: *old, SkipNode: true, Checks: []catalog.Check{selfCheck(catalog.Critical, deadOutput)}}
	switch {
	case living == 0:
		commands = append(commands, &fsm.Command{Deregister: &fsm.Deregistration{Node: old.Name}})
	case !view.Catalog().Holds(dead):
		commands = append(commands, &fsm.Command{Register: dead})
	}
	for _, c := range commands {
		if _, err := propose(ctx, c); err != nil {
			return false, err
		}
	}
	if len(commands) > 0 {
		a.log.Info("this server has another name than before", "former", old.Name, "node", self.Name, "sessions_left", living)
	}
	return living == 0, nil
}

// moveAll returns the commands that move what clients have registered from one node
// to another. What is there already stays as it is there.
func moveAll(view catalog.View, from string, to catalog.Node) []*fsm.Command {
	var commands []*fsm.Command
	move := func(r *catalog.Registration, d fsm.Deregistration, exists bool) {
		if !exists {
			commands = append(commands, &fsm.Command{Register: r})
		}
		commands = append(commands, &fsm.Command{Deregister: &d})
	}
	view.Services(from, func(s *catalog.Service) bool {
		if s.ID != httpapi.SelfService {
			r := &catalog.Registration{Node: to, Service: s, Checks: checksToMove(view, from, s.ID)}
			move(r, fsm.Deregistration{Node: from, ServiceID: s.ID}, view.Service(to.Name, s.ID) != nil)
		}
		return true
	})
	for _, c := range checksToMove(view, from, "") {
		r := &catalog.Registration{Node: to, Checks: []catalog.Check{c}}
		move(r, fsm.Deregistration{Node: from, CheckID: c.ID}, view.Check(to.Name, c.ID) != nil)
	}
	return commands
}

// checksToMove returns the checks of a service of a node, or of the node itself if
// serviceID is empty, as they are to be registered elsewhere.
func checksToMove(view catalog.View, node, serviceID string) []catalog.Check {
	var checks []catalog.Check
	view.ChecksOf(node, serviceID, func(c *catalog.Check) bool {
		if c.ID != httpapi.SelfCheck {
			c := *c
			c.Indexes = catalog.Indexes{}
			checks = append(checks, c)
		}
		return true
	})
	return checks
}

// applyAsLeader puts a command through the log of a leader that does not serve yet,
// for which Propose would wait.
func (a *Agent) applyAsLeader(_ context.Context, c *fsm.Command) (fsm.Result, error) {
	if err := a.writable(); err != nil {
		return fsm.Result{}, err
	}
	data, err := a.encode(c)
	if err != nil {
		return fsm.Result{}, err
	}
	return a.outcome(a.enqueue(data))
}
