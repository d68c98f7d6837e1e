package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-uuid"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/session"
)

// sessionBytes bounds the body of a session create.
const sessionBytes = 64 << 10

// maxTTL is the longest TTL of a session.
//
// Source: contract, sessions, section 3.
const maxTTL = 24 * time.Hour

// Sessions is the server as the keeper of the time of sessions.
type Sessions interface {
	// RenewSession begins the time of a session anew and returns it; nil when there
	// is none. It returns only when it is certain that the session will not end
	// before its TTL from now. For given see [Cluster].
	RenewSession(ctx context.Context, id string, given *acl.Given) (*session.Session, error)
}

// sessionShown is a session as reads show it.
//
// Source: contract, sessions, section 1.
type sessionShown struct {
	ID            string
	Name          string
	Node          string
	LockDelay     time.Duration
	Behavior      string
	TTL           string
	NodeChecks    []string
	ServiceChecks []session.ServiceCheck
	Checks        []string `json:",omitempty"`
	Grace         string   `json:",omitempty"`
	CreateIndex   uint64
	ModifyIndex   uint64
}

func showSession(s *session.Session) sessionShown {
	shown := sessionShown{
		ID: s.ID, Name: s.Name, Node: s.Node, LockDelay: s.LockDelay, Behavior: s.Behavior.String(), TTL: s.TTL,
		NodeChecks: s.NodeChecks, ServiceChecks: s.ServiceChecks, Checks: s.Checks,
		CreateIndex: s.CreateIndex, ModifyIndex: s.CreateIndex,
	}
	if s.Grace >= 0 {
		shown.Grace = s.Grace.String()
	}
	return shown
}

// sessionAsked is the body of a session create. Names of fields match without
// regard to case, unknown ones are ignored.
type sessionAsked struct {
	Name          string
	Node          *string
	LockDelay     lockDelay
	Behavior      string
	TTL           string
	Grace         *string
	NodeChecks    checkList
	ServiceChecks []session.ServiceCheck
	Checks        checkList
}

// checkList tells a list that is absent from one that is null or empty.
type checkList struct {
	given bool
	ids   []string
}

func (l *checkList) UnmarshalJSON(b []byte) error {
	l.given = true
	return json.Unmarshal(b, &l.ids)
}

// lockDelay is a duration, or a number: below 1000 of seconds, from there on of
// nanoseconds.
type lockDelay struct {
	given bool
	d     time.Duration
}

func (l *lockDelay) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	l.given = true
	if len(b) > 0 && b[0] == '"' {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
		d, err := time.ParseDuration(text)
		l.d = max(d, 0)
		return err
	}
	var n float64
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	if n < 1000 {
		n *= float64(time.Second)
	}
	l.d = time.Duration(min(max(n, 0), float64(1<<62)))
	return nil
}

