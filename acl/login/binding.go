package login

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-bexpr"
	"github.com/hashicorp/go-bexpr/grammar"

	"github.com/holdfast-kv/holdfast/acl"
)

// selectorSteps bounds the work of parsing a selector.
const selectorSteps = 50_000

// Subject is whom a credential is about.
type Subject struct {
	Name   string              // as records show it
	Values map[string]string   // by the name that the method gives them
	Lists  map[string][]string // the same
	// Expires is when the credential ends, where it stays in use; the zero time for
	// one that is exchanged for a token.
	Expires time.Time
}

// Vars are what variables in rules stand for: the values.
func (s *Subject) Vars() map[string]string { return maps.Clone(s.Values) }

// Bind types.
const (
	bindService   = "service"
	bindNode      = "node"
	bindRole      = "role"
	bindPolicy    = "policy"
	bindTemplated = "templated-policy"
)

// CheckRule refuses a rule that could not work with the method. The error's text is the
// wire's, without what it begins with.
//
// Source: contract, ACL API, section 6.2.
func CheckRule(rule *acl.BindingRule, method *acl.AuthMethod) error {
	if _, err := parseSelector(rule.Selector); err != nil {
		//lint:ignore ST1005 the text is the wire's
		return fmt.Errorf("Selector is invalid: %w", err)
	}
	switch rule.BindType {
	case "":
		return errors.New("no BindType is set")
	case bindService, bindNode, bindRole, bindPolicy, bindTemplated:
	default:
		return fmt.Errorf("unknown BindType %q", rule.BindType)
	}
	if rule.BindName == "" {
		return errors.New("no BindName is set")
	}
	if rule.BindVars["name"] != "" && rule.BindType != bindTemplated {
		return errors.New("BindVars cannot be set when bind type is not templated-policy")
	}
	// Any value will do to see whether the rest of the name is right.
	values, _ := Names(method.Type, method.Config)
	sample := &Subject{Values: map[string]string{}}
	for _, name := range values {
		sample.Values[name] = "fake"
	}
	name, err := sample.fill(rule.BindName)
	if err != nil {
		return fmt.Errorf("invalid BindName: %w", err)
	}
	if !validName(rule.BindType, name) {
		return fmt.Errorf("BindName %q would be an invalid bind name", rule.BindName)
	}
	variable, err := sample.fill(rule.BindVars["name"])
	if err != nil {
		return fmt.Errorf("invalid BindVars: %w", err)
	}
	if rule.BindType == bindTemplated {
		t, known := acl.TemplateByName(name)
		if !known {
			return fmt.Errorf("BindName %q is no template, and so an invalid bind name", rule.BindName)
		}
		return t.Check(variable)
	}
	return nil
}

