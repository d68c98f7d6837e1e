package acl

import (
	"flag"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The model of this file knows nothing of tables, of merging or of the order in which
// the Authorizer looks: it walks over all rules for every question, and takes the
// contract word by word.

// A plainRule is a rule as a person would say it.
type plainRule struct {
	resource string // key, session, service, operator, ...
	form     string // exact, prefix, glob, prefix glob; "" without a label
	label    string
	policy   string
	intents  string
	delete   string
	history  string
}

func (r plainRule) String() string {
	if r.form == "" {
		return fmt.Sprintf("%s = %q", r.resource, r.policy)
	}
	word := r.resource
	if strings.HasPrefix(r.form, "prefix") {
		word += "_prefix"
	}
	s := fmt.Sprintf("%s %q {\n  policy = %q\n", word, r.label, r.policy)
	for name, value := range map[string]string{"intentions": r.intents, "delete": r.delete, "history": r.history} {
		if value != "" {
			s += fmt.Sprintf("  %s = %q\n", name, value)
		}
	}
	if strings.HasSuffix(r.form, "glob") {
		s += "  glob = true\n"
	}
	return s + "}"
}

// ours puts the values of the variables in; false when the rule is not there.
func (r plainRule) ours(vars map[string]string) (plainRule, bool) {
	if !strings.Contains(r.label, "*") { // as if nothing were said of globs
		switch r.form {
		case "glob":
			r.form = "exact"
		case "prefix glob":
			r.form = "prefix"
		}
	}
	missing := false
	r.label = regexp.MustCompile(`\$\{[a-z]+\}`).ReplaceAllStringFunc(r.label, func(v string) string {
		value := vars[v[2:len(v)-1]]
		missing = missing || value == "" || strings.ContainsAny(value, "/*")
		return value
	})
	return r, !missing
}

// expression is a regular expression for a label with wildcards.
func expression(label string) string {
	var b strings.Builder
	for label != "" {
		switch {
		case strings.HasPrefix(label, "**"):
			b.WriteString(`[\s\S]*`)
			label = strings.TrimLeft(label, "*")
		case label[0] == '*':
			b.WriteString(`[^/]*`)
			label = label[1:]
		default:
			b.WriteString(regexp.QuoteMeta(label[:1]))
			label = label[1:]
		}
	}
	return b.String()
}

func (r plainRule) matches(name string) bool {
	switch r.form {
	case "exact":
		return r.label == name
	case "prefix":
		return strings.HasPrefix(name, r.label)
	case "glob":
		return regexp.MustCompile(`^(?:` + expression(r.label) + `)$`).MatchString(name)
	default:
		return regexp.MustCompile(`^(?:` + expression(r.label) + `)`).MatchString(name)
	}
}

// places tells how much a rule that matches says about the name: first whether it is
// exact, then bytes before the first wildcard.
func (r plainRule) places() (exact bool, before int) {
	if r.form == "exact" {
		return true, len(r.label)
	}
	if strings.HasSuffix(r.form, "glob") && strings.Contains(r.label, "*") {
		return false, strings.Index(r.label, "*")
	}
	return false, len(r.label)
}

var order = []string{"", "read", "list", "write", "deny"} // the later beats the earlier

func stronger(a, b string) string {
	for i := len(order) - 1; i >= 0; i-- {
		if a == order[i] || b == order[i] {
			return order[i]
		}
	}
	return ""
}

// together is what the rules with the same label as r give.
func together(rules []plainRule, r plainRule) plainRule {
	sum := r
	for _, o := range rules {
		if o.resource != r.resource || o.form != r.form || o.label != r.label {
			continue
		}
		sum.policy = stronger(sum.policy, o.policy)
		sum.intents = stronger(sum.intents, o.intents)
		for _, right := range []struct{ sum, o *string }{{&sum.delete, &o.delete}, {&sum.history, &o.history}} {
			switch {
			case *right.sum == "deny" || *right.o == "deny":
				*right.sum = "deny"
			case *right.o == "allow":
				*right.sum = "allow"
			}
		}
	}
	return sum
}

// gives tells whether a merged rule gives an access.
func (r plainRule) gives(resource, access string) bool {
	level := r.policy
	if resource == "intention" {
		if level = r.intents; level == "" {
			level = map[string]string{"read": "read", "write": "read"}[r.policy]
		}
	}
	if r.policy == "deny" && resource != "intention" {
		return false
	}
	switch access {
	case "read":
		return level == "read" || level == "list" || level == "write"
	case "list":
		return level == "list" || level == "write"
	case "write":
		return level == "write"
	case "write-prefix":
		return level == "write" && r.delete != "deny"
	case "delete":
		return r.delete == "allow" || r.delete == "" && level == "write"
	case "history":
		return r.history != "deny"
	}
	panic(access)
}

// denies tells whether a merged rule denies in so many words.
func (r plainRule) denies(resource, access string) bool {
	if resource == "intention" {
		return r.intents == "deny" || r.intents == "" && r.policy != "read" && r.policy != "write"
	}
	return r.policy == "deny" ||
		(access == "delete" || access == "write-prefix") && r.delete == "deny" ||
		access == "history" && r.history == "deny"
}

// closer tells whether a decides and not b, of two rules that match the same name.
func closer(a, b plainRule, resource, access string) bool {
	ax, an := a.places()
	bx, bn := b.places()
	if ax != bx {
		return ax
	}
	if an != bn {
		return an > bn
	}
	if ad, bd := a.denies(resource, access), b.denies(resource, access); ad != bd {
		return ad
	}
	if al, bl := len(strings.ReplaceAll(a.label, "*", "")), len(strings.ReplaceAll(b.label, "*", "")); al != bl {
		return al > bl
	}
	return a.gives(resource, access) && !b.gives(resource, access)
}

// naive answers a question; the second result is false where no rule decides.
func naive(rules []plainRule, resource, access, name string) (allow, ruled bool) {
	about := resource
	if about == "intention" {
		about = "service"
	}
	var of []plainRule
	for _, r := range rules {
		if r.resource == about && r.policy != "" {
			of = append(of, r)
		}
	}
	if map[string]bool{"acl": true, "operator": true, "keyring": true, "mesh": true, "peering": true}[resource] {
		if len(of) == 0 && (resource == "mesh" || resource == "peering") {
			return naive(rules, "operator", access, "")
		}
		if len(of) == 0 {
			return false, false
		}
		return together(of, of[0]).gives(resource, access), true
	}
	if access == "write-prefix" {
		return naivePrefix(of, name)
	}
	var best *plainRule
	for _, r := range of {
		if sum := together(of, r); r.matches(name) && (best == nil || closer(sum, *best, resource, access)) {
			best = &sum
		}
	}
	if best == nil {
		return false, false
	}
	return best.gives(resource, access), true
}

// naivePrefix answers for everything below a prefix.
func naivePrefix(of []plainRule, prefix string) (allow, ruled bool) {
	var cover *plainRule
	for _, r := range of {
		if sum := together(of, r); strings.HasPrefix(r.form, "prefix") && r.matches(prefix) && (cover == nil || closer(sum, *cover, "key", "write-prefix")) {
			cover = &sum
		}
	}
	if cover != nil && !cover.gives("key", "write-prefix") {
		return false, true
	}
	for _, r := range of {
		if together(of, r).gives("key", "write-prefix") {
			continue
		}
		if r.form == "exact" || r.form == "prefix" || !strings.Contains(r.label, "*") {
			if strings.HasPrefix(r.label, prefix) {
				return false, true
			}
			continue
		}
		_, before := r.places()
		if cover != nil {
			if _, rank := cover.places(); before < rank {
				continue // what covers the prefix beats it everywhere
			}
		}
		if meets(r.label, prefix, strings.HasPrefix(r.form, "prefix")) {
			return false, true
		}
	}
	return cover != nil, cover != nil
}

// meets tells whether a label with wildcards matches something that begins with
// prefix, by trying every way to read it.
func meets(label, prefix string, open bool) bool {
	switch {
	case prefix == "":
		return true
	case label == "":
		return open
	case strings.HasPrefix(label, "**"):
		return meets(strings.TrimLeft(label, "*"), prefix, open) || meets(label, prefix[1:], open)
	case label[0] == '*':
		return meets(label[1:], prefix, open) || prefix[0] != '/' && meets(label, prefix[1:], open)
	}
	return label[0] == prefix[0] && meets(label[1:], prefix[1:], open)
}

// Names are few and alike, so that labels meet.
var (
	drawName = rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "a/", "ab"}),
		rapid.StringOfN(rapid.SampledFrom([]rune("ab/")), 0, 6, -1),
	)
	drawLabel = rapid.OneOf(drawName, rapid.SampledFrom([]string{"${me}", "a/${me}/", "${me}${you}", "b${me}"}))
	drawGlob  = rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "/", "a/", "*", "**", "/*/", "${me}"}), 1, 5).Draw(t, "parts")
		return strings.Join(parts, "")
	})
	drawRule = rapid.Custom(func(t *rapid.T) plainRule {
		r := plainRule{
			resource: rapid.SampledFrom([]string{"key", "key", "key", "key", "service", "session", "operator", "mesh", "acl"}).Draw(t, "resource"),
			policy:   rapid.SampledFrom([]string{"deny", "read", "write", "write"}).Draw(t, "policy"),
		}
		right := rapid.SampledFrom([]string{"", "", "", "allow", "deny"})
		switch r.resource {
		case "operator", "mesh", "acl":
			return r
		case "key":
			r.form = rapid.SampledFrom([]string{"exact", "prefix", "prefix", "glob", "prefix glob"}).Draw(t, "form")
			r.policy = rapid.SampledFrom([]string{"deny", "read", "list", "write", "write"}).Draw(t, "policy")
			r.delete, r.history = right.Draw(t, "delete"), right.Draw(t, "history")
		case "service":
			r.intents = rapid.SampledFrom([]string{"", "", "deny", "read", "write"}).Draw(t, "intentions")
			fallthrough
		default:
			r.form = rapid.SampledFrom([]string{"exact", "prefix", "prefix"}).Draw(t, "form")
		}
		if r.label = drawLabel.Draw(t, "label"); strings.HasSuffix(r.form, "glob") {
			r.label = drawGlob.Draw(t, "glob")
		}
		return r
	})
)

