package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
)

// asRoot sends a request with the token that has all rights. It must be answered with
// 200; the answer is decoded into what into points to, unless that is nil.
func (g *guardedServer) asRoot(t testing.TB, method, target, body string, into any) *httptest.ResponseRecorder {
	t.Helper()
	return g.askAs(t, g.root, method, target, body, into)
}

func (g *guardedServer) askAs(t testing.TB, secret, method, target, body string, into any) *httptest.ResponseRecorder {
	t.Helper()
	w := ask(t, g.Server, method, target, body, "X-Consul-Token", secret)
	if w.Code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("%s %s: %v in %s", method, target, err, w.Body)
		}
	}
	return w
}

// madeToken is what tests look at of a token.
type madeToken struct {
	AccessorID, SecretID, Description, AuthMethod string
	CreateIndex, ModifyIndex                      uint64
	Hash                                          string
}

// TestAnswersAreWhatIsRead: what a change answers is what a read shows then.
func TestAnswersAreWhatIsRead(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.asRoot(t, "PUT", "/v1/acl/auth-method", `{"Name":"c","Type":"cert","MaxTokenTTL":"5m","Config":{"AllowCommonName":true}}`, nil)
	for _, tc := range []struct{ create, update, noun, key, name string }{
		{`{"Name":"a","Rules":"key \"x\" { policy = \"read\" }"}`, `{"Name":"b","Datacenters":["dc1"]}`, "policy", "ID", "/v1/acl/policy/name/b"},
		{`{"Name":"a","NodeIdentities":[{"NodeName":"n","Datacenter":"dc1"}]}`, `{"Name":"b","Policies":[{"Name":"b"}]}`, "role", "ID", "/v1/acl/role/name/b"},
		{
			`{"Description":"d","Roles":[{"Name":"b"}],"ExpirationTTL":"1h","TemplatedPolicies":[{"TemplateName":"builtin/dns"}]}`,
			`{"Policies":[{"Name":"b"}],"ServiceIdentities":[{"ServiceName":"s"},{"ServiceName":"s","Datacenters":["dc1"]}]}`, "token", "AccessorID", "",
		},
		{`{"Name":"m","Type":"cert","Config":{"AllowedDNS":["*.x"]}}`, `{"Config":{"AllowedURIs":["a/*"]},"DisplayName":"d"}`, "auth-method", "Name", ""},
		{`{"AuthMethod":"c","BindType":"policy","BindName":"b"}`, `{"BindType":"templated-policy","BindName":"builtin/node","BindVars":{"Name":"${value.name}"}}`, "binding-rule", "ID", ""},
	} {
		t.Run(tc.noun, func(t *testing.T) {
			path := "/v1/acl/" + tc.noun
			var row map[string]any
			made := g.asRoot(t, "PUT", path, tc.create, &row).Body.String()
			one := path + "/" + row[tc.key].(string)
			if read := g.asRoot(t, "GET", one, "", nil).Body.String(); read != made {
				t.Errorf("made:\n%s\nread:\n%s", made, read)
			}
			made = g.asRoot(t, "PUT", one, tc.update, nil).Body.String()
			if read := g.asRoot(t, "GET", one, "", nil).Body.String(); read != made {
				t.Errorf("updated:\n%s\nread:\n%s", made, read)
			}
			if tc.name != "" {
				if read := g.asRoot(t, "GET", tc.name, "", nil).Body.String(); read != made {
					t.Errorf("updated:\n%s\nread by name:\n%s", made, read)
				}
			}
			again := g.asRoot(t, "PUT", one, made, nil) // what was read may be sent back
			strip := func(s string) string { head, _, _ := strings.Cut(s, `"ModifyIndex"`); return head }
			if strip(again.Body.String()) != strip(made) {
				t.Errorf("sent back:\n%s\nwas:\n%s", again.Body, made)
			}
		})
	}
}

