package acl

import (
	"cmp"
	"slices"
	"strings"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// Rules is the text of one policy, parsed. It is never changed.
type Rules struct {
	list   []rule // in the order of the text
	tables tables // of the rules without variables
	open   bool   // some rule has a variable
}

// newRules sorts what was parsed, once for all the tokens that it reaches.
func newRules(list []rule) *Rules {
	r := &Rules{list: list}
	settled := list
	if r.open = slices.ContainsFunc(list, func(r rule) bool { return r.variables }); r.open {
		settled = slices.DeleteFunc(slices.Clone(list), func(r rule) bool { return r.variables })
	}
	r.tables.fill(settled)
	return r
}

// with returns the tables with variables put in.
func (r *Rules) with(vars map[string]string) *tables {
	if !r.open {
		return &r.tables
	}
	var list []rule
	for _, rule := range r.list {
		if label, ok := rule.expand(vars); ok {
			rule.label = label
			list = append(list, rule)
		}
	}
	t := &tables{}
	t.fill(list)
	return t
}

// A rule is one rule of a policy.
type rule struct {
	word
	label     string
	glob      bool // the label has wildcards
	variables bool // the label has variables
	line      int

	grant
}

// expand puts the variables into the label; false when one of them is missing.
func (r *rule) expand(vars map[string]string) (string, bool) {
	if !r.variables {
		return r.label, true
	}
	var b strings.Builder
	rest := r.label
	for {
		before, name, after, found := cutVariable(rest)
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		value := vars[name]
		if !fitsLabel(value) {
			return "", false
		}
		b.WriteString(value)
		rest = after
	}
}

// fitsLabel tells whether a variable's value stays in its place in a label.
func fitsLabel(value string) bool {
	return value != "" && len(value) <= limit.VariableBytes &&
		!strings.ContainsFunc(value, func(r rune) bool { return r == '/' || r == '*' || r < ' ' || r == 0x7f })
}

// variables tells whether a label has any.
func variables(label string) bool {
	_, _, _, found := cutVariable(label)
	return found
}

// cutVariable cuts a text around its first ${name}. A name has letters, digits, - _
// and dots; anything else between the braces is an ordinary text.
func cutVariable(text string) (before, name, after string, found bool) {
	for from := 0; ; {
		i := strings.Index(text[from:], "${")
		if i < 0 {
			return text, "", "", false
		}
		i += from
		j := strings.IndexByte(text[i:], '}')
		if j < 0 {
			return text, "", "", false
		}
		if name = text[i+2 : i+j]; name != "" && !strings.ContainsFunc(name, notInName) {
			return text[:i], name, text[i+j+1:], true
		}
		from = i + 2
	}
}

func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

// right is what a rule says about an access apart from its level.
type right uint8

const (
	rightUnsaid right = iota
	rightAllow
	rightDeny
)

// A grant is what a rule gives, or the rules for one label together.
type grant struct {
	level           Level
	intentions      Level // of services; LevelNone: as the level has it
	delete, history right // of keys
}

// join adds what another rule for the same label gives: deny beats write beats list
// beats read, each part for itself.
func (g grant) join(o grant) grant {
	return grant{
		level:      joinLevels(g.level, o.level),
		intentions: joinLevels(g.intentions, o.intentions),
		delete:     max(g.delete, o.delete),
		history:    max(g.history, o.history),
	}
}

func joinLevels(a, b Level) Level {
	if a == LevelDeny || b == LevelDeny {
		return LevelDeny
	}
	return max(a, b)
}

// access is what is asked of a grant: Access, and where intentions are meant.
type access struct {
	Access
	intentions bool
}

// of returns the level that answers.
func (a access) of(g grant) Level {
	if !a.intentions {
		return g.level
	}
	if g.intentions != LevelNone {
		return g.intentions
	}
	if g.level == LevelRead || g.level == LevelWrite {
		return LevelRead
	}
	return LevelDeny
}

// separate returns what the grant says about the access apart from its level. Where
// the level is deny, that is all there is to say.
func (a access) separate(g grant) right {
	switch {
	case g.level == LevelDeny:
		return rightUnsaid
	case a.Access == AccessDelete:
		return g.delete
	case a.Access == AccessHistory:
		return g.history
	case a.Access == AccessWritePrefix && g.delete == rightDeny:
		return rightDeny
	}
	return rightUnsaid
}

// allowed tells whether a grant allows the access.
func (a access) allowed(g grant) bool {
	switch a.separate(g) {
	case rightAllow:
		return true
	case rightDeny:
		return false
	}
	level := a.of(g)
	switch a.Access {
	case AccessRead, AccessHistory:
		return level >= LevelRead
	case AccessList:
		return level >= LevelList
	}
	return level == LevelWrite
}

// denied tells whether a grant forbids the access in so many words, and is not only
// too weak for it.
func (a access) denied(g grant) bool {
	return a.of(g) == LevelDeny || a.separate(g) == rightDeny
}

// kind is a resource that rules name; a pattern of names, such as key_prefix, is of
// the same kind.
type kind uint8

// The kinds: those with labels come first, each has a table of its own.
const (
	kindKey kind = iota
	kindSession
	kindEvent
	kindAgent
	kindNode
	kindService
	kindQuery
	labelledKinds

	kindACL = iota - 1
	kindOperator
	kindKeyring
	kindMesh
	kindPeering
	kinds
)

// A word is a resource as rules name it.
type word struct {
	name   string
	kind   kind
	prefix bool
}

func (w word) labelled() bool { return w.kind < labelledKinds }

// properties are those that a rule for the resource may have.
func (w word) properties() []string {
	switch w.kind {
	case kindKey:
		return []string{"policy", "glob", "delete", "history"}
	case kindService:
		return []string{"policy", "intentions"}
	}
	return []string{"policy"}
}

// words are the resources that rules may name.
var words = func() map[string]word {
	m := map[string]word{}
	for k, name := range kindNames {
		m[name] = word{name: name, kind: kind(k)}
		if kind(k) < labelledKinds {
			m[name+"_prefix"] = word{name: name + "_prefix", kind: kind(k), prefix: true}
		}
	}
	return m
}()

var kindNames = [kinds]string{
	kindKey: "key", kindSession: "session", kindEvent: "event", kindAgent: "agent", kindNode: "node",
	kindService: "service", kindQuery: "query", kindACL: "acl", kindOperator: "operator",
	kindKeyring: "keyring", kindMesh: "mesh", kindPeering: "peering",
}

// tables are the rules of one or more policies, merged and ready to be asked.
type tables struct {
	labelled [labelledKinds]table
	plain    [kinds]Level // of resources without a label
	globs    bool         // some label has wildcards
}

// fill takes rules without variables in any order.
func (t *tables) fill(list []rule) {
	var sorted [labelledKinds][]entry
	for _, r := range list {
		switch {
		case !r.labelled():
			t.plain[r.kind] = joinLevels(t.plain[r.kind], r.level)
		default:
			sorted[r.kind] = append(sorted[r.kind], r.entry())
			t.globs = t.globs || r.glob
		}
	}
	for k, entries := range sorted {
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.label, b.label) })
		t.labelled[k] = newTable(collapse(entries))
	}
}

