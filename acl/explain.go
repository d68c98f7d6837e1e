package acl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// explainLost is how many rules an explanation lists that match and do not decide.
const explainLost = 20

// Explanation says why a question is answered as it is.
type Explanation struct {
	Allow     bool
	DecidedBy string        // "rule" or "default_policy"
	Rule      *ExplainRule  // what decided, nil when no rule did
	Lost      []ExplainLost // other rules that match, the closest first; bounded
}

// ExplainRule is one rule and where it comes from.
type ExplainRule struct {
	Resource string // as it is written: key_prefix
	Match    string // "exact", "prefix" or "glob"; "" for resources without a label
	Label    string // variables put in
	Level    string // with `, delete = "deny"` and the like when the question is about that
	Line     int    // of the policy's text
	PolicyID string
	Policy   string
	Via      []string
}

// ExplainLost is a rule that matches and does not decide.
type ExplainLost struct {
	ExplainRule
	Why string
}

// Explain answers as Allow does and says why. It walks all rules: it is for people who
// ask, not for requests.
//
// When everything below a prefix is asked about, the rule is the one that allows or
// denies the prefix itself, or else the first that blocks something below it; none is
// lost.
func (a *Authorizer) Explain(r Resource, ac Access, name string) Explanation {
	e := Explanation{Allow: a.Allow(r, ac, name), DecidedBy: "default_policy"}
	q := access{Access: ac, intentions: r == ResourceIntention}
	var found []match
	switch {
	case !r.Labelled():
		found = a.matches(func(m *match) bool { return m.kind == kindOf[r] })
		if len(found) == 0 && (r == ResourceMesh || r == ResourcePeering) {
			found = a.matches(func(m *match) bool { return m.kind == kindOperator })
		}
	case ac == AccessWritePrefix:
		found = a.blocking(q, kindOf[r], name)
	default:
		found = a.matches(func(m *match) bool { return m.kind == kindOf[r] && m.matches(name) })
	}
	if len(found) == 0 {
		return e
	}
	slices.SortStableFunc(found, func(x, y match) int { return x.compare(q, y) })
	won := found[0]
	e.DecidedBy = "rule"
	rule := won.explain(q)
	e.Rule = &rule
	for _, m := range found[1:min(len(found), explainLost+1)] {
		e.Lost = append(e.Lost, ExplainLost{ExplainRule: m.explain(q), Why: m.lostTo(q, won)})
	}
	return e
}

// A match is a rule of one source, its variables put in.
type match struct {
	rule
	source *Source
}

// matches lists the rules of all sources that a test takes.
func (a *Authorizer) matches(takes func(*match) bool) []match {
	var all []match
	for i := range a.sources {
		s := &a.sources[i]
		if s.Rules == nil {
			continue
		}
		for _, r := range s.Rules.list {
			m := match{rule: r, source: s}
			var there bool
			if m.label, there = r.expand(s.Vars); there && takes(&m) {
				all = append(all, m)
			}
		}
	}
	return all
}

// blocking lists what decides about everything below a prefix.
func (a *Authorizer) blocking(q access, k kind, prefix string) []match {
	covers := a.matches(func(m *match) bool {
		return m.kind == k && m.prefix && m.matches(prefix)
	})
	slices.SortStableFunc(covers, func(x, y match) int { return x.compare(q, y) })
	rank := -1
	if len(covers) > 0 {
		if !q.allowed(a.merged(k)[covers[0].key()]) {
			return covers[:1]
		}
		rank = covers[0].rank()
	}
	merged := a.merged(k)
	blocks := a.matches(func(m *match) bool {
		if m.kind != k || q.allowed(m.grant) || q.allowed(merged[m.key()]) {
			return false
		}
		if m.glob {
			g := glob{pattern: m.label, prefix: m.prefix}
			return (m.rank() >= rank || strings.HasPrefix(literal(m.label), prefix)) && g.reaches(prefix)
		}
		return strings.HasPrefix(m.label, prefix)
	})
	slices.SortStableFunc(blocks, func(x, y match) int { return cmp.Compare(x.label, y.label) })
	switch {
	case len(blocks) > 0:
		return blocks[:1]
	case len(covers) > 0:
		return covers[:1]
	}
	return nil
}

// A key is what rules have alike that are merged into one.
type key struct {
	label        string
	prefix, glob bool
}

func (m *match) key() key { return key{m.label, m.prefix, m.glob} }

// merged returns what the rules for one kind give together, by key.
func (a *Authorizer) merged(k kind) map[key]grant {
	all := map[key]grant{}
	a.matches(func(m *match) bool {
		if m.kind == k {
			all[m.key()] = all[m.key()].join(m.grant)
		}
		return false
	})
	return all
}

// matches tells whether the rule is about a name.
func (m *match) matches(name string) bool {
	switch {
	case m.glob:
		g := glob{pattern: m.label, prefix: m.prefix}
		return g.matches(name)
	case m.prefix:
		return strings.HasPrefix(name, m.label)
	}
	return m.label == name
}

// rank is how many bytes are before the first wildcard; an exact rule comes before
// all.
func (m *match) rank() int {
	switch {
	case m.glob:
		return len(literal(m.label))
	case m.prefix || !m.labelled():
		return len(m.label)
	}
	return 1 << 30
}

// compare orders rules that match the same name, the one that decides first.
func (m match) compare(q access, o match) int {
	if c := cmp.Compare(o.rank(), m.rank()); c != 0 {
		return c
	}
	x, y := m.candidate(), o.candidate()
	if q.intentions && m.key() == o.key() && (m.intentions == LevelNone) != (o.intentions == LevelNone) {
		return cmp.Compare(o.intentions, m.intentions) // of rules for one label, those that say something count
	}
	switch {
	case x.beats(q, y):
		return -1
	case y.beats(q, x):
		return 1
	}
	return 0
}

func (m match) candidate() candidate {
	if m.glob {
		return candidate{m.grant, literals(m.label)}
	}
	return candidate{m.grant, len(m.label)}
}

func (m match) explain(q access) ExplainRule {
	e := ExplainRule{
		Resource: m.name, Label: m.label, Level: m.level.String(), Line: m.line,
		PolicyID: m.source.ID, Policy: m.source.Name, Via: m.source.Via,
	}
	switch {
	case !m.labelled():
	case m.glob:
		e.Match = "glob"
	case m.prefix:
		e.Match = "prefix"
	default:
		e.Match = "exact"
	}
	if q.intentions {
		e.Level += fmt.Sprintf(", intentions = %q", q.of(m.grant))
	}
	if s := q.separate(m.grant); s != rightUnsaid {
		word := "delete"
		if q.Access == AccessHistory {
			word = "history"
		}
		e.Level += fmt.Sprintf(", %s = %q", word, [...]string{rightAllow: "allow", rightDeny: "deny"}[s])
	}
	return e
}

// lostTo says why another rule decides.
func (m match) lostTo(q access, won match) string {
	policy := won.source.Name
	switch {
	case !m.labelled():
		return fmt.Sprintf("weaker than %s of %s", won.level, policy)
	case m.rank() < won.rank() && won.rank() == 1<<30:
		return "not exact"
	case m.rank() < won.rank():
		return "shorter"
	case q.denied(won.grant) && !q.denied(m.grant):
		return fmt.Sprintf("weaker than deny of %s", policy)
	case m.candidate().literals < won.candidate().literals:
		return "less specific"
	}
	return fmt.Sprintf("not stronger than %s of %s", q.of(won.grant), policy)
}