// TestHashedSecretsAreShownOnce: where only hashes are kept, a secret is in the answer
// that makes it and in what its holder asks about himself, and nowhere else.
func TestHashedSecretsAreShownOnce(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	var before, made, cloned madeToken
	g.asRoot(t, "PUT", "/v1/acl/token", `{"Description":"before"}`, &before)
	g.change(t, &acl.Change{Convert: &acl.Convert{Hashed: true}})
	g.asRoot(t, "PUT", "/v1/acl/token", `{"Description":"made"}`, &made)
	g.asRoot(t, "PUT", "/v1/acl/token/"+made.AccessorID+"/clone", `{}`, &cloned)
	for _, x := range []madeToken{before, made, cloned} {
		if !isUUID(x.SecretID) {
			t.Errorf("the secret that was made is %q", x.SecretID)
		}
		var self, read, updated madeToken
		if g.askAs(t, x.SecretID, "GET", "/v1/acl/token/self", "", &self); self.SecretID != x.SecretID {
			t.Errorf("its holder is told %q", self.SecretID)
		}
		if g.asRoot(t, "GET", "/v1/acl/token/"+x.AccessorID, "", &read); read.SecretID != hidden {
			t.Errorf("another is told %q", read.SecretID)
		}
		// Clients send back what they have read, or the secret itself.
		for _, secret := range []string{read.SecretID, x.SecretID, ""} {
			g.asRoot(t, "PUT", "/v1/acl/token/"+x.AccessorID, fmt.Sprintf(`{"Description":"u","SecretID":%q}`, secret), &updated)
			if updated.SecretID != hidden {
				t.Errorf("an update with %q is answered with %q", secret, updated.SecretID)
			}
		}
		w := ask(t, g.Server, "PUT", "/v1/acl/token/"+x.AccessorID, fmt.Sprintf(`{"SecretID":%q}`, newID(t)), "X-Consul-Token", g.root)
		expect(t, w, http.StatusInternalServerError, "Changing a token's SecretID is not permitted")
	}
	list := g.asRoot(t, "GET", "/v1/acl/tokens", "", nil).Body.String()
	for _, secret := range []string{before.SecretID, made.SecretID, cloned.SecretID, g.root} {
		if strings.Contains(list, secret) {
			t.Errorf("the list has a secret: %s", list)
		}
	}
	if !strings.Contains(list, `"SecretID":"anonymous"`) {
		t.Errorf("the anonymous token has lost its word: %s", list)
	}
}

// TestRotation: a token gets a new secret and keeps all else; the former one works as
// long as it was given, and a token may do it for itself.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		x := g.token(t, `key_prefix "" { policy = "read" }`)
		other := g.token(t, `acl = "read"`)
		works := func(secret string, want bool) {
			t.Helper()
			w := ask(t, g.Server, "GET", "/v1/kv/a", "", "X-Consul-Token", secret)
			if got := w.Code == http.StatusNotFound; got != want {
				t.Errorf("it is answered %d %s, want it to work: %v", w.Code, w.Body, want)
			}
		}
		path := "/v1/acl/token/" + x.accessor + "/rotate"
		w := ask(t, g.Server, "POST", path, "", "X-Consul-Token", other.secret)
		expect(t, w, http.StatusForbidden, "Permission denied: token with AccessorID '"+other.accessor+"' lacks permission 'acl:write'")
		for _, grace := range []string{"-1s", "25h"} {
			if w := ask(t, g.Server, "POST", path, `{"Grace":"`+grace+`"}`, "X-Consul-Token", g.root); w.Code != http.StatusBadRequest {
				t.Errorf("a grace of %s: %d %s", grace, w.Code, w.Body)
			}
		}
		w = ask(t, g.Server, "POST", "/v1/acl/token/"+acl.AnonymousAccessor+"/rotate", "", "X-Consul-Token", g.root)
		if w.Code != http.StatusInternalServerError {
			t.Errorf("the anonymous token: %d %s", w.Code, w.Body)
		}
		expect(t, ask(t, g.Server, "POST", "/v1/acl/token/"+newID(t)+"/rotate", "", "X-Consul-Token", g.root), http.StatusForbidden, errTokenGone.text)

		var own, again madeToken
		g.askAs(t, x.secret, "POST", path, `{"Grace":"10m"}`, &own)
		if own.AccessorID != x.accessor || own.SecretID == x.secret || !isUUID(own.SecretID) {
			t.Fatalf("rotated to %+v", own)
		}
		works(own.SecretID, true)
		works(x.secret, true)
		time.Sleep(10*time.Minute - time.Second)
		works(x.secret, true)
		time.Sleep(time.Second + time.Millisecond)
		works(x.secret, false)
		works(own.SecretID, true)
		g.asRoot(t, "POST", "/v1/holdfast/acl/token/"+x.accessor+"/rotate", "", &again)
		works(own.SecretID, false)
		works(again.SecretID, true)
	})
}

