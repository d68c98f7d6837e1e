package acl

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustParse(t testing.TB, text string) *Rules {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// from makes an Authorizer of the texts of policies named p1, p2, ...
func from(t testing.TB, def Default, texts ...string) *Authorizer {
	t.Helper()
	var sources []Source
	for i, text := range texts {
		name := fmt.Sprintf("p%d", i+1)
		sources = append(sources, Source{Rules: mustParse(t, text), ID: "id-" + name, Name: name, Via: []string{"token"}})
	}
	return NewAuthorizer(def, sources)
}

// ask answers "RESOURCE:ACCESS NAME".
func ask(t testing.TB, a *Authorizer, question string) bool {
	t.Helper()
	what, name, _ := strings.Cut(question, " ")
	word, right, _ := strings.Cut(what, ":")
	r, err := ParseResource(word)
	if err != nil {
		t.Fatal(err)
	}
	ac, err := ParseAccess(r, right)
	if err != nil {
		t.Fatal(err)
	}
	return a.Allow(r, ac, name)
}

func TestDecisions(t *testing.T) {
	const (
		read   = `key_prefix "app/" { policy = "read" }`
		write  = `key_prefix "app/" { policy = "write" }`
		deny   = `key_prefix "app/" { policy = "deny" }`
		secret = `key_prefix "app/secret/" { policy = "deny" }`
	)
	p := func(texts ...string) []string { return texts }
	for _, tc := range []struct {
		rule     string
		policies []string
		yes, no  string // questions, separated by ;
	}{
		// Levels.
		{"deny grants nothing", p(deny), "", "key:read app/a;key:list app/a;key:write app/a"},
		{"read grants read", p(read), "key:read app/a", "key:list app/a;key:write app/a"},
		{"list grants read and list", p(`key_prefix "app/" { policy = "list" }`), "key:read app/a;key:list app/a", "key:write app/a"},
		{"write grants all three", p(write), "key:read app/a;key:list app/a;key:write app/a", ""},

		// Merging.
		{"deny beats write", p(write, deny), "", "key:read app/a;key:write app/a"},
		{"write beats list", p(`key "a" { policy = "list" }`, `key "a" { policy = "write" }`), "key:write a", ""},
		{"list beats read", p(`key "a" { policy = "list" }`, `key "a" { policy = "read" }`), "key:list a", "key:write a"},
		{"equal labels of one policy merge too", p(read + write), "key:write app/a", ""},
		{"exact and prefix are not merged", p(`key "app/" { policy = "deny" }`, write), "key:write app/a", "key:read app/"},
		{"deny in upper case is deny", p(`key "a" { policy = "DENY" }`, `key "a" { policy = "read" }`), "", "key:read a"},
		{"resources without a label merge too", p(`operator = "read"`, `operator = "write"`, `acl = "write"`, `acl = "deny"`), "operator:write", "acl:read"},
		{
			"a service's level and intentions are merged each for itself",
			p(`service "a" { policy = "write" intentions = "read" }`, `service "a" { policy = "read" intentions = "write" }`), "service:write a;intention:write a", "",
		},
		{"intentions that one policy denies are denied", p(`service "a" { policy = "write" }`, `service "a" { policy = "read" intentions = "deny" }`), "service:write a", "intention:read a"},

		// One name.
		{"an exact rule beats the prefix of the same text", p(`key "a" { policy = "read" } key_prefix "a" { policy = "write" }`), "key:read a;key:write ab", "key:write a"},
		{"and the other way round", p(`key "a" { policy = "write" } key_prefix "a" { policy = "read" }`), "key:write a", "key:write ab"},
		{"the longest prefix decides alone", p(write + `key_prefix "app/x" { policy = "read" }`), "key:write app/a;key:read app/x/y", "key:write app/x/y"},
		{"a prefix is bytes, not a path", p(`key_prefix "app" { policy = "read" }`), "key:read app;key:read app/x;key:read apple", "key:read ap"},
		{"the empty prefix matches everything", p(`key_prefix "" { policy = "read" }`), "key:read ;key:read x", ""},
		{"an exact rule is for that name alone", p(`key "a" { policy = "write" }`), "key:write a", "key:read ab;key:read "},
		{"a rule that is too weak does not fall through", p(read, `key_prefix "" { policy = "write" }`), "key:write b", "key:write app/a"},
		{"a longer read hides a shorter write of another policy", p(`key_prefix "app/" { policy = "write" }`, `key_prefix "app/x/" { policy = "read" }`), "key:read app/x/1", "key:write app/x/1"},
		{"a longer grant opens what a shorter deny closed", p(deny, `key_prefix "app/secret/" { policy = "read" }`), "key:read app/secret/x", "key:read app/a"},
		{"management does not overrule a closer rule", p(ManagementRules, secret), "key:write app/a;acl:write", "key:read app/secret/x"},
		{"what no rule is about is denied", p(read), "", "key:read b;session:read x;operator:read;event:write x"},
		{"a token without rules has nothing", nil, "", "key:read a;acl:read;operator:read;session:write x"},

		// Other resources.
		{
			"sessions, events, agents, nodes, services and queries alike",
			p(`session "n" { policy = "write" } event_prefix "e" { policy = "read" } agent "g" { policy = "read" } node_prefix "" { policy = "write" } service_prefix "s" { policy = "read" } query "q" { policy = "write" }`),
			"session:write n;event:read e1;agent:read g;node:write any;service:read s1;query:write q",
			"session:read m;event:write e1;agent:write g;service:write s1;query:read q1",
		},
		{"rules for one resource say nothing about another", p(`session_prefix "" { policy = "write" }`), "session:write a", "key:read a;node:read a"},
		{
			"read and write of a service give intentions read", p(`service "a" { policy = "write" } service "b" { policy = "read" } service "c" { policy = "deny" }`),
			"intention:read a;intention:read b", "intention:write a;intention:write b;intention:read c",
		},
		{
			"intentions say otherwise", p(`service "a" { policy = "write" intentions = "deny" } service "b" { policy = "read" intentions = "write" }`),
			"intention:write b", "intention:read a",
		},
		{"intentions of the closest service rule", p(`service_prefix "" { policy = "read" intentions = "write" } service "a" { policy = "read" }`), "intention:write b", "intention:write a"},
		{"mesh and peering ask operator", p(`operator = "read"`), "mesh:read;peering:read;operator:read", "mesh:write;peering:write;keyring:read;acl:read"},
		{"unless they have a rule", p("operator = \"write\"\nmesh = \"read\"\npeering = \"deny\""), "mesh:read", "mesh:write;peering:read"},
		{"what an empty text sets is not set", p("operator = \"read\"\nmesh = \"\""), "mesh:read", ""},

		// Whole prefixes.
		{"a prefix with write", p(write), "key:write-prefix app/;key:write-prefix app/x", "key:write-prefix app;key:write-prefix "},
		{"a prefix with less", p(`key_prefix "app/" { policy = "list" }`), "", "key:write-prefix app/"},
		{"a weaker prefix inside blocks", p(write, secret), "key:write-prefix app/n;key:write-prefix app/t", "key:write-prefix app/;key:write-prefix app/s;key:write-prefix app/secret/;key:write-prefix app/secret/x"},
		{"a weaker exact rule inside blocks", p(write, `key "app/x" { policy = "read" }`), "key:write-prefix app/y", "key:write-prefix app/;key:write-prefix app/x"},
		{"a stronger one inside does not", p(write, `key "app/x" { policy = "write" } key_prefix "app/y" { policy = "write" }`), "key:write-prefix app/", ""},
		{"an exact rule never grants it", p(`key "app/a" { policy = "write" }`), "", "key:write-prefix app/a;key:write-prefix app/"},
		{"the longest prefix counts", p(read, `key_prefix "app/x/" { policy = "write" }`), "key:write-prefix app/x/", "key:write-prefix app/"},
		{"prefix rules inside do not grant the outside", p(`key_prefix "app/x/" { policy = "write" }`), "", "key:write-prefix app/"},

		// Our own.
		{"delete can be taken from write", p(`key_prefix "" { policy = "write" delete = "deny" }`), "key:write a", "key:delete a;key:write-prefix a"},
		{"delete can be given to read", p(`key_prefix "" { policy = "read" delete = "allow" }`), "key:delete a;key:read a", "key:write a;key:write-prefix a"},
		{"delete is as write otherwise", p(read, `key "w" { policy = "write" }`), "key:delete w", "key:delete app/a;key:delete x"},
		{"history can be taken from read", p(`key_prefix "" { policy = "write" history = "deny" }`), "key:read a", "key:history a"},
		{"history is as read otherwise", p(read), "key:history app/a", "key:history x"},
		{"deny leaves neither", p(`key "a" { policy = "deny" delete = "allow" history = "allow" }`), "", "key:delete a;key:history a"},
		{"deny of another policy leaves neither", p(`key "a" { policy = "read" delete = "allow" history = "allow" }`, `key "a" { policy = "deny" }`), "", "key:delete a;key:history a"},
		{"taken by one policy is taken", p(`key "a" { policy = "write" delete = "allow" }`, `key "a" { policy = "write" delete = "deny" }`), "key:write a", "key:delete a"},
		{"a rule inside that takes delete blocks the whole", p(write, `key "app/keep" { policy = "write" delete = "deny" }`), "key:write app/keep;key:write-prefix app/x", "key:write-prefix app/;key:delete app/keep"},

		{
			"a glob covers one part of a path", p(`key_prefix "apps/*/prod/" { policy = "read" glob = true }`),
			"key:read apps/web/prod/;key:read apps/web/prod/a/b;key:read apps//prod/x", "key:read apps/a/b/prod/x;key:read apps/web/test/x;key:read apps/web/prod",
		},
		{
			"two stars cover several", p(`key_prefix "apps/**/prod/" { policy = "read" glob = true }`),
			"key:read apps/a/b/prod/x;key:read apps/a/prod/x", "key:read apps/a/b/test/x",
		},
		{"without glob a star is a star", p(`key_prefix "apps/*/" { policy = "read" }`), "key:read apps/*/x", "key:read apps/web/x"},
		{"a glob of an exact rule covers the whole name", p(`key "apps/*/flag" { policy = "read" glob = true }`), "key:read apps/web/flag", "key:read apps/web/flag/x;key:read apps/web/flags"},
		{"an exact rule beats a glob", p(`key "a/*" { policy = "write" glob = true } key "a/x" { policy = "read" }`), "key:write a/y", "key:write a/x"},
		{"more bytes before the wildcard beat fewer", p(`key_prefix "a/b/" { policy = "read" } key_prefix "a/*/c" { policy = "write" glob = true }`), "key:write a/x/c", "key:write a/b/c"},
		{"a glob beats a shorter prefix, deny too", p(`key_prefix "a" { policy = "deny" } key_prefix "a/*/c" { policy = "write" glob = true }`), "key:write a/x/c", "key:read a/x/d"},
		{"on a tie deny wins", p(`key_prefix "a/" { policy = "deny" } key_prefix "a/*/c" { policy = "write" glob = true }`), "", "key:read a/x/c"},
		{"the deny of a glob too", p(`key_prefix "a/" { policy = "write" } key_prefix "a/*/c" { policy = "deny" glob = true }`), "key:write a/x/d", "key:read a/x/c"},
		{"then whoever names more", p(`key_prefix "a/" { policy = "write" } key_prefix "a/*/c" { policy = "read" glob = true }`), "key:write a/x/d;key:read a/x/c", "key:write a/x/c"},
		{
			"a glob that matches below blocks the whole", p(`key_prefix "a/" { policy = "write" } key_prefix "a/*/c" { policy = "read" glob = true }`),
			"key:write-prefix a/x/d", "key:write-prefix a/;key:write-prefix a/x;key:write-prefix a/x/c",
		},
		{"a glob that always loses does not", p(`key_prefix "a/b/" { policy = "write" } key_prefix "a/*/c" { policy = "read" glob = true }`), "key:write-prefix a/b/c;key:write-prefix a/b/", "key:write-prefix a/"},
		{"a glob with write grants the whole", p(`key_prefix "a/*/" { policy = "write" glob = true }`), "key:write-prefix a/x/;key:write-prefix a/x/y", "key:write-prefix a/x;key:write-prefix a/"},
		{"not when it is exact", p(`key "a/*" { policy = "write" glob = true }`), "", "key:write-prefix a/x"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			a := from(t, DefaultDeny, tc.policies...)
			for _, list := range []struct {
				questions string
				want      bool
			}{{tc.yes, true}, {tc.no, false}} {
				if list.questions == "" {
					continue
				}
				for _, q := range strings.Split(list.questions, ";") {
					if got := ask(t, a, q); got != list.want {
						t.Errorf("%s: %v, want %v", q, got, list.want)
					}
				}
			}
		})
	}
}

