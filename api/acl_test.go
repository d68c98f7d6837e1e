package api_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/api"
)

func TestCallsOnTheACLsSendWhatTheContractSays(t *testing.T) {
	const id = "6b4f0c3e-9d1f-4a52-8a77-0b6d6c1c3f10"
	read := func(f func(context.Context, api.ACL) error) func(context.Context, *api.Client) error {
		return func(ctx context.Context, c *api.Client) error { return f(ctx, c.ACL()) }
	}
	for _, tc := range []struct {
		rule   string
		call   func(context.Context, *api.Client) error
		answer string
		method string
		uri    string
		body   string
	}{
		{"bootstrap", read(func(ctx context.Context, a api.ACL) error { _, err := a.Bootstrap(ctx, ""); return err }), "{}", "PUT", "/v1/acl/bootstrap", ""},
		{"bootstrap with a secret", read(func(ctx context.Context, a api.ACL) error { _, err := a.Bootstrap(ctx, id); return err }), "{}", "PUT", "/v1/acl/bootstrap", `{"BootstrapSecret":"` + id + `"}`},
		{"logout", read(func(ctx context.Context, a api.ACL) error { return a.Logout(ctx) }), "true", "POST", "/v1/acl/logout", ""},
		{
			"login", read(func(ctx context.Context, a api.ACL) error {
				_, err := a.Login(ctx, api.Login{AuthMethod: "ci", BearerToken: "b"})
				return err
			}), "{}", "POST", "/v1/acl/login", `{"AuthMethod":"ci","BearerToken":"b"}`,
		},
		{
			"make a token", read(func(ctx context.Context, a api.ACL) error {
				_, err := a.CreateToken(ctx, api.ACLToken{
					Description: "d", ExpirationTTL: api.Duration(time.Hour),
					ACLLinks: api.ACLLinks{Policies: []api.ACLLink{{Name: "p"}}, ServiceIdentities: []api.ACLServiceIdentity{{ServiceName: "s"}}},
				})
				return err
			}), "{}", "PUT", "/v1/acl/token", `{"Description":"d","Policies":[{"Name":"p"}],"ServiceIdentities":[{"ServiceName":"s"}],"Local":false,"ExpirationTTL":"1h0m0s"}`,
		},
		{
			"change a token", read(func(ctx context.Context, a api.ACL) error {
				_, err := a.UpdateToken(ctx, api.ACLToken{AccessorID: id})
				return err
			}), "{}", "PUT", "/v1/acl/token/" + id, `{"AccessorID":"` + id + `","Description":"","Local":false}`,
		},
		{"clone a token", read(func(ctx context.Context, a api.ACL) error { _, err := a.CloneToken(ctx, id, "c"); return err }), "{}", "PUT", "/v1/acl/token/" + id + "/clone", `{"Description":"c"}`},
		{"rotate a token", read(func(ctx context.Context, a api.ACL) error { _, err := a.RotateToken(ctx, id, time.Minute); return err }), "{}", "POST", "/v1/acl/token/" + id + "/rotate", `{"Grace":"1m0s"}`},
		{"delete a token", read(func(ctx context.Context, a api.ACL) error { return a.DeleteToken(ctx, id) }), "true", "DELETE", "/v1/acl/token/" + id, ""},
		{"the own token", read(func(ctx context.Context, a api.ACL) error { _, _, err := a.Self(ctx, api.Stale()); return err }), "{}", "GET", "/v1/acl/token/self?stale=", ""},
		{"a token with all rules", read(func(ctx context.Context, a api.ACL) error { _, _, err := a.TokenExpanded(ctx, id); return err }), "{}", "GET", "/v1/acl/token/" + id + "?expanded=true", ""},
		{"tokens of a role", read(func(ctx context.Context, a api.ACL) error {
			_, _, err := a.Tokens(ctx, api.ACLTokenFilter{Role: id})
			return err
		}), "[]", "GET", "/v1/acl/tokens?role=" + id, ""},
		{"the use of a token", read(func(ctx context.Context, a api.ACL) error { _, err := a.TokenUsage(ctx, id); return err }), "{}", "GET", "/v1/acl/token/" + id + "/usage", ""},
		{"a policy by its name", read(func(ctx context.Context, a api.ACL) error { _, _, err := a.PolicyByName(ctx, "builtin/x"); return err }), "{}", "GET", "/v1/acl/policy/name/builtin/x", ""},
		{
			"make a policy", read(func(ctx context.Context, a api.ACL) error {
				_, err := a.CreatePolicy(ctx, api.ACLPolicy{Name: "p", Rules: `acl = "read"`})
				return err
			}), "{}", "PUT", "/v1/acl/policy", `{"Name":"p","Description":"","Rules":"acl = \"read\""}`,
		},
		{"delete a policy", read(func(ctx context.Context, a api.ACL) error { return a.DeletePolicy(ctx, id) }), "true", "DELETE", "/v1/acl/policy/" + id, ""},
		{"roles of a policy", read(func(ctx context.Context, a api.ACL) error { _, _, err := a.Roles(ctx, id); return err }), "[]", "GET", "/v1/acl/roles?policy=" + id, ""},
		{"binding rules of a method", read(func(ctx context.Context, a api.ACL) error { _, _, err := a.BindingRules(ctx, "ci"); return err }), "[]", "GET", "/v1/acl/binding-rules?authmethod=ci", ""},
		{
			"replace an auth method", read(func(ctx context.Context, a api.ACL) error {
				_, err := a.PutAuthMethod(ctx, api.ACLAuthMethod{Name: "ci", Type: "jwt", Config: map[string]any{"BoundIssuer": "me"}})
				return err
			}), `{"MaxTokenTTL":"5m0s"}`, "PUT", "/v1/acl/auth-method/ci", `{"Name":"ci","Type":"jwt","Config":{"BoundIssuer":"me"}}`,
		},
		{
			"authorize", read(func(ctx context.Context, a api.ACL) error {
				_, err := a.Authorize(ctx, []api.ACLQuestion{{Resource: "key", Segment: "a", Access: "read"}, {Resource: "acl", Access: "write"}})
				return err
			}), "[]", "POST", "/v1/internal/acl/authorize", `[{"Resource":"key","Segment":"a","Access":"read"},{"Resource":"acl","Access":"write"}]`,
		},
		{"authorize nothing", read(func(ctx context.Context, a api.ACL) error { _, err := a.Authorize(ctx, nil); return err }), "[]", "POST", "/v1/internal/acl/authorize", "[]"},
		{
			"explain for another", read(func(ctx context.Context, a api.ACL) error {
				_, err := a.Explain(ctx, api.ACLQuestion{Resource: "acl", Access: "read"}, id)
				return err
			}), "{}", "POST", "/v1/acl/explain", `{"Resource":"acl","Access":"read","Accessor":"` + id + `"}`,
		},
		{
			"denials", read(func(ctx context.Context, a api.ACL) error {
				_, err := a.Denials(ctx, api.DenialFilter{Resource: "key", Prefix: "a/", Limit: 3})
				return err
			}), "[]", "GET", "/v1/acl/denials?limit=3&prefix=a%2F&resource=key", "",
		},
		{
			"a server's own token", func(ctx context.Context, c *api.Client) error { return c.Agent().SetToken(ctx, api.SlotDefault, "s") },
			"", "PUT", "/v1/agent/token/default", `{"Token":"s"}`,
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client, seen := record(t, answer(http.StatusOK, tc.answer))
			if err := tc.call(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			got := seen.last(t)
			if got.method != tc.method || got.uri != tc.uri || got.body != tc.body {
				t.Errorf("sent %s %s %s\nwant %s %s %s", got.method, got.uri, got.body, tc.method, tc.uri, tc.body)
			}
		})
	}
}