func TestLifetimesAreBounded(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny, func(s *Settings) { s.TokenMaxTTL = time.Hour })
	for _, tc := range []struct{ body, text string }{
		{`{}`, "Tokens must expire: give an ExpirationTTL of at most 1h0m0s"},
		{`{"ExpirationTTL":"61m"}`, "ExpirationTime cannot be more than 1h0m0s in the future (was 1h1m0s)"},
		{`{"ExpirationTTL":"1h"}`, ""},
	} {
		w := ask(t, g.Server, "PUT", "/v1/acl/token", tc.body, "X-Consul-Token", g.root)
		if tc.text == "" && w.Code == http.StatusOK {
			continue
		}
		expect(t, w, http.StatusInternalServerError, tc.text)
	}
}

// fakeResets is a reset file.
type fakeResets struct {
	index uint64
	used  bool
}

func (f *fakeResets) Reset() (uint64, error) { return f.index, nil }
func (f *fakeResets) Used() error            { f.used, f.index = true, 0; return nil }

// TestBootstrapIsAllowedByAFile: with the index of the bootstrap before, once.
func TestBootstrapIsAllowedByAFile(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	file := &fakeResets{}
	g.opts.Resets = file
	at := g.tables().BootstrapIndex()
	no := fmt.Sprintf("Permission denied: ACL bootstrap no longer allowed (reset index: %d)", at)
	applied := g.node.store.Applied()
	expect(t, ask(t, g.Server, "PUT", "/v1/acl/bootstrap", ""), http.StatusForbidden, no)
	if g.node.store.Applied() != applied {
		t.Error("what anybody can send gets into the log")
	}
	file.index = at + 1
	expect(t, ask(t, g.Server, "PUT", "/v1/acl/bootstrap", ""), http.StatusInternalServerError,
		fmt.Sprintf("Invalid bootstrap reset index (specified %d, reset index: %d)", at+1, at))
	if file.used {
		t.Error("a file that did not count was removed")
	}
	file.index = at
	var made struct {
		madeToken
		ID string
	}
	w := ask(t, g.Server, "PUT", "/v1/acl/bootstrap", `{"BootstrapSecret":"`+newID(t)+`"}`)
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != http.StatusOK || made.ID != made.SecretID {
		t.Fatalf("bootstrap: %d %s", w.Code, w.Body)
	}
	if !file.used {
		t.Error("the file was not removed")
	}
	g.askAs(t, made.SecretID, "PUT", "/v1/kv/a", "1", nil)
	g.asRoot(t, "GET", "/v1/kv/a", "", nil) // the one before stays valid
	if now := g.tables().BootstrapIndex(); now != made.CreateIndex {
		t.Errorf("the reset index is %d, want %d", now, made.CreateIndex)
	}
	if w := ask(t, g.Server, "PUT", "/v1/acl/bootstrap", ""); w.Code != http.StatusForbidden {
		t.Errorf("a second time: %d %s", w.Code, w.Body)
	}
}

