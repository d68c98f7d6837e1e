package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/fsm"
)

// fakeMembership is a server among others as a test wants them, that notes what it
// is asked for.
type fakeMembership struct {
	err   error // what every call fails with
	pilot AutopilotState
	rings []KeyringMembers
	leave func(context.Context) error // nil: at once

	mu    sync.Mutex
	asked []string // guarded by mu
}

func (f *fakeMembership) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.err
}

// take returns what was asked for since it was last called.
func (f *fakeMembership) take() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := strings.Join(f.asked, "; ")
	f.asked = nil
	return asked
}

func (f *fakeMembership) Join(_ context.Context, address string) error {
	return f.note("join %s", address)
}

func (f *fakeMembership) LeaveAndStop(ctx context.Context) error {
	if f.leave != nil {
		if err := f.leave(ctx); err != nil {
			return err
		}
	}
	return f.note("leave")
}

func (f *fakeMembership) ForceLeave(_ context.Context, node string, prune bool) error {
	return f.note("force-leave %s %t", node, prune)
}

func (f *fakeMembership) AutopilotState(_ context.Context, mode Mode) (AutopilotState, error) {
	return f.pilot, f.note("state %d", mode)
}

func (f *fakeMembership) Keyring(_ context.Context, r KeyringRequest) ([]KeyringMembers, error) {
	return f.rings, f.note("keyring %d %q %d", r.Op, r.Key, r.Relay)
}

// newMembershipServer returns a server among others.
func newMembershipServer(t testing.TB, m *fakeMembership) *Server {
	t.Helper()
	node := newLocalNode(t)
	return New(Options{
		Node: node, Cluster: node, Membership: m, Log: hclog.NewNullLogger(), Datacenter: "dc1", NodeName: "alpha",
	}, testSettings())
}

// notEncrypted is how a member without encryption refuses what concerns keys.
func notEncrypted() error {
	return &KeyringError{Datacenter: "dc1", Members: 1, Failed: 1, Messages: map[string]string{
		"alpha": "Keyring is empty (encryption not enabled)",
	}}
}