var (
	policyForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)?$`)
	roleForm   = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

func validName(bindType, name string) bool {
	switch bindType {
	case bindService, bindNode:
		return acl.ValidIdentityName(name)
	case bindRole:
		return len(name) <= 256 && roleForm.MatchString(name)
	case bindPolicy:
		return len(name) <= 128 && policyForm.MatchString(name)
	}
	return true
}

// placeholder is a variable in a bind name.
var placeholder = regexp.MustCompile(`\$\{[^}]*\}`)

// fill puts values into a bind name.
func (s *Subject) fill(template string) (string, error) {
	var failed error
	out := placeholder.ReplaceAllStringFunc(template, func(v string) string {
		name := strings.TrimSpace(v[2 : len(v)-1])
		value, known := s.Values[strings.TrimPrefix(name, "value.")]
		if !known || !strings.HasPrefix(name, "value.") {
			failed = fmt.Errorf("unknown variable accessed: %s", name)
		}
		return strings.ToLower(value)
	})
	if failed == nil && strings.Contains(placeholder.ReplaceAllString(template, ""), "${") {
		failed = errors.New("a ${ is not closed")
	}
	return out, failed
}

// Bind asks the rules of a method what the subject gets. Rules about roles and policies
// that do not exist give nothing. strict is for a login, which fails when a rule makes
// an impossible name; otherwise such a rule gives nothing.
//
// Source: contract, ACL API, sections 6.2 and 6.3.
func Bind(v acl.View, method, datacenter string, s *Subject, strict bool) (links acl.Links, err error) {
	v.Bindings(method, func(rule *acl.BindingRule) bool {
		if !s.selected(rule.Selector) {
			return true
		}
		if err = s.bind(v, rule, datacenter, &links); err != nil && strict {
			return false
		}
		err = nil
		return true
	})
	return links, err
}

func (s *Subject) bind(v acl.View, rule *acl.BindingRule, datacenter string, links *acl.Links) error {
	name, err := s.fill(rule.BindName)
	if err != nil {
		return fmt.Errorf("cannot compute %q bind name for bind target: %w", rule.BindType, err)
	}
	if !validName(rule.BindType, name) {
		return fmt.Errorf("computed %q bind name for bind target is invalid: %q", rule.BindType, name)
	}
	switch rule.BindType {
	case bindService:
		same := func(have acl.ServiceIdentity) bool { return have.Service == name }
		if !slices.ContainsFunc(links.ServiceIdentities, same) {
			links.ServiceIdentities = append(links.ServiceIdentities, acl.ServiceIdentity{Service: name})
		}
	case bindNode:
		identity := acl.NodeIdentity{Node: name, Datacenter: datacenter}
		if !slices.Contains(links.NodeIdentities, identity) {
			links.NodeIdentities = append(links.NodeIdentities, identity)
		}
	case bindRole:
		if r := v.RoleByName(name); r != nil && !slices.Contains(links.Roles, r.ID) {
			links.Roles = append(links.Roles, r.ID)
		}
	case bindPolicy:
		if p := v.PolicyByName(name); p != nil && !slices.Contains(links.Policies, p.ID) {
			links.Policies = append(links.Policies, p.ID)
		}
	case bindTemplated:
		return s.bindTemplate(rule, name, links)
	}
	return nil
}

func (s *Subject) bindTemplate(rule *acl.BindingRule, name string, links *acl.Links) error {
	t, known := acl.TemplateByName(name)
	if !known {
		return fmt.Errorf("computed %q bind name for bind target is invalid: %q", rule.BindType, name)
	}
	variable, err := s.fill(rule.BindVars["name"])
	if err != nil {
		return fmt.Errorf("cannot compute variables of %q: %w", name, err)
	}
	if err := t.Check(variable); err != nil {
		return err
	}
	same := func(have acl.TemplateLink) bool { return have.ID == t.ID && have.Name == variable }
	if !slices.ContainsFunc(links.Templates, same) {
		links.Templates = append(links.Templates, acl.TemplateLink{ID: t.ID, Template: t.Name, Name: variable})
	}
	return nil
}

// Empty tells whether there are no links at all.
func Empty(l *acl.Links) bool {
	return len(l.Policies)+len(l.Roles)+len(l.ServiceIdentities)+len(l.NodeIdentities)+len(l.Templates) == 0
}

// parseSelector reads a selector, whose names must begin with value or list.
func parseSelector(text string) (tree any, err error) {
	if text == "" {
		return nil, nil
	}
	if tree, err = grammar.Parse("", []byte(text), grammar.MaxExpressions(selectorSteps)); err != nil {
		return nil, err
	}
	wrong := ""
	eachSelector(tree, func(path []string) {
		if len(path) < 2 || path[0] != "value" && path[0] != "list" {
			wrong = strings.Join(path, ".")
		}
	})
	if wrong != "" {
		return nil, fmt.Errorf("selector %q is not valid: names are value.NAME and list.NAME", wrong)
	}
	return tree, nil
}

// eachSelector visits the names in an expression.
func eachSelector(tree any, visit func(path []string)) {
	switch e := tree.(type) {
	case *grammar.UnaryExpression:
		eachSelector(e.Operand, visit)
	case *grammar.BinaryExpression:
		eachSelector(e.Left, visit)
		eachSelector(e.Right, visit)
	case *grammar.MatchExpression:
		visit(e.Selector.Path)
	case *grammar.CollectionExpression:
		visit(e.Selector.Path)
	}
}

// selected tells whether a selector is true of the subject. One that speaks of what the
// subject does not have never is.
func (s *Subject) selected(selector string) bool {
	if selector == "" {
		return true
	}
	tree, err := parseSelector(selector)
	if err != nil {
		return false // was refused when the rule was written
	}
	known := true
	eachSelector(tree, func(path []string) {
		name, has := strings.Join(path[1:], "."), false
		if path[0] == "value" {
			_, has = s.Values[name]
		} else {
			_, has = s.Lists[name]
		}
		known = known && has
	})
	if !known {
		return false
	}
	eval, err := bexpr.CreateEvaluator(selector, bexpr.WithMaxExpressions(selectorSteps))
	if err != nil {
		return false
	}
	matches, err := eval.Evaluate(map[string]any{"value": nested(s.Values), "list": s.Lists})
	return err == nil && matches
}

// nested makes of names with dots what a selector walks through.
func nested(values map[string]string) map[string]any {
	out := map[string]any{}
	for name, value := range values {
		outer, inner, deep := strings.Cut(name, ".")
		if !deep {
			out[name] = value
			continue
		}
		below, _ := out[outer].(map[string]any)
		if below == nil {
			below = map[string]any{}
			out[outer] = below
		}
		below[inner] = value
	}
	return out
}
