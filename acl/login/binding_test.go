package login

import (
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/acl"
)

func TestSelectors(t *testing.T) {
	s := &Subject{
		Values: map[string]string{"team": "web", "spiffe.path": "a/b"},
		Lists:  map[string][]string{"groups": {"admin", "dev"}, "empty": {}},
	}
	for selector, want := range map[string]bool{
		``:                                       true,
		`value.team==web`:                        true,
		`value.team=="db"`:                       false,
		`value.team!=db`:                         true,
		`"admin" in list.groups`:                 true,
		`"root" in list.groups`:                  false,
		`"root" not in list.groups`:              true,
		`list.empty is empty`:                    true,
		`value.spiffe.path=="a/b"`:               true,
		`value.team==web and "x" in list.groups`: false,
		`value.team==web or "x" in list.groups`:  true,
		// What the subject does not have is never right, whatever is said of it.
		`value.none==x`:                         false,
		`value.none!=x`:                         false,
		`not (value.none==x)`:                   false,
		`"x" not in list.none`:                  false,
		`value.team==web or value.none==x`:      false,
		`value.none is empty`:                   false,
		`any list.groups as g { g == "admin" }`: true,
	} {
		if got := s.selected(selector); got != want {
			t.Errorf("%s: %v, want %v", selector, got, want)
		}
	}
}

func TestRulesThatCouldNotWork(t *testing.T) {
	key := newSigner(t, "").pem(t)
	method := &acl.AuthMethod{Name: "m", Type: JWT, Config: config(t,
		"JWTValidationPubKeys", []string{key}, "ClaimMappings", map[string]string{"team": "team"})}
	cert := &acl.AuthMethod{Name: "c", Type: Cert, Config: config(t, "AllowCommonName", true)}
	for _, tc := range []struct {
		rule   string
		row    acl.BindingRule
		method *acl.AuthMethod
		fault  string
	}{
		{"a plain name", acl.BindingRule{BindType: "service", BindName: "web"}, method, ""},
		{"a name with a value", acl.BindingRule{BindType: "policy", BindName: "team-${value.team}"}, method, ""},
		{"a value of a certificate", acl.BindingRule{BindType: "role", BindName: "${value.name}", Selector: `value.spiffe.trust_domain=="x"`}, cert, ""},
		{"a template", acl.BindingRule{BindType: "templated-policy", BindName: "builtin/service", BindVars: map[string]string{"name": "${value.team}"}}, method, ""},
		{"no type", acl.BindingRule{BindName: "web"}, method, "no BindType is set"},
		{"a type nobody knows", acl.BindingRule{BindType: "x", BindName: "web"}, method, `unknown BindType "x"`},
		{"no name", acl.BindingRule{BindType: "role"}, method, "no BindName is set"},
		{"a name no service can have", acl.BindingRule{BindType: "service", BindName: "Up"}, method, "invalid bind name"},
		{"a value nobody maps", acl.BindingRule{BindType: "service", BindName: "${value.nope}"}, method, "unknown variable"},
		{"a list as a value", acl.BindingRule{BindType: "service", BindName: "${list.team}"}, method, "unknown variable"},
		{"a brace left open", acl.BindingRule{BindType: "role", BindName: "${value.team"}, method, "not closed"},
		{"a selector that is none", acl.BindingRule{BindType: "role", BindName: "r", Selector: "((("}, method, "Selector is invalid"},
		{"a selector about nothing", acl.BindingRule{BindType: "role", BindName: "r", Selector: "nope.x==1"}, method, "Selector is invalid"},
		{"variables where there are none", acl.BindingRule{BindType: "role", BindName: "r", BindVars: map[string]string{"name": "x"}}, method, "BindVars cannot be set"},
		{"a template nobody knows", acl.BindingRule{BindType: "templated-policy", BindName: "builtin/none"}, method, "invalid bind name"},
		{"a template without its variable", acl.BindingRule{BindType: "templated-policy", BindName: "builtin/service"}, method, "validation error"},
	} {
		t.Run(tc.rule, func(t *testing.T) { expectFault(t, CheckRule(&tc.row, tc.method), tc.fault) })
	}
}

func TestNamesAreFilledInLowerCase(t *testing.T) {
	s := &Subject{Values: map[string]string{"team": "Payments", "evil": "${value.team}"}}
	for template, want := range map[string]string{
		"plain":                         "plain",
		"svc-${value.team}":             "svc-payments",
		"${value.team}-${ value.team }": "payments-payments",
		"x-${value.evil}":               "x-${value.team}", // what a value says is not looked at
	} {
		if got, err := s.fill(template); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", template, got, err, want)
		}
	}
	if validName("role", "x-${value.team}") {
		t.Error("a value with a variable in it makes a name")
	}
}

func FuzzSelector(f *testing.F) {
	f.Add(`value.team == "web" and "admin" in list.groups`)
	f.Add(`any list.groups as g { g matches "a.*" }`)
	s := &Subject{Values: map[string]string{"team": "web"}, Lists: map[string][]string{"groups": {"a"}}}
	f.Fuzz(func(t *testing.T, selector string) {
		if strings.Contains(selector, "matches") {
			return // the library's expressions take their time
		}
		if _, err := parseSelector(selector); err != nil && selector != "" && s.selected(selector) {
			t.Errorf("%q is refused and true", selector)
		}
	})
}
