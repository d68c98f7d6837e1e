package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/acl/login"
	"github.com/holdfast-kv/holdfast/internal/limit"
)

// counted is what a server has counted of its refusals, without what is 0.
func counted(s *Server) map[string]uint64 {
	all := map[string]uint64{}
	note := func(label string, n uint64) {
		if n > 0 {
			all[label] = n
		}
	}
	s.Refusals().EachDenial(note)
	s.Refusals().EachTooMany(note)
	s.Refusals().EachLogin(func(result string, n uint64) { note("login "+result, n) })
	return all
}

func expectCounted(t *testing.T, s *Server, want map[string]uint64) {
	t.Helper()
	if got := counted(s); fmt.Sprint(got) != fmt.Sprint(want) { // maps are printed sorted
		t.Errorf("counted is %v, want %v", got, want)
	}
}

func TestDenialsAreCounted(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "a", "1")
	x := g.token(t, `key "a" { policy = "read" }`)
	g.as(t, x, http.MethodGet, "/v1/kv/a", "")  // may be read
	g.as(t, x, http.MethodPut, "/v1/kv/a", "2") // and not written
	g.as(t, x, http.MethodGet, "/v1/kv/b", "")
	g.as(t, x, http.MethodDelete, "/v1/kv/a", "")
	g.as(t, x, http.MethodDelete, "/v1/kv/?recurse", "")
	g.as(t, x, http.MethodGet, "/v1/acl/tokens", "")
	g.as(t, x, http.MethodGet, "/v1/operator/raft/configuration", "")
	g.as(t, testToken{secret: newID(t)}, http.MethodGet, "/v1/kv/a", "")
	// A transaction counts once, as what it lacks first.
	g.as(t, x, http.MethodPut, "/v1/txn", `[{"KV":{"Verb":"set","Key":"a","Value":""}},{"KV":{"Verb":"set","Key":"b","Value":""}}]`)
	expectCounted(t, g.Server, map[string]uint64{
		"key:write": 2, "key:read": 1, "key:delete": 1, "key:write-prefix": 1, "acl:read": 1, "operator:read": 1, "unknown_token": 1,
	})
}

// TestEveryDenialHasItsCounter: nothing that may be lacking is counted as something else.
func TestEveryDenialHasItsCounter(t *testing.T) {
	var m RefusalMetrics
	want := 0
	for r := acl.ResourceACL; r <= acl.ResourceSession; r++ {
		for a := acl.AccessRead; a <= acl.AccessHistory; a++ {
			if exists(r, a) {
				m.denied(&acl.PermissionError{Resource: r, Access: a})
				want++
			}
		}
	}
	m.denied(acl.ErrNotFound)
	m.denied(&DeniedError{"Permission denied"})
	seen := 0
	m.EachDenial(func(right string, n uint64) {
		if seen++; n != 1 {
			t.Errorf("%s is counted %d times", right, n)
		}
	})
	if seen != want+2 {
		t.Errorf("%d counters, want %d", seen, want+2)
	}
}

// loginServer has a method that takes tokens of one signer.
func loginServer(t *testing.T) (g *guardedServer, attempt func(bearer string) *httptest.ResponseRecorder) {
	t.Helper()
	g = newGuardedServer(t, acl.DefaultDeny)
	config, err := login.Normalize(login.Cert, json.RawMessage(`{"AllowCommonName":true}`))
	if err != nil {
		t.Fatal(err)
	}
	g.change(t, &acl.Change{SetMethod: &acl.AuthMethod{Name: "certs", Type: login.Cert, Config: config}})
	return g, func(method string) *httptest.ResponseRecorder {
		return ask(t, g.Server, http.MethodPost, "/v1/acl/login", fmt.Sprintf(`{"AuthMethod":%q}`, method))
	}
}