func TestDefaultAllow(t *testing.T) {
	a := from(t, DefaultAllow, `key_prefix "app/" { policy = "read" } operator = "deny"`)
	for q, want := range map[string]bool{
		"key:write b":            true,
		"key:delete b":           true,
		"key:history b":          true,
		"key:write-prefix b":     true,
		"key:list b":             true,
		"session:write n":        true,
		"keyring:write":          true,
		"intention:write s":      true,
		"acl:read":               false, // nothing opens it but a rule
		"acl:write":              false,
		"key:write app/x":        false, // a rule that is too weak decides
		"key:write-prefix app/x": false,
		"key:write-prefix app":   false, // a rule inside blocks
		"operator:read":          false,
		"mesh:read":              false, // asks operator first
	} {
		if got := ask(t, a, q); got != want {
			t.Errorf("%s: %v, want %v", q, got, want)
		}
	}
	if a := from(t, DefaultAllow, `acl = "read"`); !ask(t, a, "acl:read") || ask(t, a, "acl:write") {
		t.Error("the rule for acl does not decide")
	}
}

func TestVariables(t *testing.T) {
	rules := mustParse(t, `key_prefix "production/${name}/" { policy = "write" }
		key "who/${spiffe.path}" { policy = "read" }
		key_prefix "${name}/*/x" { policy = "read" glob = true }
		key "price/${}/$x" { policy = "read" }
		key "both/${name}-${zone}" { policy = "read" }
		key_prefix "plain/" { policy = "read" }`)
	with := func(vars map[string]string) *Authorizer {
		return NewAuthorizer(DefaultDeny, []Source{{Rules: rules, Vars: vars}})
	}
	for _, tc := range []struct {
		rule    string
		vars    map[string]string
		yes, no string
	}{
		{"a value stands where the variable was", map[string]string{"name": "web"}, "key:write production/web/a;key:read plain/x", "key:write production/api/a;key:read production/${name}/a"},
		{"nobody's variables match nothing", nil, "key:read plain/x", "key:read production//a;key:read production/${name}/a;key:read who/"},
		{"an empty value is missing", map[string]string{"name": ""}, "key:read plain/x", "key:read production//a;key:read production/"},
		{"a value with a slash is missing", map[string]string{"name": "web/secret"}, "", "key:read production/web/secret/a;key:read production/web/a"},
		{"a value with a star is missing", map[string]string{"name": "*"}, "", "key:read production/*/a;key:read production/web/a;key:read a/b/x"},
		{"a value with a control character is missing", map[string]string{"name": "a\x00"}, "", "key:read production/a\x00/a"},
		{"a value that is too long is missing", map[string]string{"name": strings.Repeat("x", 257)}, "", "key:read production/" + strings.Repeat("x", 257) + "/a"},
		{"names have dots", map[string]string{"spiffe.path": "web"}, "key:read who/web", "key:read who/"},
		{"in a glob too", map[string]string{"name": "web"}, "key:read web/1/x", "key:read web/1/2/x"},
		{"one missing is enough", map[string]string{"name": "web"}, "", "key:read both/web-"},
		{"two in a label", map[string]string{"name": "web", "zone": "b"}, "key:read both/web-b", "key:read both/web-c"},
		{"a value is not read again", map[string]string{"name": "${zone}", "zone": "b"}, "key:write production/${zone}/a", "key:write production/b/a"},
		{"what is no variable is a text", nil, "key:read price/${}/$x", ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			a := with(tc.vars)
			for i, questions := range []string{tc.yes, tc.no} {
				if questions == "" {
					continue
				}
				for _, q := range strings.Split(questions, ";") {
					if got := ask(t, a, q); got != (i == 0) {
						t.Errorf("%s: %v", q, got)
					}
				}
			}
		})
	}
}

