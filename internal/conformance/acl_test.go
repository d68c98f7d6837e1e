package conformance

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// management is the secret of the token with all rights that servers of tests start with.
const management = "6f1f3b38-8a27-4a0c-8a35-0f9f7ce7a1d1"

// guarded are the options of a server that refuses what no rule allows.
func guarded() testcluster.Options {
	return testcluster.Options{Token: management, Config: map[string]any{"acl": map[string]any{
		"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": management},
	}}}
}

// as returns Consul's client for a server, with a token.
func as(t *testing.T, s *testcluster.Server, secret string) *api.Client {
	t.Helper()
	config := api.DefaultNonPooledConfig()
	config.Address, config.Token = s.Addr(), secret
	c, err := api.NewClient(config)
	must(t, err)
	return c
}

// wantCode fails the test unless err is an answer with that status.
func wantCode(t *testing.T, what string, err error, want int) {
	t.Helper()
	var status api.StatusError
	if !errors.As(err, &status) || status.Code != want {
		t.Errorf("%s: %v, want a %d", what, err, want)
	}
}

// TestACLBootstrap: the first token is made once, and works.
func TestACLBootstrap(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{Dev: true, Config: map[string]any{
		"acl": map[string]any{"enabled": true, "default_policy": "deny"},
	}})
	token, _, err := as(t, s, "").ACL().Bootstrap()
	must(t, err)
	if len(token.Policies) != 1 || token.Policies[0].Name != "global-management" || token.Local {
		t.Errorf("the first token: %+v", token)
	}
	put(t, as(t, s, token.SecretID).KV(), "x", "y")
	_, _, err = as(t, s, "").ACL().Bootstrap()
	wantCode(t, "the second bootstrap", err, 403)
}

// TestACLDisabled: the client is told that there is nothing to manage.
func TestACLDisabled(t *testing.T) {
	s := testcluster.Start(t, testcluster.Options{Dev: true})
	_, _, err := client(t, s).ACL().TokenList(nil)
	wantCode(t, "a list of tokens", err, 401)
}

// TestACLPolicies: policies are made, read, listed, changed and deleted, and their
// indexes move.
func TestACLPolicies(t *testing.T) {
	testcluster.EachMode(t, guarded(), func(t *testing.T, s *testcluster.Server) {
		acl := as(t, s, management).ACL()
		made, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: "app", Description: "d", Rules: `key_prefix "app/" { policy = "write" }`, Datacenters: []string{"dc1"}}, nil)
		must(t, err)
		s.Turn()
		acl = as(t, s, management).ACL()
		read, meta, err := acl.PolicyRead(made.ID, nil)
		must(t, err)
		if read.Name != "app" || read.Rules != made.Rules || !slices.Equal(read.Hash, made.Hash) || read.CreateIndex != made.CreateIndex || meta.LastIndex == 0 {
			t.Errorf("read %+v, made %+v", read, made)
		}
		byName, _, err := acl.PolicyReadByName("APP", nil)
		must(t, err)
		if byName.ID != made.ID {
			t.Errorf("by name: %+v", byName)
		}
		if none, _, err := acl.PolicyReadByName("none", nil); none != nil || err != nil {
			t.Errorf("a policy that does not exist: %+v, %v", none, err)
		}
		read.Description = "e"
		changed, _, err := acl.PolicyUpdate(read, nil)
		must(t, err)
		if changed.Description != "e" || changed.ModifyIndex <= made.ModifyIndex || slices.Equal(changed.Hash, made.Hash) {
			t.Errorf("changed: %+v", changed)
		}
		list, _, err := acl.PolicyList(nil)
		must(t, err)
		var names []string
		for _, p := range list {
			names = append(names, p.Name)
		}
		if !slices.Equal(names, []string{"app", "builtin/global-read-only", "global-management"}) {
			t.Errorf("list: %v", names)
		}
		_, err = acl.PolicyDelete(made.ID, nil)
		must(t, err)
		_, err = acl.PolicyDelete(made.ID, nil)
		wantCode(t, "the second delete", err, 404)
	})
}

