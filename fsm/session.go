package fsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/session"
)

// Topics of the hub for what is not a key; see [Store.Topics].
const (
	TopicSessions = "sessions"
	TopicNodes    = "nodes"
	TopicServices = "services"
	TopicChecks   = "checks"
	TopicEvents   = "events"

	// TopicCatalog is that of nodes, services and checks together.
	TopicCatalog = "catalog"

	// TopicACL is that of every change of the ACL tables.
	TopicACL = "acl"
)

// TopicSession is the topic of one session: it ends.
func TopicSession(id string) string { return "session/" + strings.ToLower(id) }

// TopicNodeSessions is the topic of the sessions of one node.
func TopicNodeSessions(node string) string { return "sessions-of/" + strings.ToLower(node) }

// touch notes that something under a topic has changed.
func (b *batch) touch(topic string) {
	if b.topics == nil {
		b.topics = map[string]bool{}
	}
	b.topics[topic] = true
}

// touched returns the topics under which something has changed, in order.
func (b *batch) touched() []string {
	topics := make([]string, 0, len(b.topics))
	for topic := range b.topics {
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	return topics
}

// createSession adds a session if its node and checks are as they must be.
//
// Source: contract, sessions, section 3, for the texts.
func (b *batch) createSession(s *session.Session, res *Result) {
	refuse := func(format string, args ...any) {
		res.Applied, res.Invalid = false, fmt.Sprintf(format, args...)
	}
	if b.catalog.Node(s.Node) == nil {
		refuse("Missing node registration")
		return
	}
	for _, id := range s.AllChecks() {
		c := b.catalog.Check(s.Node, id)
		switch {
		case c == nil:
			refuse("Missing check '%s' registration", id)
			return
		case c.Status == catalog.Critical:
			refuse("Check '%s' is in critical state", id)
			return
		}
	}
	s.CreateIndex, s.Due = res.Index, 0
	if err := b.sessions.Create(s); err != nil {
		refuse("%s", err)
		return
	}
	b.born = append(b.born, s)
	b.sessionChanged(s, res.Index)
}

// endSession ends a session, if it exists, and does to its keys what that means.
func (b *batch) endSession(id string, res *Result) {
	s := b.sessions.End(id)
	if s == nil {
		return
	}
	b.kv.EndSession(s.ID, s.Behavior == session.Delete, min(s.LockDelay, session.MaxLockDelay))
	b.dead = append(b.dead, s.ID)
	res.Ended++
	b.sessionChanged(s, res.Index)
}

// sessionTime takes the time of sessions into the state. Nobody waits for that.
func (b *batch) sessionTime(t *fsmpb.SessionTime) {
	if t.GetBegin() {
		b.sessions.BeginTime(b.state.LastTime, b.elapsed)
	}
	for _, l := range t.GetLeft() {
		b.sessions.SetDue(l.GetId(), b.state.LastTime+l.GetLeft())
	}
	for _, id := range t.GetRenewed() {
		b.sessions.SetDue(id, 0)
	}
}

func (b *batch) sessionChanged(s *session.Session, index uint64) {
	b.state.Sessions = index
	b.touch(TopicSessions)
	b.touch(TopicSession(s.ID))
	b.touch(TopicNodeSessions(s.Node))
}

func (b *batch) register(r catalog.Registration, res *Result) {
	ended, err := b.catalog.Register(r)
	if err != nil {
		res.Applied, res.Invalid = false, err.Error()
		return
	}
	b.ended(ended, res)
	b.catalogChanged(res.Index)
}

// ended ends the sessions that are bound to what has ended.
func (b *batch) ended(e catalog.Ended, res *Result) {
	for _, check := range e.Checks {
		for _, id := range b.sessions.OfCheck(e.OnNode, check) {
			b.endSession(id, res)
		}
	}
	if e.Node != "" {
		for _, id := range b.sessions.OfNode(e.Node) {
			b.endSession(id, res)
		}
	}
}

func (b *batch) catalogChanged(index uint64) {
	c := b.catalog.Changed()
	if c != (catalog.Tables{}) {
		b.touch(TopicCatalog)
	}
	if c.Nodes {
		b.state.Nodes = index
		b.touch(TopicNodes)
	}
	if c.Services {
		b.state.Services = index
		b.touch(TopicServices)
	}
	if c.Checks {
		b.state.Checks = index
		b.touch(TopicChecks)
	}
}