// TestFailedLoginsAreSlowed: after a burst from one address, together with unknown tokens.
// What is wrong with the request, and good tokens from there, have nothing to do with it.
func TestFailedLoginsAreSlowed(t *testing.T) {
	g, attempt := loginServer(t)
	for i := range limit.Attempts {
		w := attempt([]string{"certs", "none"}[i%2])
		if want := []int{http.StatusInternalServerError, http.StatusForbidden}[i%2]; w.Code != want {
			t.Fatalf("attempt %d is answered %d %s, want %d", i+1, w.Code, w.Body, want)
		}
	}
	w := attempt("certs")
	expect(t, w, http.StatusTooManyRequests, "Too many failed logins come from your address, wait before you try again")
	expectHeader(t, w, "Retry-After", "1")
	w = g.as(t, testToken{secret: newID(t)}, http.MethodGet, "/v1/kv/a", "")
	if w.Code != http.StatusTooManyRequests {
		t.Errorf("an unknown token is answered %d %s", w.Code, w.Body)
	}
	if w := ask(t, g.Server, http.MethodPost, "/v1/acl/login", "{"); w.Code != http.StatusBadRequest {
		t.Errorf("a body that is none is answered %d %s", w.Code, w.Body)
	}
	g.asRoot(t, http.MethodGet, "/v1/acl/tokens", "", nil)
	expectCounted(t, g.Server, map[string]uint64{
		"login refused": limit.Attempts + 1, "login failed": 1, "unknown_token": 1, "auth_failures": 2,
	})
}

// TestWhatCountsAsAFailedLogin: only what is the fault of the credential.
func TestWhatCountsAsAFailedLogin(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		err     error
		refused bool
	}{
		{"a login that works", nil, false},
		{"a credential that is no good", &badLogin{serverError("no")}, true},
		{"one that gives nothing", &badLogin{&acl.PermissionError{Bare: true}}, true},
		{"a provider that does not answer", serverError("error fetching keys"), false},
		{"a client that has left", errClientGone, false},
		{"no leader", ErrNoLeader, false},
		{"a body that is none", badRequest("no"), false},
	} {
		var m RefusalMetrics
		if got := m.loggedIn(tc.err); got != tc.refused {
			t.Errorf("%s: refused = %v", tc.rule, got)
		}
		total := uint64(0)
		m.EachLogin(func(_ string, n uint64) { total += n })
		if total != 1 {
			t.Errorf("%s is counted %d times", tc.rule, total)
		}
	}
}

// TestTooManyIsCountedByItsCause: and what was answered 429 because something is not
// healthy is not.
func TestTooManyIsCountedByItsCause(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.whoCan.Lock()
	ask(t, g.Server, http.MethodGet, "/v1/acl/who-can?resource=key&access=write&name=a", "", "X-Consul-Token", g.root)
	g.whoCan.Unlock()
	g.streams.Store(maxStreams)
	ask(t, g.Server, http.MethodGet, "/v1/agent/metrics/stream", "", "X-Consul-Token", g.root)
	settings := testSettings()
	settings.ParkedTotal, settings.DefaultPolicy = 1, []string{"deny"}
	g.Configure(settings)
	if err := g.parked.enter(clientOf(httptest.NewRequest(http.MethodGet, "/", nil)), nil, &settings); err != nil {
		t.Fatal(err)
	}
	g.put(t, "a", "1")
	index := ask(t, g.Server, http.MethodGet, "/v1/kv/a", "", "X-Consul-Token", g.root).Header().Get("X-Consul-Index")
	w := ask(t, g.Server, http.MethodGet, "/v1/kv/a?wait=1s&index="+index, "", "X-Consul-Token", g.root)
	if w.Code != http.StatusTooManyRequests {
		t.Errorf("one query too many is answered %d %s", w.Code, w.Body)
	}
	expectCounted(t, g.Server, map[string]uint64{"who_can": 1, "streams": 1, "parked_queries_total": 1})
}

// TestCausesHaveNames: a label that is empty would be a series that nobody finds.
func TestCausesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	new(RefusalMetrics).EachTooMany(func(cause string, _ uint64) {
		if cause == "" || seen[cause] || strings.ToLower(cause) != cause {
			t.Errorf("a cause is called %q", cause)
		}
		seen[cause] = true
	})
	if err := tooMany(causeQueue, "x"); statusOf(fmt.Errorf("lock: %w", err)) != http.StatusTooManyRequests || errors.Is(err, errClientGone) {
		t.Errorf("%v is answered %d", err, statusOf(err))
	}
}