type question struct{ resource, access, name string }

func (q question) String() string { return fmt.Sprintf("%s:%s %q", q.resource, q.access, q.name) }

var drawQuestion = rapid.Custom(func(t *rapid.T) question {
	q := question{resource: rapid.SampledFrom([]string{"key", "key", "key", "key", "service", "session", "intention", "operator", "mesh", "peering", "acl", "event"}).Draw(t, "resource")}
	rights := []string{"read", "write"}
	if q.resource == "key" {
		rights = []string{"read", "list", "write", "write-prefix", "write-prefix", "delete", "history"}
	}
	q.access = rapid.SampledFrom(rights).Draw(t, "access")
	q.name = drawName.Draw(t, "name")
	return q
})

// TestAuthorizerIsTheNaiveOne asks both, with policies, variables and questions at
// random. The full run has 100,000 cases; the rapid.checks flag sets another number.
func TestAuthorizerIsTheNaiveOne(t *testing.T) {
	cases := "100000"
	if testing.Short() {
		cases = "2000"
	}
	checks(t, cases)
	rapid.Check(t, func(t *rapid.T) {
		vars := map[string]string{}
		if rapid.Bool().Draw(t, "has variables") {
			vars["me"] = rapid.SampledFrom([]string{"a", "b", "ab", "", "a/b", "*"}).Draw(t, "me")
		}
		def := Default(rapid.Bool().Draw(t, "default"))
		globs := rapid.Bool().Draw(t, "has patterns") // without, policies may not be merged
		var sources []Source
		var rules []plainRule
		for i, list := range rapid.SliceOfN(rapid.SliceOfN(drawRule, 0, 6), 0, 4).Draw(t, "policies") {
			var lines []string
			seen := map[string]bool{} // a resource without a label is set once in a policy
			for _, r := range list {
				if r.form == "" && seen[r.resource] || !globs && strings.HasSuffix(r.form, "glob") {
					continue
				}
				seen[r.resource] = true
				lines = append(lines, r.String())
				if r, there := r.ours(vars); there {
					rules = append(rules, r)
				}
			}
			sources = append(sources, Source{Rules: mustParseRapid(t, strings.Join(lines, "\n")), Name: fmt.Sprint(i), Vars: vars})
		}
		a := NewAuthorizer(def, sources)
		merged := &Authorizer{parts: []*tables{merge(a.parts)}, plain: a.plain, def: a.def, sources: a.sources}
		merged.settle(merged.parts[0])
		if rapid.Bool().Draw(t, "often asked") && len(a.parts) > 1 {
			a.asked.Store(oftenAsked - 1)
		}
		for _, q := range rapid.SliceOfN(drawQuestion, 1, 8).Draw(t, "questions") {
			want, ruled := naive(rules, q.resource, q.access, q.name)
			if !ruled {
				want = bool(def) && q.resource != "acl"
			}
			r, err := ParseResource(q.resource)
			if err != nil {
				t.Fatal(err)
			}
			ac, err := ParseAccess(r, q.access)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.Allow(r, ac, q.name); got != want {
				t.Fatalf("%v: %v, the rules say %v", q, got, want)
			}
			if got := merged.Allow(r, ac, q.name); got != want {
				t.Fatalf("%v, merged: %v, the rules say %v", q, got, want)
			}
			e := a.Explain(r, ac, q.name)
			if e.Allow != want || (e.DecidedBy == "rule") != ruled || (e.Rule != nil) != ruled {
				t.Fatalf("%v: %v by rule %v, explained by %+v", q, want, ruled, e)
			}
		}
	})
}

