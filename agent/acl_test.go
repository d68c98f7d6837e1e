package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

const management = "11111111-2222-3333-4444-555555555555"

// withACLs is a server in memory that checks requests.
func withACLs(t *testing.T, change func(*config.Config), now func() time.Time) *inMemory {
	t.Helper()
	cfg := testConfig()
	cfg.ACL.Enabled, cfg.ACL.DefaultPolicy, cfg.ACL.Tokens.InitialManagement = true, "deny", management
	if change != nil {
		change(cfg)
	}
	m, _ := startInMemory(t, Options{Loaded: &config.Loaded{Config: cfg}, Now: now})
	return m
}

// await waits until the ACL tables are as they should be.
func (m *inMemory) await(t *testing.T, what string, ok func(acl.View) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		w := m.store.Topics().WatchKey(fsm.TopicACL)
		if ok(m.store.View().ACL()) {
			w.Stop()
			return
		}
		select {
		case <-w.C:
		case <-w.Reset:
		case <-ctx.Done():
			t.Fatalf("not so in time: %s", what)
		}
		w.Stop()
	}
}

func (m *inMemory) change(t *testing.T, c *acl.Change) fsm.Result {
	t.Helper()
	res, err := m.Propose(t.Context(), &fsm.Command{ACL: c})
	if err != nil || !res.Applied {
		t.Fatalf("%+v, %v", res, err)
	}
	return res
}

// token makes a token and returns who has it.
func (m *inMemory) token(t *testing.T, n int, expires time.Time) *acl.Identity {
	t.Helper()
	secret := fmt.Sprintf("99999999-0000-0000-0000-%012d", n)
	m.change(t, &acl.Change{SetToken: &acl.SetToken{Create: true, Token: &acl.Token{
		Accessor: fmt.Sprintf("aaaaaaaa-0000-0000-0000-%012d", n), Secret: secret, Expires: expires,
		Hash: acl.HashSecret(m.store.View().ACL().Key(), secret), Links: acl.Links{Policies: []string{acl.ManagementID}},
	}}})
	who, err := m.acl.Resolve(secret)
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// TestACLsAreReadyWhenAServerLeads: nobody is answered before.
func TestACLsAreReadyWhenAServerLeads(t *testing.T) {
	m := withACLs(t, nil, nil)
	v := m.store.View().ACL()
	if !v.Ready(management) || v.BootstrapIndex() == 0 {
		t.Fatalf("the tables are not ready: %+v", *v.Meta())
	}
	who, err := m.acl.Resolve(management)
	if err != nil {
		t.Fatal(err)
	}
	if tok := who.Token; tok.Description != "Initial Management Token" || tok.Secret != management || tok.Created.IsZero() {
		t.Errorf("the management token is %+v", *tok)
	}
	if who, err = m.acl.Resolve(""); err != nil || who.Accessor != acl.AnonymousAccessor || who.Token.Description != "Anonymous Token" {
		t.Errorf("without a token it is %+v, %v", who, err)
	}
	if _, err := m.acl.Resolve("99999999-0000-0000-0000-000000000000"); !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("a token that nobody has: %v", err)
	}
	if changed := m.index(t); m.readyACL(t.Context(), m.Propose) != nil || m.index(t) != changed {
		t.Error("to make them ready again is a change")
	}
}

func (m *inMemory) index(t *testing.T) uint64 {
	t.Helper()
	return m.store.View().ACL().Index()
}

// TestWithoutACLsThereIsNothing of them in the state, and nothing in the log.
func TestWithoutACLsThereIsNothing(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	if m.acl != nil || m.store.View().ACL().Index() != 0 {
		t.Error("there is")
	}
}

// TestRevokedTokenWritesNothingThroughTheLog: the server has found that somebody may
// write; before that gets into the log the token is deleted.
func TestRevokedTokenWritesNothingThroughTheLog(t *testing.T) {
	m := withACLs(t, nil, nil)
	who := m.token(t, 1, time.Time{})
	put := func(key string) fsm.Result {
		t.Helper()
		res, err := m.Propose(t.Context(), &fsm.Command{
			Write: &kvs.Op{Verb: kvs.Set, Key: key, Value: []byte("v")}, Checked: who.Checked, Origin: kvs.Origin{Accessor: who.Accessor},
		})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := put("before"); !res.Applied {
		t.Fatalf("refused before: %+v", res)
	}
	m.change(t, &acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{who.Accessor}}})
	if res := put("after"); res.Applied || res.Denied != "ACL not found" {
		t.Errorf("after: %+v", res)
	}
	if m.store.View().Item("after") != nil {
		t.Error("it was written")
	}
}

// TestExpiredTokensAreDeleted, and no others.
func TestExpiredTokensAreDeleted(t *testing.T) {
	var ahead atomic.Int64 // of the clock, in nanoseconds
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	m := withACLs(t, nil, now)
	soon := m.token(t, 1, now().Add(time.Hour))
	m.token(t, 2, now().Add(2*time.Hour))
	m.token(t, 3, time.Time{})
	ahead.Add(int64(time.Hour))
	if _, err := m.acl.Again(soon); !errors.Is(err, acl.ErrNotFound) {
		t.Errorf("whoever waits is told %v at the end of the token", err)
	}
	m.await(t, "the token is deleted", func(v acl.View) bool { return v.Token(soon.Accessor) == nil })
	left := 0
	m.store.View().ACL().Tokens(func(*acl.Token) bool { left++; return true })
	if left != 4 { // with the anonymous and the management token
		t.Errorf("%d tokens are left, want 4", left)
	}
}

