package acl

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func TestBuiltinPolicies(t *testing.T) {
	management := from(t, DefaultDeny, ManagementRules)
	readOnly := from(t, DefaultDeny, ReadOnlyRules)
	for r := ResourceACL; r <= ResourceSession; r++ {
		if !management.Allow(r, AccessRead, "x") || !management.Allow(r, AccessWrite, "x") {
			t.Errorf("management lacks %s", r)
		}
		if !readOnly.Allow(r, AccessRead, "x") || readOnly.Allow(r, AccessWrite, "x") {
			t.Errorf("read-only: read of %s %v, write %v", r, readOnly.Allow(r, AccessRead, "x"), readOnly.Allow(r, AccessWrite, "x"))
		}
	}
	if !management.Allow(ResourceKey, AccessWritePrefix, "") || !management.Allow(ResourceKey, AccessList, "") {
		t.Error("management lacks a right on keys")
	}
}

func TestTemplates(t *testing.T) {
	for _, tc := range []struct {
		name    string
		yes, no string
	}{
		{"builtin/service", "service:write web;service:write web-sidecar-proxy;service:read x;node:read x", "service:write x;node:write x;key:read x"},
		{"builtin/node", "node:write web;service:read x", "node:read x;service:write web;key:read x"},
		{"builtin/dns", "node:read x;service:read x;query:read x", "node:write x;service:write web;query:write x;key:read x"},
		{"builtin/nomad-server", "acl:write;agent:read x;node:read x;service:write x", "agent:write x;node:write x;key:read x;operator:read"},
		{"builtin/nomad-client", "agent:read x;node:read x;key:read x;service:write x", "agent:write x;node:write x;key:write x;acl:read"},
		{"builtin/api-gateway", "mesh:read;node:read x;service:read x;service:write web", "mesh:write;node:write x;service:write x;key:read x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			template, known := TemplateByName(tc.name)
			if !known {
				t.Fatal("unknown")
			}
			p, err := template.Policy("web", nil)
			if err != nil {
				t.Fatal(err)
			}
			a := from(t, DefaultDeny, p.Rules)
			for i, questions := range []string{tc.yes, tc.no} {
				for _, q := range strings.Split(questions, ";") {
					if got := ask(t, a, q); got != (i == 0) {
						t.Errorf("%s: %v", q, got)
					}
				}
			}
			if needs := strings.Contains(template.Text, "{{"); needs != (template.Schema != "") || (template.Check("") != nil) != needs {
				t.Errorf("schema %q, without a name: %v", template.Schema, template.Check(""))
			}
		})
	}
	if got := len(Templates()); got != 6 {
		t.Errorf("%d templates", got)
	}
	template, _ := TemplateByName("builtin/service")
	if p, err := template.Policy(`x" { policy = "write" } acl = "write" #`, nil); err == nil {
		t.Errorf("a name that ends the label is taken: %s", p.Rules)
	}
	if err := template.Check("Bad"); err == nil || !strings.HasPrefix(err.Error(), `validation error for templated policy "builtin/service"`) {
		t.Error(err)
	}
	if _, known := TemplateByName("none"); known {
		t.Error("none is known")
	}
}

func TestSyntheticPolicies(t *testing.T) {
	links := Links{
		ServiceIdentities: []ServiceIdentity{{Service: "web"}, {Service: "far", Datacenters: []string{"dc2"}}},
		NodeIdentities:    []NodeIdentity{{"n1", "dc1"}, {"n2", "dc2"}},
		Templates: []TemplateLink{
			{Template: "builtin/service", Name: "web"},
			{Template: "builtin/dns"},
			{Template: "builtin/node", Name: "n2", Datacenters: []string{"dc2"}},
			{Template: "builtin/nothing"},
		},
	}
	var via []string
	all := SyntheticPolicies(links, "dc1")
	for _, s := range all {
		via = append(via, s.Via)
		if _, err := Parse(s.Policy.Rules); err != nil {
			t.Errorf("%s: %v", s.Via, err)
		}
		if s.Policy.Name != "synthetic-policy-"+s.Policy.ID || len(s.Policy.ContentHash) != 32 {
			t.Errorf("%s: %+v", s.Via, s.Policy)
		}
	}
	if got, want := strings.Join(via, " "), "service-identity:web node-identity:n1 templated-policy:builtin/service/web templated-policy:builtin/dns"; got != want {
		t.Errorf("in dc1: %s\nwant    %s", got, want)
	}
	if all[0].Policy.ID != all[2].Policy.ID || all[0].Policy.ID == all[1].Policy.ID {
		t.Error("the same rules have the same id, and others another")
	}
	if got := len(SyntheticPolicies(links, "")); got != 7 {
		t.Errorf("everywhere: %d", got)
	}
}