// TestExplain: why a question is answered as it is, about oneself, about who is named to
// somebody with acl:read, and about whose secret is known.
func TestExplain(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	x := g.token(t, `key_prefix "app/" { policy = "write" } key_prefix "app/secret/" { policy = "read" }`)
	reader, nobody := g.token(t, `acl = "read"`), g.token(t, ``)
	const question = `"Resource":"key","Segment":"app/secret/x","Access":"write"`
	type explained struct {
		Resource, Segment, Access, AccessorID, DecidedBy string
		Allow                                            bool
		Rule                                             *struct {
			Resource, Match, Label, Level string
			Policy                        struct{ ID, Name string }
			Via                           []string
		}
		Lost []struct{ Label, Why string }
	}
	for _, tc := range []struct {
		who, secret, about string
	}{
		{"oneself", x.secret, ""},
		{"oneself by name", x.secret, `,"Accessor":"` + strings.ToUpper(x.accessor) + `"`},
		{"another, with acl:read", reader.secret, `,"Accessor":"` + x.accessor + `"`},
		{"another, with the secret", nobody.secret, `,"Token":"` + x.secret + `"`},
	} {
		t.Run(tc.who, func(t *testing.T) {
			var e explained
			w := g.askAs(t, tc.secret, "POST", "/v1/acl/explain", `{`+question+tc.about+`}`, &e)
			if e.Allow || e.DecidedBy != "rule" || e.AccessorID != x.accessor || e.Rule == nil || len(e.Lost) != 1 {
				t.Fatalf("explained as %s", w.Body)
			}
			if r := e.Rule; r.Resource != "key_prefix" || r.Match != "prefix" || r.Label != "app/secret/" || r.Level != "read" ||
				r.Policy.ID != x.policy || len(r.Via) != 1 || r.Via[0] != "token" {
				t.Errorf("the rule is %+v", r)
			}
			if e.Lost[0].Label != "app/" || e.Lost[0].Why == "" {
				t.Errorf("what lost is %+v", e.Lost)
			}
			if strings.Contains(w.Body.String(), x.secret) {
				t.Errorf("the secret is in the answer: %s", w.Body)
			}
		})
	}
	var list []explained
	g.askAs(t, x.secret, "POST", "/v1/holdfast/acl/explain", `[{`+question+`},{"Resource":"operator","Access":"read"}]`, &list)
	if len(list) != 2 || list[1].DecidedBy != "default_policy" || list[1].Rule != nil {
		t.Errorf("the list is %+v", list)
	}
	for _, tc := range []struct {
		body, secret string
		status       int
		text         string
	}{
		{`{` + question + `,"Accessor":"` + x.accessor + `"}`, nobody.secret, 403, "Permission denied: token with AccessorID '" + nobody.accessor + "' lacks permission 'acl:read'"},
		{`{` + question + `,"Accessor":"` + newID(t) + `"}`, reader.secret, 403, errTokenGone.text},
		{`{` + question + `,"Token":"` + newID(t) + `"}`, nobody.secret, 403, "ACL not found"},
		{`{` + question + `,"Token":"x","Accessor":"y"}`, reader.secret, 400, "Give Token or Accessor, not both"},
		{`{"Resource":"bogus","Access":"read"}`, reader.secret, 400, `Invalid ACL resource requested: "bogus"`},
		{``, reader.secret, 400, "Failed to decode request body: there is no question"},
	} {
		expect(t, ask(t, g.Server, "POST", "/v1/acl/explain", tc.body, "X-Consul-Token", tc.secret), tc.status, tc.text)
	}
}