// TestSecretsAreConverted when the configuration says so.
func TestSecretsAreConverted(t *testing.T) {
	hashed := withACLs(t, func(cfg *config.Config) { cfg.ACL.Secrets = config.SecretsHashed }, nil)
	who, err := hashed.acl.Resolve(management)
	if err != nil || who.Token.Secret != "" || !hashed.store.View().ACL().Hashed() {
		t.Errorf("the secret is kept: %v", err)
	}

	m := withACLs(t, nil, nil)
	who = m.token(t, 1, time.Time{})
	if who.Token.Secret == "" {
		t.Fatal("the secret is not kept")
	}
	cfg := *m.config()
	cfg.ACL.Secrets = config.SecretsHashed
	m.loaded.Store(&config.Loaded{Config: &cfg})
	if err := m.readyACL(t.Context(), m.Propose); err != nil {
		t.Fatal(err)
	}
	if who, err = m.acl.Again(who); err != nil || who.Token.Secret != "" {
		t.Errorf("after the switch the secret is still kept, or the token is not found: %v", err)
	}
}

// TestReloadEndsWhatRunsWithTheFormerToken: a token of the server that the configuration
// has replaced is worth nothing from the reload on, for what runs with it neither. One that
// was set over the API stays.
func TestReloadEndsWhatRunsWithTheFormerToken(t *testing.T) {
	const former, next = "22222222-2222-3333-4444-555555555555", "33333333-2222-3333-4444-555555555555"
	configured := func(recovery string) *config.Config {
		cfg := testConfig()
		cfg.ACL.Enabled, cfg.ACL.DefaultPolicy = true, "deny"
		cfg.ACL.Tokens = config.ACLTokens{InitialManagement: management, AgentRecovery: recovery}
		return cfg
	}
	reloaded := configured(former)
	m, _ := startInMemory(t, Options{
		Loaded: &config.Loaded{Config: configured(former)},
		Reload: func() (*config.Loaded, error) { return &config.Loaded{Config: reloaded}, nil },
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.url+"/v1/agent/metrics/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Consul-Token", former)
	stream, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if stream.StatusCode != http.StatusOK {
		t.Fatalf("the stream is answered %s", stream.Status)
	}
	reload := func(secret string) {
		t.Helper()
		reloaded = configured(secret)
		if summary, err := m.ReloadConfig(); err != nil || strings.Contains(summary, secret) {
			t.Fatalf("reload: %q, %v", summary, err)
		}
	}
	reload(next)
	if text, err := io.ReadAll(stream.Body); err != nil || !strings.HasSuffix(string(text), `{"Error":"ACL not found","Status":403}`+"\n") {
		t.Errorf("the stream ended with %q, %v", text, err)
	}
	asks := func(secret string, want int) {
		t.Helper()
		if status, _, text := m.ask(t, http.MethodGet, "/v1/agent/self", "", "X-Consul-Token", secret); status != want {
			t.Errorf("%s: %d %s, want %d", secret, status, text, want)
		}
	}
	asks(former, http.StatusForbidden)
	asks(next, http.StatusOK)
	if err := m.tokens.SetToken(slotRecovery, former); err != nil {
		t.Fatal(err)
	}
	reload("44444444-2222-3333-4444-555555555555")
	asks(former, http.StatusOK)
	if strings.Contains(m.log.String(), next) || strings.Contains(m.log.String(), former) {
		t.Error("a secret is in the log")
	}
}

// TestGuessesAreBoundedByConfiguration: and counted.
func TestGuessesAreBoundedByConfiguration(t *testing.T) {
	var ahead atomic.Int64 // of the clock, in nanoseconds
	m := withACLs(t, func(c *config.Config) {
		c.Limits.AuthFailuresPerClient, c.Limits.AuthFailuresTime = 2, 10*time.Minute
	}, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	guess := func(want int, after string) {
		t.Helper()
		status, header, body := m.ask(t, http.MethodGet, "/v1/kv/a", "", "X-Consul-Token", "guess")
		if status != want || header.Get("Retry-After") != after {
			t.Errorf("a guess is answered %d %q, Retry-After %q; want %d and %q", status, body, header.Get("Retry-After"), want, after)
		}
	}
	guess(403, "")
	guess(403, "")
	guess(429, "300")
	if status, _, body := m.ask(t, http.MethodGet, "/v1/kv/a", "", "X-Consul-Token", management); status != 404 {
		t.Errorf("a good token is answered %d %s", status, body)
	}
	ahead.Add(int64(5 * time.Minute))
	guess(403, "")
	guess(429, "300")
	status, _, _ := m.ask(t, http.MethodPost, "/v1/acl/login", `{"AuthMethod":"none","BearerToken":"x"}`)
	if status != 429 {
		t.Errorf("a login that fails is answered %d", status)
	}
	families := m.scrape(t, "X-Consul-Token", management)
	for _, tc := range []struct {
		name, label, of string
		want            float64
	}{
		{"holdfast_acl_denials_total", "right", "unknown_token", 5},
		{"holdfast_acl_logins_total", "result", "refused", 1},
		{"holdfast_http_too_many_total", "cause", "auth_failures", 3},
	} {
		if got := value(t, families, tc.name, tc.label, tc.of); got != tc.want {
			t.Errorf("%s{%s=%q} is %v, want %v", tc.name, tc.label, tc.of, got, tc.want)
		}
	}
}