func TestWords(t *testing.T) {
	if _, err := ParseResource("bogus"); err == nil || err.Error() != `Invalid ACL resource requested: "bogus"` {
		t.Error(err)
	}
	if _, err := ParseResource("Key"); err == nil {
		t.Error("resources are lower case")
	}
	if _, err := ParseResource(""); err == nil {
		t.Error("no word is no resource")
	}
	for r := ResourceACL; r <= ResourceSession; r++ {
		if got, err := ParseResource(r.String()); got != r || err != nil {
			t.Errorf("%s: %v, %v", r, got, err)
		}
		for word, want := range map[string]Access{
			"read": AccessRead, "WRITE": AccessWrite, "list": AccessList, "Write-Prefix": AccessWritePrefix,
			"delete": AccessDelete, "history": AccessHistory, "": 0, "x": 0,
		} {
			if r != ResourceKey && want != AccessRead && want != AccessWrite {
				want = 0
			}
			got, err := ParseAccess(r, word)
			if got != want || (err == nil) != (want != 0) {
				t.Errorf("%s %s: %v, %v", r, word, got, err)
			}
		}
	}
	if _, err := ParseAccess(ResourceACL, "List"); err.Error() != "Invalid access level for acl resource: List" {
		t.Error(err)
	}
}

func TestRefuse(t *testing.T) {
	a := from(t, DefaultDeny, `key_prefix "" { policy = "read" } key_prefix "log/" { policy = "write" delete = "deny" history = "deny" }`)
	for _, tc := range []struct {
		access Access
		name   string
		want   string
	}{
		{AccessWrite, "a", `Permission denied: token with AccessorID 'x' lacks permission 'key:write' on "a"`},
		{AccessDelete, "a", `Permission denied: token with AccessorID 'x' lacks permission 'key:write' on "a"`},
		{AccessWritePrefix, "a", `Permission denied: token with AccessorID 'x' lacks permission 'key:write' on "a"`},
		{AccessHistory, "a", `Permission denied: token with AccessorID 'x' lacks permission 'key:read' on "a"`},
		{AccessDelete, "log/1", `Permission denied: token with AccessorID 'x' lacks permission 'key:delete' on "log/1"`},
		{AccessHistory, "log/1", `Permission denied: token with AccessorID 'x' lacks permission 'key:history' on "log/1"`},
	} {
		if got := a.Refuse("x", ResourceKey, tc.access, tc.name).Error(); got != tc.want {
			t.Errorf("%s\nwant %s", got, tc.want)
		}
	}
	if got := a.Refuse(AnonymousAccessor, ResourceOperator, AccessRead, "").Error(); got != "Permission denied: anonymous token lacks permission 'operator:read'. The anonymous token is used implicitly when a request does not specify a token." {
		t.Error(got)
	}
}