// sessionCreate answers PUT /v1/session/create.
//
// Source: contract, sessions, section 3.
func (c *call) sessionCreate() error {
	body, err := c.body(sessionBytes, "body of a session")
	if err != nil {
		return err
	}
	var asked sessionAsked
	if len(body) > 0 {
		// Decoded as a stream: what follows the first value is ignored.
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(&asked); err != nil && !errors.Is(err, io.EOF) {
			return badRequest("Request decode failed: " + err.Error())
		}
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	node := c.s.opts.NodeName
	if asked.Node != nil {
		node = *asked.Node
		if c.guarded() { // rights go by the name, whose letters others must not choose
			node = fsm.NodeName(c.s.node.Store().View().Catalog(), node)
			asked.Node = &node
		}
	}
	if err := c.needToWrite(acl.ResourceSession, acl.AccessWrite, node); err != nil {
		return err
	}
	s, err := c.newSession(&asked)
	if err != nil {
		return err
	}
	res, err := c.propose(&fsm.Command{Session: s})
	if err != nil {
		return err
	}
	if res.Invalid != "" {
		return serverError("apply failed: " + res.Invalid)
	}
	setIndex(c.w.Header(), res.Index)
	return c.encode(struct{ ID string }{s.ID})
}

// newSession makes a session of what was asked for, with the defaults.
func (c *call) newSession(asked *sessionAsked) (*session.Session, error) {
	s := &session.Session{
		Name: asked.Name, Node: c.s.opts.NodeName, LockDelay: 15 * time.Second, Behavior: session.Release,
		TTL: asked.TTL, Grace: c.s.settings.Load().SessionGrace, ServiceChecks: asked.ServiceChecks,
	}
	if asked.Node != nil {
		if s.Node = *asked.Node; s.Node == "" {
			return nil, serverError("Must provide Node")
		}
	}
	if asked.LockDelay.given {
		s.LockDelay = asked.LockDelay.d
	}
	switch asked.Behavior {
	case "", "release":
	case "delete":
		s.Behavior = session.Delete
	default:
		return nil, serverError(fmt.Sprintf("Invalid Behavior setting '%s'", asked.Behavior))
	}
	if err := c.sessionTimes(s, asked); err != nil {
		return nil, err
	}
	bindChecks(s, asked)
	id, err := uuid.GenerateUUID()
	if err != nil {
		return nil, fmt.Errorf("make a session id: %w", err)
	}
	s.ID = id
	return s, nil
}

func (c *call) sessionTimes(s *session.Session, asked *sessionAsked) error {
	if asked.TTL != "" {
		d, err := time.ParseDuration(asked.TTL)
		if err != nil {
			return serverError(fmt.Sprintf("Session TTL '%s' invalid: %s", asked.TTL, err))
		}
		least := c.s.settings.Load().SessionTTLMin
		if d != 0 && (d < least || d > maxTTL) {
			return serverError(fmt.Sprintf("Invalid Session TTL '%d', must be between [%s=%s]", d.Nanoseconds(), least, maxTTL))
		}
		s.Lifetime = d
	}
	if asked.Grace != nil {
		d, err := time.ParseDuration(*asked.Grace)
		if err != nil || d < 0 || d > maxTTL {
			return badRequest(fmt.Sprintf("Invalid Grace %q, want a duration from 0s to 24h", *asked.Grace))
		}
		s.Grace = d
	}
	return nil
}

// bindChecks decides which checks the session is bound to.
//
// Source: contract, sessions, section 3, the table of combinations.
func bindChecks(s *session.Session, asked *sessionAsked) {
	const serf = SelfCheck
	s.NodeChecks = asked.NodeChecks.ids
	switch {
	case !asked.Checks.given && !asked.NodeChecks.given:
		s.NodeChecks, s.Implied = []string{serf}, true
	case !asked.Checks.given:
	case len(asked.Checks.ids) == 0:
		s.NodeChecks = []string{}
	default:
		s.Checks = asked.Checks.ids
		if len(s.Checks) == 1 && s.Checks[0] == serf {
			s.Checks = nil
			if !asked.NodeChecks.given {
				s.NodeChecks = []string{serf}
			}
		} else if !asked.NodeChecks.given {
			s.NodeChecks, s.Implied = []string{serf}, true
		} else if len(asked.NodeChecks.ids) == 0 {
			s.Checks = nil
		}
	}
}

// needSession checks that somebody may change a session, in fresh state: which node it
// has is not known of one that this server has not heard of yet. It tells whether the
// session is there; what is not there may be changed by anybody, and without rights that
// are checked it may be there.
//
// Source: contract, ACL enforcement, section 5.3.
func (c *call) needSession(id string) (there bool, err error) {
	if !c.guarded() {
		return true, c.mayAnswer()
	}
	if _, err := c.s.node.ReadIndex(c.r.Context(), Default); err != nil {
		return false, err
	}
	view, _ := c.s.node.Store().View().Sessions()
	s := view.Get(id)
	if s == nil {
		return false, c.known()
	}
	return true, c.need(acl.ResourceSession, acl.AccessWrite, s.Node)
}

// needToEnd is needSession for what goes through the log, where the rights are looked at
// again: of a session that is known here its node is known, which never changes. What is
// not there is not put through the log, which anybody could fill with that.
func (c *call) needToEnd(id string) (there bool, err error) {
	view, _ := c.s.node.Store().View().Sessions()
	if s := view.Get(id); s != nil {
		return true, c.needToWrite(acl.ResourceSession, acl.AccessWrite, s.Node)
	}
	return c.needSession(id)
}

// sessionDestroy answers PUT /v1/session/destroy/<id>: always true.
func (c *call) sessionDestroy() error {
	if c.arg == "" {
		return badRequest("Missing session")
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if there, err := c.needToEnd(c.arg); err != nil {
		return err
	} else if !there {
		if err := c.auditCommand(&fsm.Command{EndSession: &fsm.EndSession{IDs: []string{c.arg}}}); err != nil {
			return err
		}
		setIndex(c.w.Header(), storeIndex(c.s.node.Store().View()))
		c.bool(true)
		return nil
	}
	res, err := c.propose(&fsm.Command{EndSession: &fsm.EndSession{IDs: []string{c.arg}}})
	if err != nil {
		return err
	}
	setIndex(c.w.Header(), res.Index)
	c.bool(true)
	return nil
}

// sessionRenew answers PUT /v1/session/renew/<id>.
func (c *call) sessionRenew() error {
	if _, err := c.readOptions(); err != nil {
		return err
	}
	if c.arg == "" {
		return badRequest("Missing session")
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	there, err := c.needSession(c.arg)
	if err != nil {
		return err
	}
	var s *session.Session
	if there {
		if s, err = c.s.opts.Sessions.RenewSession(c.r.Context(), c.arg, c.granted()); err != nil {
			return err
		}
	}
	if s == nil {
		return &statusError{404, fmt.Sprintf("Session id '%s' not found", c.arg)}
	}
	return c.encode([]sessionShown{showSession(s)})
}

// sessionInfo answers GET /v1/session/info/<id>. It waits for the end of that
// session, and shows the index of all.
func (c *call) sessionInfo() error {
	return c.readSessions(fsm.TopicSession(c.arg), "Missing session", func(v session.View, add func(*session.Session) bool) {
		if s := v.Get(c.arg); s != nil {
			add(s)
		}
	})
}

// sessionList answers GET /v1/session/list.
func (c *call) sessionList() error {
	c.arg = "-" // it takes none
	return c.readSessions(fsm.TopicSessions, "", session.View.List)
}

// sessionNode answers GET /v1/session/node/<node>.
func (c *call) sessionNode() error {
	return c.readSessions(fsm.TopicNodeSessions(c.arg), "Missing node name", func(v session.View, add func(*session.Session) bool) {
		v.ListNode(c.arg, add)
	})
}

func (c *call) readSessions(topic, missing string, walk func(session.View, func(*session.Session) bool)) error {
	q := tableQuestion{topic: topic, index: func(v *fsm.View) uint64 {
		_, index := v.Sessions()
		return index
	}}
	check := func() error {
		if c.arg == "" {
			return badRequest(missing)
		}
		return nil
	}
	return c.readTable(q, false, check, func(v *fsm.View) (any, error) {
		shown := []sessionShown{}
		view, _ := v.Sessions()
		walk(view, func(s *session.Session) bool {
			if c.keeps(acl.ResourceSession, s.Node) {
				shown = append(shown, showSession(s))
			}
			return true
		})
		return shown, nil
	})
}
