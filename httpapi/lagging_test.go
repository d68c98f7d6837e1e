package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/session"
)

// laggingNode is a follower that knows nothing new until it asks for it.
type laggingNode struct {
	*localNode
	leader *localNode
	deaf   bool // it finds no leader
}

// Propose is part of Node: the leader has it, this server not yet.
func (n *laggingNode) Propose(ctx context.Context, c *fsm.Command) (fsm.Result, error) {
	return n.leader.Propose(ctx, c)
}

// ReadIndex is part of Node: but for stale reads this server catches up first.
func (n *laggingNode) ReadIndex(ctx context.Context, mode Mode) (Contact, error) {
	if mode != Stale && n.deaf {
		return Contact{}, ErrNoLeader
	}
	if mode != Stale {
		n.catchUp()
	}
	return n.localNode.ReadIndex(ctx, mode)
}

func (n *laggingNode) catchUp() {
	n.leader.mu.Lock()
	defer n.leader.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, entry := range n.leader.log {
		if entry.Index > n.index {
			n.machine.Apply(entry)
			n.index = entry.Index
		}
	}
}

// stillGiven is what a leader looks at before it does what no log entry says.
func stillGiven(leader *localNode, given *acl.Given) error {
	if given == nil {
		if leader.store.View().ACL().Key() == nil {
			return nil
		}
		return errors.New("nobody has looked")
	}
	if err := leader.store.StillGiven(given, time.Now()); err != nil {
		return &DeniedError{Text: err.Error()}
	}
	return nil
}

// TransferLeader, RemovePeer and Restore are part of Cluster and Snapshots: the leader
// looks again.
func (n *laggingNode) TransferLeader(ctx context.Context, id string, given *acl.Given) error {
	if err := stillGiven(n.leader, given); err != nil {
		return err
	}
	return n.leader.TransferLeader(ctx, id, given)
}

func (n *laggingNode) RemovePeer(ctx context.Context, id, address string, given *acl.Given) error {
	if err := stillGiven(n.leader, given); err != nil {
		return err
	}
	return n.leader.RemovePeer(ctx, id, address, given)
}

func (n *laggingNode) Restore(ctx context.Context, meta SnapshotMeta, kept Kept, given *acl.Given) error {
	if err := stillGiven(n.leader, given); err != nil {
		return err
	}
	return n.leader.Restore(ctx, meta, kept, given)
}

// renewing is a Sessions that renews whatever there is.
type renewing struct{ node *localNode }

func (r renewing) RenewSession(_ context.Context, id string, given *acl.Given) (*session.Session, error) {
	if err := stillGiven(r.node, given); err != nil {
		return nil, err
	}
	view, _ := r.node.store.View().Sessions()
	return view.Get(id), nil
}

// newLaggingServer returns a server that follows g, and has come as far as g is now.
func newLaggingServer(t *testing.T, g *guardedServer) (*Server, *fakeMembership) {
	t.Helper()
	n := &laggingNode{localNode: newLocalNode(t), leader: g.node}
	n.catchUp()
	membership := &fakeMembership{}
	return New(Options{
		Node: n, Cluster: n, Snapshots: n, Membership: membership, Agent: g.agent, Sessions: renewing{g.node},
		Log: hclog.NewNullLogger(), Datacenter: "dc1", NodeName: "node-1",
		ACL: acl.NewResolver(func() acl.View { return n.store.View().ACL() },
			acl.Settings{Default: acl.DefaultDeny, Datacenter: "dc1", NodeName: "node-1", Now: time.Now}),
	}, testSettings()), membership
}

// allRules give every right that there are rules for.
const allRules = `key_prefix "" { policy = "write" } session_prefix "" { policy = "write" } event_prefix "" { policy = "write" }
	node_prefix "" { policy = "write" } service_prefix "" { policy = "write" } agent_prefix "" { policy = "write" }
	operator = "write" acl = "write" keyring = "write"`

