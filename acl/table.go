package acl

import (
	"slices"
	"sort"
	"strings"
)

// A table holds the rules for one kind of resource, sorted by label.
//
// Whoever asks finds a label that begins like the name for as long as any does. It, or
// one of those it was told are above it, is the longest label that the name begins with:
// all of these are beginnings of what the two have in common. So one search answers for
// exact and for prefix rules, and nothing is allocated.
type table struct {
	entries []entry
	forks   []fork // the way to an entry
}

// An entry is what the rules say about one label.
type entry struct {
	label string

	// above is the nearest entry whose label this one begins with and that has a
	// prefix rule or a pattern; -1 when there is none.
	above int32

	exact, prefix grant // level LevelNone: no such rule

	// globs are patterns whose bytes before the first wildcard are the label; nil for
	// none, as nearly always, so that an entry takes less of the caches.
	globs *[]glob
}

// patterns are the globs as a list.
func (e *entry) patterns() []glob {
	if e.globs == nil {
		return nil
	}
	return *e.globs
}

// join adds what another entry says about the same label.
func (e entry) join(o entry) entry {
	e.exact = e.exact.join(o.exact)
	e.prefix = e.prefix.join(o.prefix)
	if o.globs == nil {
		return e
	}
	globs := slices.Clone(e.patterns()) // may be another table's
	for _, g := range *o.globs {
		i := slices.IndexFunc(globs, func(h glob) bool { return h.pattern == g.pattern && h.prefix == g.prefix })
		if i < 0 {
			globs = append(globs, g)
		} else {
			globs[i].grant = globs[i].grant.join(g.grant)
		}
	}
	e.globs = &globs
	return e
}

// newTable takes entries in order, no two with the same label. They become the
// table's.
func newTable(entries []entry) table {
	var open []int32 // entries that the next label may begin with
	for i := range entries {
		e := &entries[i]
		for len(open) > 0 && !strings.HasPrefix(e.label, entries[open[len(open)-1]].label) {
			open = open[:len(open)-1]
		}
		e.above = -1
		if len(open) > 0 {
			e.above = open[len(open)-1]
		}
		if e.prefix.level != LevelNone || e.globs != nil {
			open = append(open, int32(i))
		}
	}
	return table{entries: entries, forks: newForks(entries)}
}

// nearest finds an entry whose label begins like the name for as long as any does, and
// tells for how many bytes; -1 when there is no entry.
func (t *table) nearest(name string) (i, shared int) {
	if len(t.entries) == 0 {
		return -1, 0
	}
	i = follow(t.forks, len(t.entries), name)
	return i, common(t.entries[i].label, name)
}

// decide returns what decides for a name; false when no rule matches.
func (t *table) decide(a access, name string) (grant, bool) {
	i, shared := t.nearest(name)
	if i < 0 {
		return grant{}, false
	}
	if e := &t.entries[i]; e.exact.level != LevelNone && e.is(name, shared) {
		return e.exact, true
	}
	for i = t.covering(i, shared); i >= 0; i = int(t.entries[i].above) {
		if best, found := t.entries[i].best(a, name, false); found {
			return best.grant, true
		}
	}
	return grant{}, false
}

// is tells whether a name is the label of an entry that has so many bytes of it.
func (e *entry) is(name string, shared int) bool {
	return len(name) == shared && len(e.label) == shared
}

// covering finds the first entry from i upwards whose label a name begins with that has
// so many bytes of the label of i.
func (t *table) covering(i, shared int) int {
	for i >= 0 && len(t.entries[i].label) > shared {
		i = int(t.entries[i].above)
	}
	return i
}

// closest is covering for the first entry that has a prefix rule, in a table without
// patterns; nil when there is none.
func (t *table) closest(i, shared int) *entry {
	for i = t.covering(i, shared); i >= 0; i = int(t.entries[i].above) {
		if e := &t.entries[i]; e.prefix.level != LevelNone {
			return e
		}
	}
	return nil
}

// below are the entries whose labels begin with a prefix.
func (t *table) below(prefix string) []entry {
	from := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].label >= prefix })
	to := from
	for to < len(t.entries) && strings.HasPrefix(t.entries[to].label, prefix) {
		to++
	}
	return t.entries[from:to]
}

// common counts the bytes that two texts begin with alike.
func common(a, b string) int {
	if strings.HasPrefix(b, a) { // as mostly, and sooner found out
		return len(a)
	}
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// A candidate is a rule that matches, among others that have as many bytes before
// their first wildcard.
type candidate struct {
	grant
	literals int // bytes of the label that are no wildcards
}

// beats tells whether c decides and not o: a denial does, then whoever names more,
// then the stronger.
func (c candidate) beats(a access, o candidate) bool {
	if x, y := a.denied(c.grant), a.denied(o.grant); x != y {
		return x
	}
	if c.literals != o.literals {
		return c.literals > o.literals
	}
	return strength(a, c.grant) > strength(a, o.grant)
}

// strength orders grants that are no denials.
func strength(a access, g grant) int {
	n := int(a.of(g)) * 2
	if a.allowed(g) {
		n += 100
	}
	return n
}

// best picks what decides among the rules of one entry that match; with whole, those
// that match everything that begins with the name.
func (e *entry) best(a access, name string, whole bool) (candidate, bool) {
	best, found := candidate{}, false
	if e.prefix.level != LevelNone {
		best, found = candidate{e.prefix, len(e.label)}, true
	}
	globs := e.patterns()
	for i := range globs {
		g := &globs[i]
		if whole && !g.prefix || !g.matches(name) {
			continue
		}
		if c := (candidate{g.grant, literals(g.pattern)}); !found || c.beats(a, best) {
			best, found = c, true
		}
	}
	return best, found
}

// writePrefix answers for everything below a prefix, keys to come included; false as
// the second result when no rule says anything.
//
// Source: contract, ACL rules, section 6. A pattern counts like a rule whose label
// starts with the prefix when it can match something there and is not certain to lose
// against the rule that covers the prefix.
func (t *table) writePrefix(a access, prefix string) (allowed, found bool) {
	rank := -1
	i, shared := t.nearest(prefix)
	if i >= 0 {
		for j := t.covering(i, shared); j >= 0; j = int(t.entries[j].above) {
			c, has := t.entries[j].best(a, prefix, true)
			if !has {
				continue
			}
			if !a.allowed(c.grant) {
				return false, true
			}
			found, rank = true, len(t.entries[j].label)
			break
		}
		for j := t.covering(i, shared); j >= 0 && len(t.entries[j].label) >= rank; j = int(t.entries[j].above) {
			for _, g := range t.entries[j].patterns() {
				if !a.allowed(g.grant) && g.reaches(prefix) {
					return false, true
				}
			}
		}
	}
	if slices.ContainsFunc(t.below(prefix), func(e entry) bool { return e.blocks(a) }) {
		return false, true
	}
	return found, found
}

// blocks tells whether some rule of the entry does not allow the access.
func (e *entry) blocks(a access) bool {
	return e.exact.level != LevelNone && !a.allowed(e.exact) ||
		e.prefix.level != LevelNone && !a.allowed(e.prefix) ||
		slices.ContainsFunc(e.patterns(), func(g glob) bool { return !a.allowed(g.grant) })
}
