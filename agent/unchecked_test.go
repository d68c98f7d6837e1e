package agent

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/agent/rpc"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// TestAServerWithoutAccessControlAmongOthers: when one that checks no rights may answer all
// the same, though the state has access control.
func TestAServerWithoutAccessControlAmongOthers(t *testing.T) {
	const off, on, unmet, silent = "0", "1", "unmet", "silent"
	for _, tc := range []struct {
		rule   string
		others map[string]string // by id: the tag
		leader string
		says   string // "": it may
	}{
		{"it is alone", nil, "self", ""},
		{"it is alone and does not lead yet", nil, "", ""},
		{"nobody checks", map[string]string{"a": off, "b": off}, "a", ""},
		{"nobody checks, and nobody leads", map[string]string{"a": off, "b": off}, "", ""},
		{"one checks", map[string]string{"a": off, "b": on}, "a", "such as name-b"},
		{"one checks, and this one leads", map[string]string{"a": off, "b": on}, "self", "such as name-b"},
		{"the leader checks", map[string]string{"a": on, "b": off}, "a", "such as name-a"},
		{"one does not say", map[string]string{"a": off, "b": silent}, "a", "such as name-b"},
		{"one is down for long, and the leader does not check", map[string]string{"a": off, "b": unmet}, "a", ""},
		{"one is down for long, and this one leads", map[string]string{"a": off, "b": unmet}, "self", ""},
		{"it was elected before it has met anybody", map[string]string{"a": unmet, "b": unmet}, "self", "has not been met yet"},
		{"it has just begun to run", map[string]string{"a": unmet, "b": unmet}, "", "has not been met yet"},
		{"it knows the leader by its id alone", map[string]string{"a": unmet, "b": off}, "a", "server a at"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			servers := []raft.Server{{ID: "self"}}
			for id := range tc.others {
				servers = append(servers, raft.Server{ID: raft.ServerID(id)})
			}
			err := uncheckedBy("self", tc.leader, servers, func(id string) *gossip.Member {
				switch tag := tc.others[id]; tag {
				case unmet:
					return nil
				case silent:
					return &gossip.Member{Name: "name-" + id}
				default:
					return &gossip.Member{Name: "name-" + id, Tags: map[string]string{tagACLs: tag}}
				}
			})
			switch {
			case (err != nil) != (tc.says != ""):
				t.Errorf("error is %v, want %q", err, tc.says)
			case err != nil && !strings.Contains(err.Error(), tc.says):
				t.Errorf("error %q does not say %q", err, tc.says)
			}
		})
	}
}

// TestAServerWithoutStateAsksTheOthers: until it knows its cluster's state, their tags tell.
func TestAServerWithoutStateAsksTheOthers(t *testing.T) {
	tagged := func(id, tag string) gossip.Member {
		return gossip.Member{ID: id, Name: "name-" + id, Tags: map[string]string{tagACLs: tag}}
	}
	for _, tc := range []struct {
		rule    string
		members []gossip.Member
		says    string // "": it may
	}{
		{"it is alone", []gossip.Member{tagged("self", "0")}, ""},
		{"nobody checks", []gossip.Member{tagged("self", "0"), tagged("a", "0")}, ""},
		{"one checks", []gossip.Member{tagged("self", "0"), tagged("a", "0"), tagged("b", "1")}, "such as name-b"},
	} {
		err := uncheckedAmong("self", tc.members)
		if (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", tc.rule, err, tc.says)
		}
	}
}