// TestWhoCan: the tokens and the roles that have a right, and by which rule.
func TestWhoCan(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	writer := g.token(t, `key_prefix "app/" { policy = "write" }`)
	g.token(t, `key_prefix "app/" { policy = "read" }`)
	expired := g.token(t, `key_prefix "app/" { policy = "write" }`, func(row *acl.Token) { row.Expires = time.Now().Add(-time.Second) })
	g.asRoot(t, "PUT", "/v1/acl/role", `{"Name":"writers","Policies":[{"ID":"`+writer.policy+`"}]}`, nil)
	g.asRoot(t, "PUT", "/v1/acl/role", `{"Name":"others"}`, nil)
	var through madeToken
	g.asRoot(t, "PUT", "/v1/acl/token", `{"Roles":[{"Name":"writers"}]}`, &through)
	var got struct {
		Tokens []struct {
			AccessorID string
			Rule       struct {
				Label string
				Via   []string
			}
		}
		Roles     []struct{ Name string }
		Truncated bool
	}
	for _, how := range []func() *httptest.ResponseRecorder{
		func() *httptest.ResponseRecorder {
			return g.asRoot(t, "GET", "/v1/acl/who-can?resource=key&access=write&name=app/x", "", &got)
		},
		func() *httptest.ResponseRecorder {
			return g.asRoot(t, "POST", "/v1/acl/who-can", `{"Resource":"key","Access":"write","Segment":"app/x"}`, &got)
		},
	} {
		w := how()
		via := map[string]string{}
		for _, x := range got.Tokens {
			via[x.AccessorID] = strings.Join(x.Rule.Via, " ")
		}
		if len(via) != 3 || via[writer.accessor] != "token" || via[through.AccessorID] != "role:writers" || got.Truncated { // the third is root
			t.Errorf("the tokens are %s", w.Body)
		}
		if len(got.Roles) != 1 || got.Roles[0].Name != "writers" {
			t.Errorf("the roles are %s", w.Body)
		}
		if strings.Contains(w.Body.String(), expired.accessor) || strings.Contains(w.Body.String(), writer.secret) {
			t.Errorf("too much is told: %s", w.Body)
		}
	}
	g.whoCan.Lock()
	w := ask(t, g.Server, "GET", "/v1/acl/who-can?resource=key&access=write&name=a", "", "X-Consul-Token", g.root)
	g.whoCan.Unlock()
	if w.Code != http.StatusTooManyRequests {
		t.Errorf("two at once: %d %s", w.Code, w.Body)
	}
}

// TestUseOfTokens: when a token was used last, and from where.
func TestUseOfTokens(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	x, nobody := g.token(t, `key_prefix "" { policy = "read" }`), g.token(t, ``)
	var used struct {
		Requests    uint64
		LastUsed    *time.Time
		LastAddress string
		Node        string
	}
	path := "/v1/acl/token/" + x.accessor + "/usage"
	g.asRoot(t, "GET", path, "", &used)
	if used.Requests != 0 || used.LastUsed != nil || used.LastAddress != "" || used.Node != "node-1" {
		t.Errorf("before the first request: %+v", used)
	}
	for range 3 {
		ask(t, g.Server, "GET", "/v1/kv/a", "", "X-Consul-Token", x.secret)
	}
	g.askAs(t, x.secret, "GET", path, "", &used)
	if used.Requests != 3 || used.LastUsed == nil || time.Since(*used.LastUsed) > time.Minute || used.LastAddress != "192.0.2.1" {
		t.Errorf("after three requests: %+v", used)
	}
	if w := ask(t, g.Server, "GET", path, "", "X-Consul-Token", nobody.secret); w.Code != http.StatusForbidden {
		t.Errorf("asked by another: %d %s", w.Code, w.Body)
	}
	if w := ask(t, g.Server, "GET", "/v1/acl/token/"+newID(t)+"/usage", "", "X-Consul-Token", g.root); w.Code != http.StatusNotFound {
		t.Errorf("of no token: %d %s", w.Code, w.Body)
	}
}

// TestUsesAreBounded: tokens without end do not fill the memory.
func TestUsesAreBounded(t *testing.T) {
	var u uses
	for i := range 2 * mostUsed {
		u.note(&acl.Identity{Accessor: fmt.Sprintf("%036d", i)}, netip.Addr{}, time.Now())
	}
	kept := 0
	for i := range u.parts {
		kept += len(u.parts[i].by)
	}
	if kept > mostUsed {
		t.Errorf("%d are kept, and there is room for %d", kept, mostUsed)
	}
	if one := u.of(fmt.Sprintf("%036d", 0)); one == nil || one.requests.Load() != 1 {
		t.Error("the first is forgotten")
	}
}