func TestMembershipAnswers(t *testing.T) {
	oneRing := []KeyringMembers{{
		Datacenter: "dc1", Keys: map[string]int{"a2V5": 3, "b2xk": 1}, PrimaryKeys: map[string]int{"a2V5": 3}, NumNodes: 3,
	}}
	const ringJSON = `[{"WAN":false,"Datacenter":"dc1","Segment":"","Keys":{"a2V5":3,"b2xk":1},"PrimaryKeys":{"a2V5":3},"NumNodes":3}]`
	for _, tc := range []struct {
		rule, send, body string
		err              error
		status           int
		answer           string
		asked            string
	}{
		{rule: "join meets the address", send: "PUT /v1/agent/join/10.0.0.1:8301", status: 200, asked: "join 10.0.0.1:8301"},
		{rule: "an address may have brackets", send: "PUT /v1/agent/join/[::1]:8301?wan=", status: 200, asked: "join [::1]:8301"},
		{rule: "join needs an address", send: "PUT /v1/agent/join/", status: 400, answer: "Missing address to join"},
		{rule: "there is one datacenter to join", send: "PUT /v1/agent/join/a?wan=1", status: 400, answer: "Cannot join across datacenters: this server knows only its own"},
		{
			rule: "a join that fails says why", send: "PUT /v1/agent/join/127.0.0.1:1", status: 500, asked: "join 127.0.0.1:1",
			err:    errors.New("1 error occurred:\n\t* Failed to join 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused\n\n"),
			answer: "1 error occurred:\n\t* Failed to join 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused\n\n",
		},
		{rule: "leave answers with nothing", send: "PUT /v1/agent/leave", status: 200, asked: "leave"},
		{
			rule: "a leave that went wrong is told behind the head", send: "PUT /v1/agent/leave", status: 200, asked: "leave", err: ErrNoLeader,
			answer: "The server ends without having left in good order: No cluster leader",
		},
		{rule: "force-leave names a node", send: "PUT /v1/agent/force-leave/c2", status: 200, asked: "force-leave c2 false"},
		{rule: "prune is on by its name", send: "PUT /v1/agent/force-leave/c2?prune=false", status: 200, asked: "force-leave c2 true"},
		{rule: "the name across datacenters is the same node", send: "PUT /v1/agent/force-leave/c2.dc1?prune&wan", status: 200, asked: "force-leave c2 true"},
		{rule: "which it is only when it is asked for", send: "PUT /v1/agent/force-leave/c2.dc1", status: 200, asked: "force-leave c2.dc1 false"},
		{rule: "force-leave needs a node", send: "PUT /v1/agent/force-leave/", status: 400, answer: "Missing node name"},
		{
			rule: "an unknown node is the server's word", send: "PUT /v1/agent/force-leave/ghost", status: 500, asked: "force-leave ghost false",
			err: errors.New("agent: No node found with name 'ghost'"), answer: "agent: No node found with name 'ghost'",
		},

		{
			rule: "keys are listed", send: "GET /v1/operator/keyring?relay-factor=2", status: 200, asked: `keyring 0 "" 2`,
			answer: ringJSON,
		},
		{rule: "the own datacenter is all there is", send: "GET /v1/operator/keyring?local-only=true", status: 200, asked: `keyring 0 "" 0`, answer: ringJSON},
		{rule: "POST installs", send: "POST /v1/operator/keyring", body: `{"Key":"a2V5"}`, status: 200, asked: `keyring 1 "a2V5" 0`},
		{rule: "PUT makes primary", send: "PUT /v1/operator/keyring?relay-factor=5", body: `{"key":"a2V5"} and more`, status: 200, asked: `keyring 2 "a2V5" 5`},
		{rule: "DELETE removes", send: "DELETE /v1/operator/keyring", body: `{"Key":"a2V5"}`, status: 200, asked: `keyring 3 "a2V5" 0`},
		{rule: "a change needs a body", send: "POST /v1/operator/keyring", status: 400, answer: "Request decode failed: EOF"},
		{rule: "so does a removal", send: "DELETE /v1/operator/keyring", status: 400, answer: "Request decode failed: EOF"},
		{rule: "without unknown fields", send: "PUT /v1/operator/keyring", body: `{"Bogus":"x"}`, status: 400, answer: `Request decode failed: json: unknown field "Bogus"`},
		{rule: "the body is looked at before the parameters", send: "PUT /v1/operator/keyring?relay-factor=9", status: 400, answer: "Request decode failed: EOF"},
		{rule: "a relay factor is at most 5", send: "GET /v1/operator/keyring?relay-factor=6", status: 400, answer: "Invalid relay-factor: Relay factor must be in range: [0, 5]"},
		{rule: "nor below 0", send: "GET /v1/operator/keyring?relay-factor=-1", status: 400, answer: "Invalid relay-factor: Relay factor must be in range: [0, 5]"},
		{rule: "a relay factor is a number", send: "GET /v1/operator/keyring?relay-factor=x", status: 400, answer: `Error parsing relay factor: strconv.Atoi: parsing "x": invalid syntax`},
		{rule: "local-only is a boolean", send: "GET /v1/operator/keyring?local-only=x", status: 400, answer: `Error parsing local-only: strconv.ParseBool: parsing "x": invalid syntax`},
		{rule: "and only for lists", send: "POST /v1/operator/keyring?local-only=1", body: `{"Key":"x"}`, status: 400, answer: "Invalid use of local-only: local-only can only be set for list requests"},
		{rule: "unless it is false", send: "POST /v1/operator/keyring?local-only=false", body: `{"Key":"x"}`, status: 200, asked: `keyring 1 "x" 0`},
		{
			rule: "without encryption there are no keys", send: "GET /v1/operator/keyring?local-only=true", status: 500, asked: `keyring 0 "" 0`, err: notEncrypted(),
			answer: "2 errors occurred:\n\t* dc1 (LAN) error: 1/1 nodes reported failure\n\t* alpha: Keyring is empty (encryption not enabled)\n\n",
		},
		{
			rule: "every member that failed has its line, in the order of names", send: "PUT /v1/operator/keyring", body: `{"Key":"x"}`, status: 500, asked: `keyring 2 "x" 0`,
			err:    fmt.Errorf("use key: %w", &KeyringError{Datacenter: "dc1", Members: 3, Failed: 2, Messages: map[string]string{"b": "no", "a": "never"}}),
			answer: "3 errors occurred:\n\t* dc1 (LAN) error: 2/3 nodes reported failure\n\t* a: never\n\t* b: no\n\n",
		},
		{
			rule: "another error is one", send: "POST /v1/operator/keyring", body: `{"Key":"x"}`, status: 500, asked: `keyring 1 "x" 0`, err: errors.New("gone"),
			answer: "1 error occurred:\n\t* dc1 (LAN) error: gone\n\n",
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			m := &fakeMembership{err: tc.err, rings: oneRing}
			method, target, _ := strings.Cut(tc.send, " ")
			w := ask(t, newMembershipServer(t, m), method, target, tc.body)
			expect(t, w, tc.status, tc.answer)
			if got := m.take(); got != tc.asked {
				t.Errorf("asked for %q, want %q", got, tc.asked)
			}
			kind := "application/json"
			if tc.status != http.StatusOK {
				kind = "text/plain; charset=utf-8"
			}
			expectHeader(t, w, "Content-Type", kind)
			expectHeader(t, w, "X-Consul-Index", "")
		})
	}
}

// TestLeaveIsAnsweredBeforeItIsDone: a client that gives up after some seconds of
// silence must not take a leave for a failure.
//
// Source: contract, agent, "Where Holdfast should differ" 4.
func TestLeaveIsAnsweredBeforeItIsDone(t *testing.T) {
	proceed := make(chan struct{})
	m := &fakeMembership{leave: func(ctx context.Context) error {
		<-proceed
		return ctx.Err()
	}}
	server := httptest.NewServer(newMembershipServer(t, m))
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/v1/agent/leave", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK || m.take() != "" {
		t.Fatalf("answered %d", res.StatusCode)
	}
	close(proceed)
	body, err := io.ReadAll(res.Body)
	if err != nil || len(body) > 0 {
		t.Errorf("the body is %q, %v", body, err)
	}
	if got := m.take(); got != "leave" {
		t.Errorf("the body ended before the server had left: %q", got)
	}
}

func TestLeaveGoesOnWithoutItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := &fakeMembership{leave: func(ctx context.Context) error {
			cancel()
			time.Sleep(time.Second)
			return ctx.Err()
		}}
		w := askIn(ctx, t, newMembershipServer(t, m), http.MethodPut, "/v1/agent/leave", "")
		expect(t, w, http.StatusOK, "")
		if got := m.take(); got != "leave" {
			t.Errorf("it did %q", got)
		}
	})
}

func (f *fakeMembership) AutopilotConfig() *fsm.Autopilot { return nil }