// TestACLRoles: roles likewise, with every kind of link.
func TestACLRoles(t *testing.T) {
	s := testcluster.Start(t, guarded())
	acl := as(t, s, management).ACL()
	policy, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: "p", Rules: `operator = "read"`}, nil)
	must(t, err)
	made, _, err := acl.RoleCreate(&api.ACLRole{
		Name: "r", Description: "d", Policies: []*api.ACLLink{{Name: "p"}},
		ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: "web", Datacenters: []string{"dc1"}}},
		NodeIdentities:    []*api.ACLNodeIdentity{{NodeName: "n", Datacenter: "dc1"}},
		TemplatedPolicies: []*api.ACLTemplatedPolicy{{TemplateName: api.ACLTemplatedPolicyServiceName, TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "api"}}},
	}, nil)
	must(t, err)
	read, _, err := acl.RoleRead(made.ID, nil)
	must(t, err)
	if read.Policies[0].ID != policy.ID || read.ServiceIdentities[0].ServiceName != "web" || read.NodeIdentities[0].NodeName != "n" ||
		read.TemplatedPolicies[0].TemplateVariables.Name != "api" {
		t.Errorf("read: %+v", read)
	}
	read.Policies = nil
	changed, _, err := acl.RoleUpdate(read, nil)
	must(t, err)
	if len(changed.Policies) != 0 || len(changed.NodeIdentities) != 1 {
		t.Errorf("changed: %+v", changed)
	}
	if byName, _, err := acl.RoleReadByName("r", nil); err != nil || byName == nil || byName.ID != made.ID {
		t.Errorf("by name: %+v, %v", byName, err)
	}
	if none, _, err := acl.RoleRead("11111111-2222-3333-4444-555555555555", nil); none != nil || err != nil {
		t.Errorf("a role that does not exist: %+v, %v", none, err)
	}
	if list, _, err := acl.RoleList(nil); err != nil || len(list) != 1 {
		t.Errorf("list: %+v, %v", list, err)
	}
	_, err = acl.RoleDelete(made.ID, nil)
	must(t, err)
}

// TestACLTokens: tokens are made, read, listed, changed, cloned and deleted; what reads
// returned can be sent back.
func TestACLTokens(t *testing.T) {
	testcluster.EachMode(t, guarded(), func(t *testing.T, s *testcluster.Server) {
		acl := as(t, s, management).ACL()
		_, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: "p", Rules: `key_prefix "p/" { policy = "read" }`}, nil)
		must(t, err)
		_, _, err = acl.RoleCreate(&api.ACLRole{Name: "r", Policies: []*api.ACLLink{{Name: "p"}}}, nil)
		must(t, err)
		made, _, err := acl.TokenCreate(&api.ACLToken{
			Description: "d", Roles: []*api.ACLLink{{Name: "r"}}, ExpirationTTL: time.Hour,
			NodeIdentities: []*api.ACLNodeIdentity{{NodeName: "n", Datacenter: "dc1"}},
		}, nil)
		must(t, err)
		s.Turn()
		acl = as(t, s, management).ACL()
		read, _, err := acl.TokenRead(made.AccessorID, nil)
		must(t, err)
		if read.SecretID != made.SecretID || read.Roles[0].Name != "r" || !read.ExpirationTime.Equal(*made.ExpirationTime) || !slices.Equal(read.Hash, made.Hash) {
			t.Errorf("read %+v, made %+v", read, made)
		}
		read.Description = "e"
		changed, _, err := acl.TokenUpdate(read, nil)
		must(t, err)
		if changed.Description != "e" || changed.SecretID != made.SecretID {
			t.Errorf("changed: %+v", changed)
		}
		expanded, _, err := acl.TokenReadExpanded(made.AccessorID, nil)
		must(t, err)
		if len(expanded.ExpandedPolicies) != 2 || len(expanded.ExpandedRoles) != 1 || expanded.AgentACLDefaultPolicy != "deny" {
			t.Errorf("expanded: %+v", expanded)
		}
		self, _, err := as(t, s, made.SecretID).ACL().TokenReadSelf(nil)
		must(t, err)
		if self.AccessorID != made.AccessorID || self.SecretID != made.SecretID {
			t.Errorf("self: %+v", self)
		}
		clone, _, err := acl.TokenClone(made.AccessorID, "c", nil)
		must(t, err)
		if clone.SecretID == made.SecretID || clone.Roles[0].Name != "r" || clone.Description != "c" {
			t.Errorf("clone: %+v", clone)
		}
		list, _, err := acl.TokenList(nil)
		must(t, err)
		if len(list) != 4 { // with the anonymous one and the first
			t.Errorf("list: %d tokens", len(list))
		}
		_, err = acl.TokenDelete(made.AccessorID, nil)
		must(t, err)
		_, _, err = acl.TokenRead(made.AccessorID, nil)
		wantCode(t, "reading a token that was deleted", err, 403)
		_, _, err = as(t, s, made.SecretID).KV().Get("p/x", nil)
		wantCode(t, "using a token that was deleted", err, 403)
	})
}

