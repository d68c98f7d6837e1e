package acl

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// spell writes what was parsed in one line per rule.
func spell(r *Rules) []string {
	var all []string
	for _, r := range r.list {
		s := r.name
		if r.labelled() {
			s += " " + r.label
		}
		s += " " + r.level.String()
		if r.intentions != LevelNone {
			s += " intentions=" + r.intentions.String()
		}
		for name, right := range map[string]right{" delete=": r.delete, " history=": r.history} {
			if right != rightUnsaid {
				s += name + [...]string{rightAllow: "allow", rightDeny: "deny"}[right]
			}
		}
		if r.glob {
			s += " glob"
		}
		all = append(all, s)
	}
	return all
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		rule string
		text string
		want []string
	}{
		{"no text is no rules", "", nil},
		{"nor are blanks and comments", " \n# one\n// two\n/* three */\n", nil},
		{
			"resources without a label", "acl = \"read\"\noperator = \"write\"\nkeyring = \"deny\"\nmesh = \"read\"\npeering = \"write\"",
			[]string{"acl read", "operator write", "keyring deny", "mesh read", "peering write"},
		},
		{
			"resources with a label, exact and prefix",
			`key "a" { policy = "list" } key_prefix "" { policy = "deny" } session "s" { policy = "read" } event_prefix "e" { policy = "write" }
			agent "g" { policy = "read" } node_prefix "n" { policy = "read" } service "v" { policy = "write" } query "q" { policy = "deny" }`,
			[]string{"key a list", "key_prefix  deny", "session s read", "event_prefix e write", "agent g read", "node_prefix n read", "service v write", "query q deny"},
		},
		{"an empty text is no rule where there is no label", `operator = ""` + "\n" + `keyring = ""`, nil},
		{"levels in any case", "key \"x\" { policy = \"READ\" }\noperator = \"Write\"", []string{"key x read", "operator write"}},
		{"property names in any case", `key "x" { Policy = "read" }`, []string{"key x read"}},
		{"intentions of a service", `service "s" { policy = "read" intentions = "write" }`, []string{"service s read intentions=write"}},
		{"empty intentions are none", `service "s" { policy = "read" intentions = "" }`, []string{"service s read"}},
		{"identity, namespace and partition have no effect", "namespace \"x\" { policy = \"write\" key \"a\" { policy = \"nope\" } }\npartition_prefix \"p\" { }\nidentity \"i\" { policy = \"bogus\" }", nil},
		{"sentinel is ignored", "key \"a\" {\n  policy = \"write\"\n  sentinel {\n    code = \"main = rule { false }\"\n    enforcementlevel = \"hard\"\n  }\n}", []string{"key a write"}},
		{"resources nobody knows are ignored", "keyy_prefix \"x\" { policy = \"read\" }\nfrobnicate = \"write\"\nwhatever = [1, 2]", nil},
		{"properties nobody knows are ignored", `key "x" { policy = "read" colour = "blue" shape { round = true } }`, []string{"key x read"}},
		{"a label twice is two rules", "key \"a\" { policy = \"read\" }\nkey \"a\" { policy = \"write\" }", []string{"key a read", "key a write"}},
		{"labels as an object", `key = { "a" = { policy = "read" } "b" { policy = "write" } }`, []string{"key a read", "key b write"}},
		{"a label written in quotes and braces is taken as it is", `key "a{b[c" { policy = "read" }`, []string{"key a{b[c read"}},

		{
			"JSON", `{"acl": "read", "key": {"a": {"policy": "write"}, "b": {"policy": "deny"}}, "key_prefix": {"": {"policy": "list"}}, "service": {"s": {"policy": "read", "intentions": "write"}}}`,
			[]string{"acl read", "key a write", "key b deny", "key_prefix  list", "service s read intentions=write"},
		},
		{"JSON behind blanks", "\n\t {\"acl\": \"read\"}\n", []string{"acl read"}},
		{"a list of label objects in JSON", `{"key":[{"a":{"policy":"read"}},{"b":{"policy":"write"}}]}`, []string{"key a read", "key b write"}},
		{"JSON with a capital Policy", `{"key_prefix":{"x/":{"Policy":"write"}}}`, []string{"key_prefix x/ write"}},
		{"null and an empty text are no rule in JSON", `{"acl": null, "operator": ""}`, nil},
		{"an empty object in JSON", `{}`, nil},
		{"labelled resources twice in JSON", `{"key": {"a": {"policy": "read"}}, "key": {"b": {"policy": "read"}}}`, []string{"key a read", "key b read"}},
		{"unknown things in JSON", `{"frob": [{"a": 1}], "key": {"a": {"policy": "read", "x": {"y": [1, true, null]}}}}`, []string{"key a read"}},

		{"a glob has to be said", `key_prefix "apps/*/prod/" { policy = "read" }`, []string{"key_prefix apps/*/prod/ read"}},
		{"and then it is one", `key_prefix "apps/*/prod/" { policy = "read" glob = true }`, []string{"key_prefix apps/*/prod/ read glob"}},
		{"in JSON too", `{"key_prefix": {"apps/*/prod/": {"policy": "read", "glob": true}}}`, []string{"key_prefix apps/*/prod/ read glob"}},
		{"false is no glob", `key_prefix "*" { policy = "read" glob = false }`, []string{"key_prefix * read"}},
		{"glob without a wildcard is a plain label", `key_prefix "apps/" { policy = "read" glob = true }`, []string{"key_prefix apps/ read"}},
		{"other resources have no globs", `session_prefix "*" { policy = "read" glob = true }`, []string{"session_prefix * read"}},
		{"delete apart from write", `key_prefix "a" { policy = "write" delete = "deny" }`, []string{"key_prefix a write delete=deny"}},
		{"history apart from read", `key "a" { policy = "read" history = "Deny" }`, []string{"key a read history=deny"}},
		{"other resources have neither", `session "a" { policy = "write" delete = "no" history = "no" }`, []string{"session a write"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got, err := Parse(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, spell(got)); diff != "" {
				t.Errorf("%s\n%s", tc.text, diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		rule string
		text string
		want string // the text begins with it, up to the first "..."
	}{
		{"an unknown level, with label and line", "\nkey \"x\" { policy = \"nope\" }", `Invalid key policy: "nope" for the label "x" (line 2)`},
		{"an empty level", `key_prefix "x" { policy = "" }`, `Invalid key_prefix policy: `},
		{"no level", `key_prefix "x" { }`, `Invalid key_prefix policy: `},
		{"list outside keys", `service "x" { policy = "list" }`, `Invalid service policy: `},
		{"list without a label", `operator = "list"`, `Invalid operator policy: "list" (line 1)`},
		{"an unknown level without a label", `acl = "nope"`, `Invalid acl policy: "nope"`},
		{"an unknown level of intentions", `service "x" { policy = "read" intentions = "nope" }`, `Invalid service intentions policy: `},
		{"intentions list", `service_prefix "x" { policy = "read" intentions = "list" }`, `Invalid service intentions policy: `},
		{"a number for a level", `key "x" { policy = 5 }`, `Invalid key policy: "5"`},
		{"the same resource twice", "acl = \"read\"\nacl = \"write\"", `Failed to parse ACL rules: ...acl`},
		{"the same in another spelling", "acl = \"read\"\n\"ACL\" = \"write\"", `Failed to parse ACL rules: line 2: acl is set already in line 1`},
		{"the same property twice", "key \"x\" {\n policy = \"read\"\n policy = \"write\"\n}", `Failed to parse ACL rules: ...policy`},
		{"the same property in another spelling", "key \"x\" {\n policy = \"read\"\n Policy = \"write\"\n}", `Failed to parse ACL rules: line 3: Policy is set already in line 2`},
		{"a block that does not end", `key "x" { policy = "read"`, `Failed to parse ACL rules: `},
		{"something that is no HCL", `]`, `Failed to parse ACL rules: `},
		{"a block without its label", `key_prefix { policy = "write" }`, `Failed to parse ACL rules: line 1: key_prefix has no label`},
		{"an empty block without its label", `key_prefix { }`, `Failed to parse ACL rules: line 1: key_prefix has no label`},
		{"a level where a label is needed", `key = "read"`, `Failed to parse ACL rules: line 1: key has no label`},
		{"two labels", `key "a" "b" { policy = "read" }`, `Failed to parse ACL rules: line 1: key takes one label`},
		{"a block where a level is needed", `acl { policy = "read" }`, `Failed to parse ACL rules: line 1: acl takes a level`},
		{"a label where there is none", `acl "x" { policy = "read" }`, `Failed to parse ACL rules: line 1: acl takes a level`},
		{"a list for a level", `key "x" { policy = ["read"] }`, `Failed to parse ACL rules: line 1: policy takes a text`},
		{"an escape that does not exist", `key "\q" { policy = "read" }`, `Failed to parse ACL rules: `},

		{"JSON with a bare word", `{"key": nope }`, `Failed to parse ACL rules: `},
		{"JSON without its last brace", `{"key": {"a": {"policy": "read"}}`, `Failed to parse ACL rules: the JSON text ends too early`},
		{"JSON with something behind", `{"acl": "read"} x`, `Failed to parse ACL rules: line 1: there is something behind`},
		{"the same resource twice in JSON", "{\"acl\": \"read\",\n\"acl\": \"write\"}", `Failed to parse ACL rules: line 2: acl is set already in line 1`},
		{"the same property twice in JSON", `{"key": {"a": {"policy": "read", "policy": "write"}}}`, `Failed to parse ACL rules: line 1: policy is set already`},
		{"a block without its label in JSON", `{"key": {"policy": "write"}}`, `Failed to parse ACL rules: line 1: key has no label`},
		{"a level where a label is needed in JSON", `{"key": "write"}`, `Failed to parse ACL rules: line 1: key has no label`},
		{"an object where a level is needed in JSON", `{"acl": {}}`, `Failed to parse ACL rules: line 1: acl takes a level`},
		{"an unknown level in JSON, with its line", "{\n\"key\": {\n\"a\": {\"policy\": \"nope\"}}}", `Invalid key policy: "nope" for the label "a" (line 3)`},
		{"no level in JSON", `{"key": {"a": {}}}`, `Invalid key policy: "" for the label "a"`},

		{"delete that is no right", `key "x" { policy = "read" delete = "write" }`, `Failed to parse ACL rules: line 1: delete is neither`},
		{"history that is no right", `key "x" { policy = "read" history = "" }`, `Failed to parse ACL rules: line 1: history is neither`},
		{"a glob that is neither", `key "x" { policy = "read" glob = "maybe" }`, `Failed to parse ACL rules: line 1: glob is neither`},
		{"too many wildcards", `key "` + strings.Repeat("*/", limit.PatternStars+1) + `" { policy = "read" glob = true }`, `Failed to parse ACL rules: line 1: the label`},

		{"too deep in HCL", strings.Repeat("a {", 100_000), `Failed to parse ACL rules: line 1: nested more`},
		{"too deep a list in HCL", "a = " + strings.Repeat("[", 100_000), `Failed to parse ACL rules: line 1: nested more`},
		{"too deep in JSON", strings.Repeat(`{"a":`, 80_000), `Failed to parse ACL rules: line 1: nested more`},
		{"too long", strings.Repeat(" ", limit.PolicyBytes+1), `Failed to parse ACL rules: the text has more`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			r, err := Parse(tc.text)
			if err == nil {
				t.Fatalf("taken: %q", spell(r))
			}
			begins, has, _ := strings.Cut(tc.want, "...")
			if !strings.HasPrefix(err.Error(), begins) || !strings.Contains(err.Error(), has) {
				t.Errorf("error %q, want %q", err, tc.want)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for _, tc := range []struct {
		rule string
		text string
		want []string
	}{
		{"nothing to say", ManagementRules, nil},
		{"an error is for Parse", `key "a" {`, nil},
		{"an unknown resource", "\nkeyy \"a\" { policy = \"read\" }", []string{`line 2: there is no resource "keyy": it is ignored`}},
		{"resources of other editions", `namespace "a" { }`, []string{"line 1: namespace rules have no effect here"}},
		{"an unknown property", `session "a" { policy = "read" delete = "deny" }`, []string{`line 1: session has no property "delete": it is ignored`}},
		{"no level", `mesh = ""`, []string{"line 1: mesh has no level, and no effect"}},
		{
			"a label twice", "key \"a\" { policy = \"read\" }\nkey \"a\" { policy = \"write\" }",
			[]string{`line 2: key "a" is there already in line 1: the two count as one, and the stronger level unless one denies`},
		},
		{"an exact rule beside a prefix is no double", "key \"a\" { policy = \"read\" }\nkey_prefix \"a\" { policy = \"write\" }", nil},
		{"a star without glob", `key_prefix "a/*" { policy = "read" }`, []string{`line 1: key_prefix "a/*": * is an ordinary byte without glob = true`}},
		{
			"a glob that a deny beats", "key_prefix \"a/\" { policy = \"deny\" }\nkey_prefix \"a/*/b\" { policy = \"read\" glob = true }",
			[]string{`line 2: key_prefix "a/*/b" never decides: the deny of "a/" does`},
		},
		{"rights beside a deny", `key "a" { policy = "deny" delete = "allow" }`, []string{`line 1: key "a" denies everything, delete and history too`}},
		{
			"a prefix that ends in a variable", `key_prefix "a/${name}" { policy = "read" }`,
			[]string{`line 1: key_prefix "a/${name}" ends in a variable: it covers every longer name too, those of others that begin alike`},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Warnings(tc.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
	many := Warnings(strings.Repeat("a { }\n", 100))
	if len(many) != limit.PolicyWarnings || many[len(many)-1] != "and 85 more" {
		t.Errorf("%d warnings, the last is %q", len(many), many[len(many)-1])
	}
}

// FuzzParse looks for texts that panic, that hang, or whose rules do not answer.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", ManagementRules, `{"acl": "read", "key": {"a": {"policy": "write"}}}`, `{"key":[{"a":{"policy":"read"}}]}`,
		`key_prefix "apps/*/${name}/" { policy = "write" glob = true delete = "deny" history = "allow" }`,
		"key \"x\" { policy = <<EOF\nread\nEOF\n}", `key = { "a" = { policy = "read" } }`, `a "\u00e9" { }`, `{"a":[[{}]]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		warnings := Warnings(text)
		if err != nil {
			if s := err.Error(); !strings.HasPrefix(s, "Failed to parse ACL rules: ") && !strings.HasPrefix(s, "Invalid ") {
				t.Errorf("the error begins with %q", s)
			}
			if warnings != nil {
				t.Errorf("warnings %q for a text with an error", warnings)
			}
			return
		}
		a := NewAuthorizer(DefaultDeny, []Source{{Rules: r, Vars: map[string]string{"name": "web"}}})
		for _, rule := range r.list {
			if !rule.labelled() || rule.glob || rule.variables || !utf8.ValidString(rule.label) {
				continue
			}
			if a.Explain(resourceOf(rule.kind), AccessRead, rule.label).DecidedBy != "rule" {
				t.Errorf("%q has a rule for %s %q, and it does not decide", text, rule.name, rule.label)
			}
		}
		a.Allow(ResourceKey, AccessWritePrefix, "apps/")
	})
}

// resourceOf is the resource that rules of a kind are about.
func resourceOf(k kind) Resource {
	for r := ResourceACL; r <= ResourceSession; r++ {
		if kindOf[r] == k && r != ResourceIntention {
			return r
		}
	}
	return 0
}