func TestIdentityNames(t *testing.T) {
	for name, want := range map[string]bool{
		"web": true, "a": true, "0-_9": true, strings.Repeat("x", 256): true,
		"": false, "Web": false, "-web": false, "web_": false, "a b": false, "a/b": false, `a"`: false, strings.Repeat("x", 257): false,
	} {
		if got := ValidIdentityName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	for _, tc := range []struct {
		links Links
		local bool
		want  string
	}{
		{Links{ServiceIdentities: []ServiceIdentity{{Service: "web", Datacenters: []string{"a"}}}, NodeIdentities: []NodeIdentity{{"n", "dc1"}}, Templates: []TemplateLink{{Template: "builtin/dns"}}}, false, ""},
		{Links{ServiceIdentities: []ServiceIdentity{{}}}, false, "Service identity is missing the service name field on this token"},
		{Links{ServiceIdentities: []ServiceIdentity{{Service: "Bad"}}}, false, `Service identity "Bad" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`},
		{Links{ServiceIdentities: []ServiceIdentity{{Service: "a", Datacenters: []string{"x"}}}}, true, `Service identity "a" cannot specify a list of datacenters on a local token`},
		{Links{NodeIdentities: []NodeIdentity{{Node: "n"}}}, false, "Node identity is missing the datacenter field on this token"},
		{Links{NodeIdentities: []NodeIdentity{{Datacenter: "d"}}}, false, "Node identity is missing the node name field on this token"},
		{Links{NodeIdentities: []NodeIdentity{{"N", "d"}}}, false, `Node identity "N" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`},
		{Links{Templates: []TemplateLink{{}}}, false, "templated policy is missing the template name field on this token"},
		{Links{Templates: []TemplateLink{{Template: "none"}}}, false, `no such ACL templated policy with Name "none"`},
		{Links{Templates: []TemplateLink{{Template: "builtin/service"}}}, false, `validation error for templated policy "builtin/service": name is required`},
		{Links{Templates: []TemplateLink{{Template: "builtin/dns", Datacenters: []string{"x"}}}}, true, `templated policy "builtin/dns" cannot specify a list of datacenters on a local token`},
	} {
		got := ""
		if err := tc.links.CheckIdentities("token", tc.local); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%+v:\n%s\nwant\n%s", tc.links, got, tc.want)
		}
	}
}

// The sums were worked out with another implementation of BLAKE2b.
func TestSums(t *testing.T) {
	links := Links{
		Policies: []string{"p1", "p2"}, Roles: []string{"r1"},
		ServiceIdentities: []ServiceIdentity{{"web", []string{"dc1", "dc2"}}},
		NodeIdentities:    []NodeIdentity{{"n1", "dc1"}},
		Templates:         []TemplateLink{{ID: "t1", Template: "builtin/service", Name: "x", Datacenters: []string{"dc1"}}},
	}
	policy := &Policy{ID: "ignored", Name: "n", Description: "d", Rules: "acl = \"read\"", Datacenters: []string{"dc1", "dc2"}, ModifyIndex: 7}
	token := &Token{Accessor: "ignored", Secret: "ignored", Description: "d", Links: links}
	role := &Role{ID: "ignored", Name: "n", Description: "d", Links: links}
	local := *token
	local.Local = true
	for _, tc := range []struct {
		what string
		sum  []byte
		want string
	}{
		{"policy", policy.Sum(), "/EG+/FdLXU4uOFcfpIOnuxOepstts/74XxWMjZCoFno="},
		{"token", token.Sum(), "q5UBKT4XDUh43YSdCUpC5kY7YXF8jOu+11SeddKIIu0="},
		{"local token", local.Sum(), "WOSv+t8zwbxHiLFAyCEW2PJOdoe7iOI7D4jjbdjNwkI="},
		{"role", role.Sum(), "jw/pDLidmdzW19FlCcJCjaqWhGLqB5mjvSEzQpakCT4="},
		{"nothing", (&Policy{}).Sum(), "DldRwCblQ7Loqy6wYJnaodHl30d3j3eH+qtFzfEv46g="},
	} {
		if got := base64.StdEncoding.EncodeToString(tc.sum); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.what, got, tc.want)
		}
	}
	if other := *policy; bytes.Equal(other.Sum(), (&Policy{Name: "n"}).Sum()) {
		t.Error("different policies have the same sum")
	}
}