// TestLoginSendsNoToken: whoever logs in is not who holds the client's token.
func TestLoginSendsNoToken(t *testing.T) {
	client, seen := record(t, answer(http.StatusOK, "{}"), api.WithToken("mine"))
	if _, err := client.ACL().Login(t.Context(), api.Login{AuthMethod: "m"}); err != nil {
		t.Fatal(err)
	}
	if token, sent := seen.last(t).header["X-Consul-Token"]; sent {
		t.Errorf("sent the token %q", token)
	}
}

// TestNamelessACLObjectsAreNotAskedFor: an empty id would be another request.
func TestNamelessACLObjectsAreNotAskedFor(t *testing.T) {
	client, seen := record(t, answer(http.StatusOK, "true"))
	for what, err := range map[string]error{
		"token":  client.ACL().DeleteToken(t.Context(), ""),
		"policy": client.ACL().DeletePolicy(t.Context(), ""),
		"role":   client.ACL().DeleteRole(t.Context(), ""),
		"rule":   client.ACL().DeleteBindingRule(t.Context(), ""),
		"method": client.ACL().DeleteAuthMethod(t.Context(), ""),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if seen.count() != 0 {
		t.Errorf("the server was asked %d times", seen.count())
	}
}

func TestRefusalsCarryTheirReason(t *testing.T) {
	const explained = `{"Error":"Permission denied: no","Accessor":"a-1","Resource":"key","Access":"write","Name":"k",` +
		`"DecidedBy":"rule","Rule":{"Resource":"key_prefix","Match":"prefix","Label":"","Level":"read","PolicyID":"p-1","Policy":"p","Via":["token"]},"RequestID":"r-1"}`
	want := &api.Denial{
		Error: "Permission denied: no", Accessor: "a-1", Resource: "key", Access: "write", Name: "k", DecidedBy: "rule",
		Rule:      &api.DenialRule{Resource: "key_prefix", Match: "prefix", Level: "read", PolicyID: "p-1", Policy: "p", Via: []string{"token"}},
		RequestID: "r-1",
	}
	for _, tc := range []struct {
		rule, kind, body, text string
		want                   *api.Denial
	}{
		{"explained", "application/json", explained, "Permission denied: no", want},
		{"a text", "text/plain; charset=utf-8", "Permission denied: no", "Permission denied: no", nil},
		{"a text that looks like a reason", "text/plain", explained, explained, nil},
		{"somebody else's JSON", "application/json", `{"message":"no"}`, `{"message":"no"}`, nil},
		{"broken JSON", "application/json", `{"Error":`, `{"Error":`, nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client, seen := record(t, answer(http.StatusForbidden, tc.body, "Content-Type", tc.kind))
			_, err := client.KV().Put(t.Context(), "k", []byte("v"))
			var status *api.StatusError
			if !errors.Is(err, api.ErrDenied) || !errors.As(err, &status) || status.Body != tc.text {
				t.Errorf("error %v, want a denial with %q", err, tc.text)
			}
			if got := api.DenialOf(err); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("denial %+v, want %+v", got, tc.want)
			}
			if accept := seen.last(t).header.Get("Accept"); accept != "application/json" {
				t.Errorf("Accept: %q", accept)
			}
		})
	}
	if api.DenialOf(errors.New("x")) != nil {
		t.Error("any error has a reason")
	}
}

func TestMissingACLObjects(t *testing.T) {
	for _, tc := range []struct {
		code int
		body string
		want bool
	}{
		{404, "Requested policy does not exist: ACL not found", true},
		{404, "Cannot find role to delete", true},
		{403, "token does not exist: ACL not found", true},
		{403, "token has expired: ACL not found", true},
		{403, "ACL not found", false}, // the token that was sent
		{404, "Invalid URL path: not a recognized HTTP API endpoint", false},
		{500, "cannot find policy x", false},
	} {
		client, _ := record(t, answer(tc.code, tc.body))
		_, _, err := client.ACL().Policy(t.Context(), "x")
		if got := errors.Is(err, api.ErrACLNotFound); got != tc.want {
			t.Errorf("%d %s: ErrACLNotFound is %v, want %v", tc.code, tc.body, got, tc.want)
		}
	}
}