// entry is the rule as its table has it.
func (r *rule) entry() entry {
	switch {
	case r.glob:
		return entry{label: literal(r.label), globs: &[]glob{{pattern: r.label, prefix: r.prefix, grant: r.grant}}}
	case r.prefix:
		return entry{label: r.label, prefix: r.grant}
	}
	return entry{label: r.label, exact: r.grant}
}

// collapse joins neighbours of the same label, in place.
func collapse(sorted []entry) []entry {
	n := 0
	for _, e := range sorted {
		if n > 0 && sorted[n-1].label == e.label {
			sorted[n-1] = sorted[n-1].join(e)
			continue
		}
		sorted[n] = e
		n++
	}
	return sorted[:n]
}

// merge joins the tables of several policies.
func merge(all []*tables) *tables {
	switch len(all) {
	case 0:
		return &tables{}
	case 1:
		return all[0]
	}
	t := &tables{}
	for _, o := range all {
		t.globs = t.globs || o.globs
		for k := range t.plain {
			t.plain[k] = joinLevels(t.plain[k], o.plain[k])
		}
	}
	lists := make([][]entry, 0, len(all))
	for k := range t.labelled {
		lists = lists[:0]
		for _, o := range all {
			if entries := o.labelled[k].entries; len(entries) > 0 {
				lists = append(lists, entries)
			}
		}
		if len(lists) == 1 { // nothing to merge: share it
			for _, o := range all {
				if len(o.labelled[k].entries) > 0 {
					t.labelled[k] = o.labelled[k]
				}
			}
			continue
		}
		t.labelled[k] = newTable(mergeSorted(lists))
	}
	return t
}

// mergeSorted merges sorted lists two by two, so that each entry is touched only a
// logarithm of times. It overwrites the slice of lists, not the lists.
func mergeSorted(lists [][]entry) []entry {
	for len(lists) > 1 {
		n := 0
		for i := 0; i < len(lists); i += 2 {
			if i+1 < len(lists) {
				lists[n] = mergeTwo(lists[i], lists[i+1])
			} else {
				lists[n] = lists[i]
			}
			n++
		}
		lists = lists[:n]
	}
	if len(lists) == 0 {
		return nil
	}
	return lists[0]
}

func mergeTwo(a, b []entry) []entry {
	out := make([]entry, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := cmp.Compare(a[0].label, b[0].label); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0].join(b[0])), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}