// TestPoliciesThatMayBeMeantOtherwise: a policy is stored as it is, and what looks like a
// mistake is said.
func TestPoliciesThatMayBeMeantOtherwise(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	w := g.asRoot(t, "PUT", "/v1/acl/policy", `{"Name":"typo","Rules":"keyprefix \"x\" { policy = \"read\" }"}`, nil)
	if said := w.Header().Get("X-Holdfast-Warning"); !strings.Contains(said, "keyprefix") {
		t.Errorf("the warning is %q", said)
	}
	w = g.asRoot(t, "PUT", "/v1/acl/policy", `{"Name":"fine","Rules":"key_prefix \"x\" { policy = \"read\" }"}`, nil)
	expectHeader(t, w, "X-Holdfast-Warning", "")
}

// TestTokensOfTheServer: a slot takes any secret, and says so when nobody has issued it.
func TestTokensOfTheServer(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	x := g.token(t, `key_prefix "" { policy = "read" }`)
	w := g.asRoot(t, "PUT", "/v1/agent/token/default", `{"Token":"`+x.secret+`"}`, nil)
	expect(t, w, http.StatusOK, "")
	expectHeader(t, w, "X-Holdfast-Warning", "")
	if w := ask(t, g.Server, "GET", "/v1/kv/a", ""); w.Code != http.StatusNotFound {
		t.Errorf("a request without a token: %d %s", w.Code, w.Body)
	}
	// The token of the server is not that of whoever asks about himself by logging out.
	expect(t, ask(t, g.Server, "POST", "/v1/acl/logout", ""), http.StatusUnauthorized, "Supplied token does not exist")
	unknown := newID(t)
	w = g.asRoot(t, "PUT", "/v1/agent/token/acl_token", `{"Token":"`+unknown+`"}`, nil)
	expectHeader(t, w, "X-Holdfast-Warning", "no token has this secret now: ACL not found")
	expect(t, ask(t, g.Server, "GET", "/v1/kv/a", ""), http.StatusForbidden, "ACL not found")
	if log := g.takeLog(); strings.Contains(log, unknown) || strings.Contains(log, x.secret) {
		t.Errorf("a secret is in the log: %s", log)
	}
}

// TestSelfEndsWithItsToken: whoever waits for news about his own token is told at once
// that it is gone.
func TestSelfEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		x := g.token(t, ``)
		index := g.askAs(t, x.secret, "GET", "/v1/acl/token/self", "", nil).Header().Get("X-Consul-Index")
		waiting := make(chan *httptest.ResponseRecorder, 1)
		go func() {
			waiting <- ask(t, g.Server, "GET", "/v1/acl/token/self?wait=60s&index="+index, "", "X-Consul-Token", x.secret)
		}()
		synctest.Wait()
		g.asRoot(t, "PUT", "/v1/acl/policy", `{"Name":"unrelated"}`, nil)
		synctest.Wait()
		if len(waiting) != 0 {
			t.Fatalf("it is answered because of something else: %s", (<-waiting).Body)
		}
		g.asRoot(t, "DELETE", "/v1/acl/token/"+x.accessor, "", nil)
		expect(t, <-waiting, http.StatusForbidden, "token does not exist: ACL not found")
	})
}

// TestOtherDatacentersAreRefused: there is one.
func TestOtherDatacentersAreRefused(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	for _, tc := range []struct{ method, target, body string }{
		{"GET", "/v1/acl/policies?dc=x", ""},
		{"GET", "/v1/acl/token/self?dc=x", ""},
		{"PUT", "/v1/acl/token?dc=x", "{}"},
		{"PUT", "/v1/acl/bootstrap?dc=x", ""},
		{"POST", "/v1/acl/login?dc=x", "{}"},
		{"GET", "/v1/acl/replication?dc=x", ""},
		{"DELETE", "/v1/acl/role/" + newID(t) + "?dc=x", ""},
		{"POST", "/v1/internal/acl/authorize?dc=x", "[]"},
	} {
		w := ask(t, g.Server, tc.method, tc.target, tc.body, "X-Consul-Token", g.root)
		if w.Code != http.StatusInternalServerError || w.Body.String() != "No path to datacenter" {
			t.Errorf("%s %s: %d %s", tc.method, tc.target, w.Code, w.Body)
		}
	}
}