// TestRevokedTokenOnALaggingFollower: a token that is gone does nothing on a server that
// has not heard of that, whether its requests go through the log or not; and reads that
// want what is true now are refused too.
func TestRevokedTokenOnALaggingFollower(t *testing.T) {
	for _, tc := range []struct{ method, target, body string }{
		{"GET", "/v1/kv/app/a", ""},
		{"GET", "/v1/kv/app/a?consistent", ""},
		{"GET", "/v1/kv/app/?recurse", ""},
		{"PUT", "/v1/kv/app/a", "2"},
		{"DELETE", "/v1/kv/app/?recurse", ""},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"get","Key":"app/a"}}]`},
		{"PUT", "/v1/session/create", ""},
		{"PUT", "/v1/session/destroy/SESSION", ""},
		{"PUT", "/v1/session/renew/SESSION", ""},
		{"PUT", "/v1/event/fire/deploy", ""},
		{"POST", "/v1/lock/l?session=SESSION", ""},
		{"POST", "/v1/operator/raft/transfer-leader", ""},
		{"DELETE", "/v1/operator/raft/peer?id=x", ""},
		{"PUT", "/v1/operator/autopilot/configuration", "{}"},
		{"POST", "/v1/operator/keyring", `{"Key":"x"}`},
		{"GET", "/v1/snapshot", ""},
		{"PUT", "/v1/snapshot", "x"},
		{"PUT", "/v1/agent/join/127.0.0.1", ""},
		{"PUT", "/v1/agent/leave", ""},
		{"PUT", "/v1/agent/force-leave/x", ""},
		{"PUT", "/v1/agent/reload", ""},
		{"PUT", "/v1/agent/maintenance?enable=true", ""},
		{"PUT", "/v1/agent/service/register", `{"Name":"s"}`},
		{"PUT", "/v1/catalog/register", `{"Node":"n","Address":"10.0.0.1"}`},
		{"PUT", "/v1/catalog/deregister", `{"Node":"node-1"}`},
		{"PUT", "/v1/acl/token", `{}`},
		{"GET", "/v1/acl/tokens", ""},
		{"PUT", "/v1/agent/token/default", `{"Token":"x"}`},
	} {
		t.Run(tc.method+" "+tc.target, func(t *testing.T) {
			g := newGuardedServer(t, acl.DefaultDeny)
			g.put(t, "app/a", "1")
			id := g.session(t)
			x := g.token(t, allRules)
			s, membership := newLaggingServer(t, g)
			g.delete(t, x)
			before := g.node.store.View().Index()
			w := ask(t, s, tc.method, strings.ReplaceAll(tc.target, "SESSION", id), tc.body, "X-Consul-Token", x.secret)
			expect(t, w, http.StatusForbidden, "ACL not found")
			if asked := membership.take(); asked != "" {
				t.Errorf("something was done: %s", asked)
			}
			if now := g.node.store.View().Index(); now != before {
				t.Errorf("something has changed: the store is at %d, was at %d", now, before)
			}
		})
	}
}

// TestRevokedTokenWhereNoLeaderIsKnown: a server that hears of a leader only after it has
// looked at the rights that it knows of has the leader look at them again; what no leader
// would look at it does not do. So a revoked token restores nothing and removes nobody.
func TestRevokedTokenWhereNoLeaderIsKnown(t *testing.T) {
	const denied = "ACL not found"
	for _, tc := range []struct {
		method, target, body string
		status               int
		text                 string
		stillHeld            int // what is answered to a token that still has its rights
	}{
		{"POST", "/v1/operator/raft/transfer-leader", "", 403, denied, 500},
		{"DELETE", "/v1/operator/raft/peer?id=x", "", 403, denied, 500},
		{"PUT", "/v1/snapshot", "ARCHIVE", 403, denied, 200},
		{"PUT", "/v1/agent/force-leave/x", "", 500, "No cluster leader", 500},
		{"POST", "/v1/operator/keyring", `{"Key":"x"}`, 500, "No cluster leader", 500},
		{"PUT", "/v1/operator/keyring", `{"Key":"x"}`, 500, "No cluster leader", 500},
		{"DELETE", "/v1/operator/keyring", `{"Key":"x"}`, 500, "No cluster leader", 500},
	} {
		t.Run(tc.method+" "+tc.target, func(t *testing.T) {
			g := newGuardedServer(t, acl.DefaultDeny)
			g.put(t, "app/a", "1")
			x := g.token(t, allRules)
			archive := g.as(t, x, http.MethodGet, "/v1/snapshot", "").Body.String()
			s, membership := newLaggingServer(t, g)
			// It hears of none, and finds none in time.
			s.node.(*laggingNode).setContact(Contact{}, nil)
			s.node.(*laggingNode).deaf = true
			ask := func() *httptest.ResponseRecorder {
				return ask(t, s, tc.method, tc.target, strings.ReplaceAll(tc.body, "ARCHIVE", archive), "X-Consul-Token", x.secret)
			}
			if w := ask(); w.Code != tc.stillHeld || w.Code == 500 && strings.Contains(w.Body.String(), denied) {
				t.Errorf("before, it is answered %d %q, want %d", w.Code, w.Body, tc.stillHeld)
			}
			g.delete(t, x)
			before := g.node.store.View().Index()
			expect(t, ask(), tc.status, tc.text)
			if asked := membership.take(); asked != "" {
				t.Errorf("something was done: %s", asked)
			}
			if now := g.node.store.View().Index(); now != before {
				t.Errorf("something has changed: the store is at %d, was at %d", now, before)
			}
		})
	}
}

// TestWhatConcernsAllMembersNeedsALeader, also where nobody checks rights: a server that
// hears of none would not know if others do by now.
func TestWhatConcernsAllMembersNeedsALeader(t *testing.T) {
	for _, tc := range []struct{ method, target, body string }{
		{"PUT", "/v1/agent/force-leave/x", ""},
		{"POST", "/v1/operator/keyring", `{"Key":"x"}`},
		{"PUT", "/v1/operator/keyring", `{"Key":"x"}`},
		{"DELETE", "/v1/operator/keyring", `{"Key":"x"}`},
	} {
		l := newLocalServer(t)
		membership := &fakeMembership{}
		n := &laggingNode{localNode: l.node, leader: l.node, deaf: true}
		s := New(Options{Node: n, Cluster: n, Membership: membership, Agent: l.agent, Log: hclog.NewNullLogger()}, testSettings())
		expect(t, ask(t, s, tc.method, tc.target, tc.body), http.StatusInternalServerError, "No cluster leader")
		if asked := membership.take(); asked != "" {
			t.Errorf("%s %s: something was done: %s", tc.method, tc.target, asked)
		}
	}
}

// TestServerThatLagsBehindTheBootstrap: one that checks no rights, and has not heard yet
// that its cluster does, makes sure before it does something at once.
func TestServerThatLagsBehindTheBootstrap(t *testing.T) {
	const here, there = "others check rights", "nobody has looked" // who refuses
	for _, tc := range []struct{ method, target, body, text string }{
		{"POST", "/v1/operator/raft/transfer-leader", "", there},
		{"DELETE", "/v1/operator/raft/peer?id=x", "", there},
		{"POST", "/v1/operator/keyring", `{"Key":"x"}`, here},
		{"GET", "/v1/operator/autopilot/health", "", here},
		{"GET", "/v1/operator/autopilot/state", "", here},
		{"PUT", "/v1/snapshot", "ARCHIVE", there},
		{"PUT", "/v1/agent/join/127.0.0.1", "", here},
		{"PUT", "/v1/agent/leave", "", here},
		{"PUT", "/v1/agent/force-leave/x", "", here},
		{"PUT", "/v1/agent/reload", "", here},
	} {
		t.Run(tc.method+" "+tc.target, func(t *testing.T) {
			l := newLocalServer(t)
			n := &laggingNode{localNode: newLocalNode(t), leader: l.node}
			membership := &fakeMembership{}
			s := New(Options{
				Node: n, Cluster: n, Snapshots: n, Membership: membership, Agent: l.agent, Sessions: renewing{l.node},
				Log: hclog.NewNullLogger(), Datacenter: "dc1", NodeName: "node-1",
				Unchecked: func() error {
					if n.store.View().ACL().Key() != nil {
						return errors.New("others check rights")
					}
					return nil
				},
			}, testSettings())
			archive := ask(t, s, http.MethodGet, "/v1/snapshot", "").Body.String()
			l.propose(t, &fsm.Command{ACL: &acl.Change{Init: &acl.Init{Key: testKey}}})
			body := strings.ReplaceAll(tc.body, "ARCHIVE", archive)
			expect(t, ask(t, s, tc.method, tc.target, body), http.StatusInternalServerError, tc.text)
			if asked := membership.take(); asked != "" {
				t.Errorf("something was done: %s", asked)
			}
		})
	}
}

// TestNewTokenOnALaggingFollower: a token works on every server as soon as whoever made it
// has been told so, but for reads that take what a server has.
func TestNewTokenOnALaggingFollower(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "app/a", "1")
	for _, tc := range []struct {
		method, target, body string
		status               int
	}{
		{"GET", "/v1/kv/app/a", "", 200},
		{"PUT", "/v1/kv/app/a", "2", 200},
		{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"app/a","Value":"MQ=="}}]`, 200},
		{"PUT", "/v1/session/create", "", 200},
		{"PUT", "/v1/event/fire/deploy", "", 200},
		{"GET", "/v1/agent/members", "", 200},
		{"GET", "/v1/agent/services", "", 200},
		{"GET", "/v1/kv/app/a?stale", "", 403},
	} {
		s, _ := newLaggingServer(t, g)
		x := g.token(t, allRules)
		if w := ask(t, s, tc.method, tc.target, tc.body, "X-Consul-Token", x.secret); w.Code != tc.status {
			t.Errorf("%s %s is answered %d %q, want %d", tc.method, tc.target, w.Code, w.Body, tc.status)
		}
	}
}

