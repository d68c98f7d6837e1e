package acl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// Parse reads the text of a policy: HCL, or JSON when it starts with a brace. The
// error's text begins as the wire's does; then it says what is wrong, and in which
// line.
//
// What Consul ignores is ignored: resources and properties that it does not know, and
// those of editions that it is not. [Warnings] names them. Three things that Consul
// takes by mistake are refused: a JSON text that is cut short, a resource without a
// label twice in JSON, and a block whose label was forgotten.
//
// Three properties are this store's own. A policy that has none of them, and no
// variable, means what it means to Consul.
//
//   - glob = true, of key and key_prefix: in the label * stands for any bytes but a
//     slash, none too, and ** for any bytes. It has to be said because a * in a label
//     is an ordinary byte to Consul, and it is said in the rule, not in the
//     configuration, because every server must read a policy in the same way.
//   - delete = "allow" or "deny", of key and key_prefix: whether keys may be removed,
//     when it is not to be as the level has it (write may). A subtree can be removed
//     only where the level is write, too.
//   - history = "allow" or "deny", likewise for earlier versions of keys (read may).
//
// ${name} in a label is a variable. Who has it is who the rule is about; to anybody
// else the rule is not there. A value that is empty, longer than
// limit.VariableBytes or has a slash, a star or a control character in it counts as
// missing: with it the label would reach beyond its place in the tree.
//
// Source: contract, ACL rules, section 2.
func Parse(text string) (*Rules, error) {
	list, err := parse(text, nil)
	if err != nil {
		return nil, err
	}
	return newRules(list), nil
}

// parse reads the rules in the order of the text. notes, unless nil, is told of
// whatever is passed over.
func parse(text string, notes *notes) ([]rule, error) {
	b := &builder{notes: notes}
	err := b.read(text)
	var bad *levelError
	switch {
	case errors.As(err, &bad):
		return nil, err
	case err != nil:
		//lint:ignore ST1005 the text is the wire's
		return nil, fmt.Errorf("Failed to parse ACL rules: %w", err)
	}
	return b.rules, nil
}

// A property is one name with its value inside a block.
type property struct {
	name  string
	value string // when it is plain
	plain bool   // a text, a number, or true or false
	line  int
}

// builder turns what a notation says into rules.
type builder struct {
	rules []rule
	plain map[kind]int // line of each unlabelled resource
	notes *notes
}

func (b *builder) read(text string) error {
	if len(text) > limit.PolicyBytes {
		return fmt.Errorf("the text has more than %d bytes", limit.PolicyBytes)
	}
	if strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") {
		return readJSON(text, b)
	}
	return readHCL(text, b)
}

// wordOf finds what the language knows under a name, whose case does not matter.
func wordOf(name string) (word, bool) {
	w, known := words[strings.ToLower(name)]
	return w, known
}

// unlabelled takes name = "level".
func (b *builder) unlabelled(w word, level string, line int) error {
	if first, twice := b.plain[w.kind]; twice {
		return fmt.Errorf("line %d: %s is set already in line %d", line, w.name, first)
	}
	if b.plain == nil {
		b.plain = map[kind]int{}
	}
	b.plain[w.kind] = line
	if level == "" {
		b.notes.add(line, "%s has no level, and no effect", w.name)
		return nil
	}
	r := rule{word: w, line: line}
	var ok bool
	if r.level, ok = levelOf(level, false); !ok {
		return &levelError{what: w.name, level: level, line: line}
	}
	b.rules = append(b.rules, r)
	return nil
}

// labelled takes name "label" { properties }.
func (b *builder) labelled(w word, label string, props []property, line int) error {
	r := rule{word: w, label: label, line: line}
	set, err := b.properties(w, props)
	if err != nil {
		return err
	}
	policy := set["policy"]
	var ok bool
	if r.level, ok = levelOf(policy.value, w.kind == kindKey); !ok {
		return &levelError{what: w.name, label: label, labelled: true, level: policy.value, line: line}
	}
	if p, has := set["intentions"]; has && p.value != "" {
		if r.intentions, ok = levelOf(p.value, false); !ok {
			return &levelError{what: "service intentions", label: label, labelled: true, level: p.value, line: p.line}
		}
	}
	if r.delete, err = wordRight(set, "delete"); err != nil {
		return err
	}
	if r.history, err = wordRight(set, "history"); err != nil {
		return err
	}
	if p, has := set["glob"]; has {
		switch strings.ToLower(p.value) {
		case "true":
			r.glob = strings.Contains(label, "*")
		case "false":
		default:
			return fmt.Errorf("line %d: %s is neither true nor false", p.line, p.name)
		}
	}
	if r.glob && stars(label) > limit.PatternStars {
		return fmt.Errorf("line %d: the label %q has more than %d wildcards", line, label, limit.PatternStars)
	}
	r.variables = variables(label)
	b.rules = append(b.rules, r)
	return nil
}

// wordRight reads a right that a rule may give or take apart from its level.
func wordRight(set map[string]property, name string) (right, error) {
	p, has := set[name]
	if !has {
		return rightUnsaid, nil
	}
	switch strings.ToLower(p.value) {
	case "allow":
		return rightAllow, nil
	case "deny":
		return rightDeny, nil
	}
	return rightUnsaid, fmt.Errorf(`line %d: %s is neither "allow" nor "deny"`, p.line, p.name)
}

// properties picks those that the resource has, by name in lower case.
func (b *builder) properties(w word, props []property) (map[string]property, error) {
	set := map[string]property{}
	for _, p := range props {
		name := strings.ToLower(p.name)
		switch {
		case !slices.Contains(w.properties(), name):
			b.notes.add(p.line, "%s has no property %q: it is ignored", w.name, p.name)
			continue
		case !p.plain:
			return nil, fmt.Errorf("line %d: %s takes a text", p.line, p.name)
		}
		if first, twice := set[name]; twice {
			return nil, fmt.Errorf("line %d: %s is set already in line %d", p.line, p.name, first.line)
		}
		set[name] = p
	}
	return set, nil
}

// ignored notes a resource that means nothing here.
func (b *builder) ignored(name string, line int) {
	switch strings.ToLower(name) {
	case "identity", "identity_prefix", "namespace", "namespace_prefix", "partition", "partition_prefix":
		b.notes.add(line, "%s rules have no effect here", name)
	default:
		b.notes.add(line, "there is no resource %q: it is ignored", name)
	}
}

// unlabelledBlock refuses a block whose label was forgotten: Consul takes the name of
// its first property for the label.
func unlabelledBlock(w word, line int) error {
	return fmt.Errorf("line %d: %s has no label", line, w.name)
}

// levelError says that a level is not one.
type levelError struct {
	what     string // "key", "service intentions"
	label    string
	labelled bool
	level    string
	line     int
}

func (e *levelError) Error() string {
	if e.labelled {
		return fmt.Sprintf("Invalid %s policy: %q for the label %q (line %d)", e.what, e.level, e.label, e.line)
	}
	return fmt.Sprintf("Invalid %s policy: %q (line %d)", e.what, e.level, e.line)
}

// levelOf reads a level, whose case does not matter.
func levelOf(text string, list bool) (Level, bool) {
	switch strings.ToLower(text) {
	case "deny":
		return LevelDeny, true
	case "read":
		return LevelRead, true
	case "list":
		return LevelList, list
	case "write":
		return LevelWrite, true
	}
	return LevelNone, false
}
