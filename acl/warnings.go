package acl

import (
	"fmt"
	"strings"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// Warnings lists what the text of a policy says in vain: resources and properties that
// do not exist, labels that occur twice, rules that can never decide. nil when there
// is nothing, or when the text has an error: [Parse] says that one. At most
// limit.PolicyWarnings; the last says how many more there are.
func Warnings(text string) []string {
	n := &notes{}
	list, err := parse(text, n)
	if err != nil {
		return nil
	}
	first := map[string]*rule{}
	for i := range list {
		r := &list[i]
		key := fmt.Sprintf("%s %t %s", r.name, r.glob, r.label)
		if other, twice := first[key]; twice {
			n.add(r.line, "%s %q is there already in line %d: the two count as one, and the stronger level unless one denies", r.name, r.label, other.line)
		} else {
			first[key] = r
		}
		r.warn(n)
		if r.glob && r.beaten(list) {
			n.add(r.line, "%s %q never decides: the deny of %q does", r.name, r.label, literal(r.label))
		}
	}
	return n.lines()
}

// warn notes what is odd about one rule.
func (r *rule) warn(n *notes) {
	if r.level == LevelDeny && (r.delete == rightAllow || r.history == rightAllow) {
		n.add(r.line, "%s %q denies everything, delete and history too", r.name, r.label)
	}
	if r.prefix && r.variables && strings.HasSuffix(r.label, "}") {
		n.add(r.line, "%s %q ends in a variable: it covers every longer name too, those of others that begin alike", r.name, r.label)
	}
	if strings.Contains(r.label, "*") && !r.glob && r.kind == kindKey {
		n.add(r.line, "%s %q: * is an ordinary byte without glob = true", r.name, r.label)
	}
}

// beaten tells whether a deny with as many bytes before the first wildcard covers all
// that the pattern matches.
func (r *rule) beaten(list []rule) bool {
	for i := range list {
		o := &list[i]
		if o.kind == r.kind && o.prefix && !o.glob && o.level == LevelDeny && r.level != LevelDeny && o.label == literal(r.label) {
			return true
		}
	}
	return false
}

// notes collects warnings; a nil *notes collects nothing.
type notes struct {
	texts []string
	more  int
}

func (n *notes) add(line int, format string, args ...any) {
	switch {
	case n == nil:
	case len(n.texts) >= limit.PolicyWarnings-1:
		n.more++
	default:
		n.texts = append(n.texts, fmt.Sprintf("line %d: ", line)+fmt.Sprintf(format, args...))
	}
}

func (n *notes) lines() []string {
	if n.more > 0 {
		return append(n.texts, fmt.Sprintf("and %d more", n.more))
	}
	return n.texts
}