func TestExplain(t *testing.T) {
	via := func(texts ...string) *Authorizer {
		a := from(t, DefaultDeny, texts...)
		a.sources[0].Via = []string{"role:ops"}
		return a
	}
	rule := func(policy, resource, match, label, level string) *ExplainRule {
		v := []string{"token"}
		if policy == "p1" {
			v = []string{"role:ops"}
		}
		return &ExplainRule{Resource: resource, Match: match, Label: label, Level: level, Line: 1, PolicyID: "id-" + policy, Policy: policy, Via: v}
	}
	for _, tc := range []struct {
		rule     string
		a        *Authorizer
		resource Resource
		access   Access
		name     string
		want     Explanation
	}{
		{
			"the longer rule and the shorter one that lost", via(`key_prefix "app/x/" { policy = "read" }`, `key_prefix "app/" { policy = "write" }`),
			ResourceKey, AccessWrite, "app/x/1",
			Explanation{false, "rule", rule("p1", "key_prefix", "prefix", "app/x/", "read"), []ExplainLost{{*rule("p2", "key_prefix", "prefix", "app/", "write"), "shorter"}}},
		},
		{
			"deny of the same label", via(`key_prefix "app/" { policy = "deny" }`, `key_prefix "app/" { policy = "read" }`),
			ResourceKey, AccessRead, "app/x",
			Explanation{false, "rule", rule("p1", "key_prefix", "prefix", "app/", "deny"), []ExplainLost{{*rule("p2", "key_prefix", "prefix", "app/", "read"), "weaker than deny of p1"}}},
		},
		{
			"an exact rule", via(`key "a" { policy = "read" }`, `key_prefix "a" { policy = "write" }`),
			ResourceKey, AccessRead, "a",
			Explanation{true, "rule", rule("p1", "key", "exact", "a", "read"), []ExplainLost{{*rule("p2", "key_prefix", "prefix", "a", "write"), "not exact"}}},
		},
		{"the default policy", via(`key "a" { policy = "read" }`), ResourceKey, AccessRead, "b", Explanation{false, "default_policy", nil, nil}},
		{"no rules at all", from(t, DefaultAllow), ResourceKey, AccessRead, "b", Explanation{true, "default_policy", nil, nil}},
		{
			"a resource without a label", via(`operator = "read"`, `operator = "write"`), ResourceOperator, AccessWrite, "",
			Explanation{true, "rule", rule("p2", "operator", "", "", "write"), []ExplainLost{{*rule("p1", "operator", "", "", "read"), "weaker than write of p2"}}},
		},
		{"mesh asks operator", via(`operator = "read"`), ResourceMesh, AccessRead, "", Explanation{true, "rule", rule("p1", "operator", "", "", "read"), nil}},
		{
			"the first rule that blocks a whole prefix", via(`key_prefix "app/" { policy = "write" }`, `key_prefix "app/z/" { policy = "read" } key "app/b" { policy = "deny" }`),
			ResourceKey, AccessWritePrefix, "app/",
			Explanation{false, "rule", rule("p2", "key", "exact", "app/b", "deny"), nil},
		},
		{"the rule that covers it, when it is too weak", via(`key_prefix "app/" { policy = "list" }`), ResourceKey, AccessWritePrefix, "app/x", Explanation{false, "rule", rule("p1", "key_prefix", "prefix", "app/", "list"), nil}},
		{"or when it grants", via(`key_prefix "app/" { policy = "write" }`), ResourceKey, AccessWritePrefix, "app/x", Explanation{true, "rule", rule("p1", "key_prefix", "prefix", "app/", "write"), nil}},
		{
			"delete that is taken", via(`key_prefix "app/" { policy = "write" delete = "deny" }`), ResourceKey, AccessDelete, "app/x",
			Explanation{false, "rule", rule("p1", "key_prefix", "prefix", "app/", `write, delete = "deny"`), nil},
		},
		{
			"history that is given", via(`key_prefix "app/" { policy = "list" history = "allow" }`), ResourceKey, AccessHistory, "app/x",
			Explanation{true, "rule", rule("p1", "key_prefix", "prefix", "app/", `list, history = "allow"`), nil},
		},
		{"intentions", via(`service "s" { policy = "read" }`), ResourceIntention, AccessRead, "s", Explanation{true, "rule", rule("p1", "service", "exact", "s", `read, intentions = "read"`), nil}},
		{
			"a glob", via(`key_prefix "a/*/" { policy = "write" glob = true }`, `key_prefix "a/" { policy = "read" }`), ResourceKey, AccessWrite, "a/b/c",
			Explanation{true, "rule", rule("p1", "key_prefix", "glob", "a/*/", "write"), []ExplainLost{{*rule("p2", "key_prefix", "prefix", "a/", "read"), "less specific"}}},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.a.Explain(tc.resource, tc.access, tc.name)); diff != "" {
				t.Error(diff)
			}
		})
	}
	many := strings.Repeat("key_prefix \"\" { policy = \"read\" }\n", 100)
	if got := from(t, DefaultDeny, many).Explain(ResourceKey, AccessRead, "a"); len(got.Lost) != explainLost {
		t.Errorf("%d rules lost, want %d", len(got.Lost), explainLost)
	}
}