// checks sets how many cases rapid runs, unless the command line does.
func checks(t *testing.T, n string) {
	f := flag.Lookup("rapid.checks")
	set := false
	flag.Visit(func(g *flag.Flag) { set = set || g == f })
	if set {
		return
	}
	former := f.Value.String()
	if err := f.Value.Set(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(former); err != nil {
			t.Error(err)
		}
	})
}

func mustParseRapid(t *rapid.T, text string) *Rules {
	r, err := Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return r
}

// TestGlobsAreExpressions compares the matcher with regular expressions.
func TestGlobsAreExpressions(t *testing.T) {
	checks(t, "5000")
	rapid.Check(t, func(t *rapid.T) {
		pattern := strings.ReplaceAll(drawGlob.Draw(t, "pattern"), "${me}", "ab")
		for _, form := range []string{"glob", "prefix glob"} {
			g := glob{pattern: pattern, prefix: form == "prefix glob"}
			r := plainRule{form: form, label: pattern}
			for _, name := range rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune("ab/")), 0, 12, -1), 1, 10).Draw(t, "names") {
				if got, want := g.matches(name), r.matches(name); got != want {
					t.Fatalf("%s %q matches %q: %v, want %v", form, pattern, name, got, want)
				}
				if got, want := g.reaches(name), meets(pattern, name, g.prefix); got != want {
					t.Fatalf("%s %q reaches %q: %v, want %v", form, pattern, name, got, want)
				}
			}
		}
	})
}