// TestALeaderTakesNothingUnchecked: what another server sends without saying who was found
// to have the right is refused, whatever it is; what a server that checks does by itself,
// or for a login, says that somebody has looked.
func TestALeaderTakesNothingUnchecked(t *testing.T) {
	m := withACLs(t, nil, nil)
	accept := func(c *fsm.Command) error {
		t.Helper()
		entry, err := fsm.EncodeToStamp(c)
		if err != nil {
			t.Fatal(err)
		}
		return (&backend{m.Agent}).Accept(entry)().Err
	}
	who, err := m.acl.Resolve(management)
	if err != nil {
		t.Fatal(err)
	}
	set := &kvs.Op{Verb: kvs.Set, Key: "k", Value: []byte("v")}
	for what, c := range map[string]*fsm.Command{
		"write":       {Write: set},
		"transaction": {Txn: []kvs.Op{*set}},
		"sessions":    {EndSession: &fsm.EndSession{IDs: []string{"x"}}},
		"tokens":      {ACL: &acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{who.Accessor}}}},
	} {
		var refused *rpc.Refused
		if err := accept(c); !errors.As(err, &refused) || refused.Text != errUnchecked.Error() {
			t.Errorf("%s: %v, want it refused", what, err)
		}
	}
	if _, err := m.acl.Resolve(management); err != nil {
		t.Errorf("something was done: %v", err)
	}
	if status, _, _ := m.ask(t, http.MethodGet, "/v1/kv/k", "", "X-Consul-Token", management); status != http.StatusNotFound {
		t.Errorf("something was written: %d", status)
	}
	if err := accept(&fsm.Command{Write: set, Checked: who.Checked}); err != nil {
		t.Errorf("what says who asked: %v", err)
	}
	if err := accept(m.toForward(&fsm.Command{EndSession: &fsm.EndSession{IDs: []string{"x"}}})); err != nil {
		t.Errorf("what a server does by itself: %v", err)
	}

	off, _ := startInMemory(t, Options{})
	if c := (&fsm.Command{Write: set}); off.toForward(c) != c {
		t.Error("a server that checks no rights says that it has")
	}
}

// TestAccessControlThatIsTurnedOffIsSaid: a server alone may be started without, over a
// state that has it, and its log says what that means.
func TestAccessControlThatIsTurnedOffIsSaid(t *testing.T) {
	on := withACLs(t, nil, nil)
	status, _, archive := on.ask(t, http.MethodGet, "/v1/snapshot", "", "X-Consul-Token", management)
	if status != http.StatusOK {
		t.Fatal(status)
	}
	off, _ := startInMemory(t, Options{Loaded: &config.Loaded{Config: testConfig()}})
	if status, _, text := off.ask(t, http.MethodPut, "/v1/snapshot", archive); status != http.StatusOK {
		t.Fatal(status, text)
	}
	reached(t, "the log says it", func() bool { return strings.Contains(off.log.String(), "everybody may do everything") })
	if status, _, text := off.ask(t, http.MethodPut, "/v1/kv/k", "v"); status != http.StatusOK {
		t.Errorf("write: %d %s", status, text)
	}
}

// TestTheLeaderSaysWhetherItChecksRights: with every read index, and what it says counts as
// long as it leads, whatever the gossip has heard.
func TestTheLeaderSaysWhetherItChecksRights(t *testing.T) {
	on := withACLs(t, nil, nil)
	_, _, archive := on.ask(t, http.MethodGet, "/v1/snapshot", "", "X-Consul-Token", management)
	off, _ := startInMemory(t, Options{Loaded: &config.Loaded{Config: testConfig()}})
	if status, _, text := off.ask(t, http.MethodPut, "/v1/snapshot", archive); status != http.StatusOK {
		t.Fatal(status, text)
	}
	for m, want := range map[*inMemory]bool{on: true, off: false} {
		if _, checks, err := (&backend{m.Agent}).ReadIndex(t.Context(), rpc.Asker{}); err != nil || checks != want {
			t.Errorf("a leader says that it checks rights: %v, %v; want %v", checks, err, want)
		}
	}
	_, reign := off.leader.get()
	earlier, end := context.WithCancel(t.Context())
	defer end()
	for _, tc := range []struct {
		rule string
		said heardLeader
		want int
	}{
		{"the leader checks", heardLeader{reign, true}, http.StatusInternalServerError},
		{"the leader does not", heardLeader{reign, false}, http.StatusOK},
		{"an earlier one did", heardLeader{earlier, true}, http.StatusOK},
	} {
		off.heard.Store(&tc.said)
		if status, _, text := off.ask(t, http.MethodGet, "/v1/kv/?keys", ""); status != tc.want {
			t.Errorf("%s: %d %s, want %d", tc.rule, status, text, tc.want)
		}
	}
}