// TestACLRights: what tokens may do with keys is what their rules say, and lists are cut.
func TestACLRights(t *testing.T) {
	testcluster.EachMode(t, guarded(), func(t *testing.T, s *testcluster.Server) {
		acl := as(t, s, management).ACL()
		_, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: "app", Rules: `key_prefix "app/" { policy = "write" } key_prefix "app/secret/" { policy = "deny" }`}, nil)
		must(t, err)
		token, _, err := acl.TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{Name: "app"}}}, nil)
		must(t, err)
		root := as(t, s, management).KV()
		put(t, root, "app/secret/x", "hidden")
		put(t, root, "other", "hidden")
		s.Turn()
		app := as(t, s, token.SecretID)
		put(t, app.KV(), "app/x", "y")
		_, err = app.KV().Put(&api.KVPair{Key: "other", Value: []byte("x")}, nil)
		wantCode(t, "a write outside", err, 403)
		_, _, err = app.KV().Get("app/secret/x", nil)
		wantCode(t, "a read of what is denied", err, 403)
		pairs, meta, err := app.KV().List("", nil)
		must(t, err)
		if len(pairs) != 1 || pairs[0].Key != "app/x" || !meta.ResultsFilteredByACLs {
			t.Errorf("list: %d pairs, filtered %v", len(pairs), meta.ResultsFilteredByACLs)
		}
		_, err = app.KV().DeleteTree("app/", nil)
		wantCode(t, "deleting a tree with what is denied in it", err, 403)
		ok, response, _, err := app.Txn().Txn(api.TxnOps{
			{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "app/t", Value: []byte("1")}},
			{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "other", Value: []byte("1")}},
		}, nil)
		must(t, err)
		if ok || len(response.Errors) != 1 || response.Errors[0].OpIndex != 1 || !strings.Contains(response.Errors[0].What, "Permission denied") {
			t.Errorf("a transaction: %v %+v", ok, response)
		}
		_, err = app.Operator().RaftGetConfiguration(nil)
		wantCode(t, "what is the operator's", err, 403)
		_, _, err = app.ACL().TokenList(nil)
		wantCode(t, "a list of tokens", err, 403)
	})
}