// TestNoLeader: without one, what a server knows itself is told by the rights that it
// knows, and the rest fails as it does without rights.
//
// Source: contract, ACL enforcement, section 7.
func TestNoLeader(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "app/a", "1")
	x := g.token(t, allRules)
	g.node.setContact(Contact{}, nil)
	for target, status := range map[string]int{"/v1/kv/app/a?stale": 200, "/v1/agent/self": 200, "/v1/agent/members": 200} {
		if w := g.as(t, x, http.MethodGet, target, ""); w.Code != status {
			t.Errorf("%s is answered %d %q, want %d", target, w.Code, w.Body, status)
		}
		if w := g.as(t, testToken{secret: newID(t)}, http.MethodGet, target, ""); w.Code != http.StatusForbidden {
			t.Errorf("%s with an unknown token is answered %d %q", target, w.Code, w.Body)
		}
	}
}

// TestHistoryShowsWhoWrote: the accessor stands beside each version.
func TestHistoryShowsWhoWrote(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	x := g.token(t, `key_prefix "app/" { policy = "write" }`)
	if w := g.as(t, x, http.MethodPut, "/v1/kv/app/a", "1"); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	var versions []kvVersion
	w := g.as(t, x, http.MethodGet, "/v1/kv/app/a?history", "")
	if err := json.Unmarshal(w.Body.Bytes(), &versions); err != nil || len(versions) != 1 || versions[0].Accessor != x.accessor {
		t.Errorf("the history is %d %s, want %s as who wrote", w.Code, w.Body, x.accessor)
	}
}