func TestAllowAllocatesNothing(t *testing.T) {
	a := from(t, DefaultDeny, `key_prefix "app/" { policy = "write" } key_prefix "app/*/x" { policy = "read" glob = true } key "app/a" { policy = "read" } operator = "read"`, ManagementRules)
	if n := testing.AllocsPerRun(100, func() {
		a.Allow(ResourceKey, AccessRead, "app/b/x/y")
		a.Allow(ResourceKey, AccessWrite, "app/a")
		a.Allow(ResourceKey, AccessDelete, "zzz")
		a.Allow(ResourceOperator, AccessRead, "")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestAuthorizerIsShared: goroutines that ask together get the same answers while its
// parts become one. Run it with -race.
func TestAuthorizerIsShared(t *testing.T) {
	a := NewAuthorizer(DefaultDeny, sourcesOf(t, 4))
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range oftenAsked {
				if !a.Allow(ResourceKey, AccessWrite, "team-0/service-0/4/k") || a.Allow(ResourceKey, AccessWrite, "team-9/k") ||
					!a.Allow(ResourceSession, AccessWrite, "team-1/service-1/2/s") {
					t.Error("an answer is another")
				}
			}
		})
	}
	asking.Wait()
	if a.whole.Load() == nil {
		t.Error("its parts are not one yet")
	}
}