// TestACLLogin: somebody with a signed token gets a token of ours, with the rights that
// binding rules say, and loses it at the logout.
func TestACLLogin(t *testing.T) {
	testcluster.EachMode(t, guarded(), func(t *testing.T, s *testcluster.Server) {
		acl := as(t, s, management).ACL()
		provider, err := testcluster.NewIdentity()
		must(t, err)
		key, err := provider.PublicKey()
		must(t, err)
		now := time.Now()
		bearer, err := provider.Token(map[string]any{"iss": "me", "aud": "holdfast", "team": "Web", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
		must(t, err)
		method, _, err := acl.AuthMethodCreate(&api.ACLAuthMethod{Name: "ci", Type: "jwt", MaxTokenTTL: 5 * time.Minute, Config: map[string]any{
			"JWTValidationPubKeys": []string{key}, "BoundIssuer": "me", "BoundAudiences": []string{"holdfast"}, "ClaimMappings": map[string]string{"team": "team"},
		}}, nil)
		must(t, err)
		if method.MaxTokenTTL != 5*time.Minute || method.Config["BoundIssuer"] != "me" {
			t.Errorf("method: %+v", method)
		}
		method.Description = "builds"
		_, _, err = acl.AuthMethodUpdate(method, nil)
		must(t, err)
		if list, _, err := acl.AuthMethodList(nil); err != nil || len(list) != 1 || list[0].Description != "builds" {
			t.Errorf("methods: %+v, %v", list, err)
		}
		_, _, err = acl.PolicyCreate(&api.ACLPolicy{Name: "team-web", Rules: `key_prefix "web/" { policy = "write" }`}, nil)
		must(t, err)
		rule, _, err := acl.BindingRuleCreate(&api.ACLBindingRule{AuthMethod: "ci", BindType: api.BindingRuleBindTypePolicy, BindName: "team-${value.team}", Selector: `value.team == "web" or value.team == "Web"`}, nil)
		must(t, err)
		rule.Description = "teams"
		_, _, err = acl.BindingRuleUpdate(rule, nil)
		must(t, err)
		if read, _, err := acl.BindingRuleRead(rule.ID, nil); err != nil || read == nil || read.Description != "teams" {
			t.Errorf("rule: %+v, %v", read, err)
		}
		if rules, _, err := acl.BindingRuleList("ci", nil); err != nil || len(rules) != 1 {
			t.Errorf("rules: %+v, %v", rules, err)
		}
		s.Turn()
		token, _, err := as(t, s, "").ACL().Login(&api.ACLLoginParams{AuthMethod: "ci", BearerToken: bearer, Meta: map[string]string{"job": "7"}}, nil)
		must(t, err)
		if token.AuthMethod != "ci" || !token.Local || token.ExpirationTime == nil || token.Description != `token created via login: {"job":"7"}` {
			t.Errorf("token: %+v", token)
		}
		user := as(t, s, token.SecretID)
		put(t, user.KV(), "web/x", "y")
		_, err = user.KV().Put(&api.KVPair{Key: "db/x"}, nil)
		wantCode(t, "a write outside", err, 403)
		_, err = user.ACL().Logout(nil)
		must(t, err)
		_, _, err = user.KV().Get("web/x", nil)
		wantCode(t, "a read after the logout", err, 403)
		_, _, err = as(t, s, "").ACL().Login(&api.ACLLoginParams{AuthMethod: "ci", BearerToken: bearer[:len(bearer)-4] + "AAAA"}, nil)
		if err == nil {
			t.Error("somebody with a bad signature was let in")
		}
		acl = as(t, s, management).ACL()
		_, err = acl.BindingRuleDelete(rule.ID, nil)
		must(t, err)
		_, err = acl.AuthMethodDelete("ci", nil)
		must(t, err)
	})
}

// TestACLTemplates: templated policies are listed, read and previewed.
func TestACLTemplates(t *testing.T) {
	s := testcluster.Start(t, guarded())
	acl := as(t, s, management).ACL()
	all, _, err := acl.TemplatedPolicyList(nil)
	must(t, err)
	if _, found := all["builtin/service"]; !found {
		t.Errorf("templates: %v", all)
	}
	one, _, err := acl.TemplatedPolicyReadByName("builtin/node", nil)
	must(t, err)
	if one.TemplateName != "builtin/node" || one.Template == "" {
		t.Errorf("template: %+v", one)
	}
	policy, _, err := acl.TemplatedPolicyPreview(&api.ACLTemplatedPolicy{
		TemplateName: "builtin/service", TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "web"},
	}, nil)
	must(t, err)
	if !strings.Contains(policy.Rules, `service "web"`) {
		t.Errorf("preview: %+v", policy)
	}
}

// TestACLAgentTokens: a server can be told which tokens to use.
func TestACLAgentTokens(t *testing.T) {
	s := testcluster.Start(t, guarded())
	root := as(t, s, management)
	put(t, root.KV(), "x", "y")
	_, err := root.Agent().UpdateDefaultACLToken(management, nil)
	must(t, err)
	if pair, _ := get(t, as(t, s, "").KV(), "x"); pair == nil || string(pair.Value) != "y" {
		t.Errorf("with the default token: %+v", pair)
	}
	_, err = root.Agent().UpdateDefaultACLToken("", nil)
	must(t, err)
	_, _, err = as(t, s, "").KV().Get("x", nil)
	wantCode(t, "without the default token", err, 403)
	if state, _, err := root.ACL().Replication(nil); err != nil || state.Enabled {
		t.Errorf("replication: %+v, %v", state, err)
	}
}
