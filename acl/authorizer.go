package acl

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// Source is one policy that reaches a token, and how.
type Source struct {
	Rules    *Rules
	ID, Name string
	Vars     map[string]string // for ${name} in labels; nil: rules with variables match nothing
	Via      []string          // "token", "role:NAME", "service-identity:NAME", ...
}

// Authorizer answers what the rules of one token allow, always the same. Goroutines may
// share it.
type Authorizer struct {
	// parts are the tables of the policies as they are, when they are few: what they say
	// together is then found out for each question, which costs less than to merge them
	// for a token that may never come again. Else it is one, of all of them.
	parts []*tables
	plain [kinds]Level // of resources without a label

	// whole is all of parts in one: at once where there is one, and else made for a token
	// that has come often; nil before.
	whole atomic.Pointer[tables]
	asked atomic.Uint32 // while there is none

	// keys is the table of whole that is asked most. It is here so that there is one step
	// less to it through memory that is in no cache.
	keys table

	def     Default
	sources []Source // for explanations
}

// NewAuthorizer merges what reaches a token. The sources become the Authorizer's; the
// same policy must not occur twice.
//
// Source: contract, ACL rules, section 4.
func NewAuthorizer(def Default, sources []Source) *Authorizer {
	all := make([]*tables, 0, len(sources))
	for _, s := range sources {
		if s.Rules != nil {
			all = append(all, s.Rules.with(s.Vars))
		}
	}
	a := &Authorizer{parts: all, def: def, sources: sources}
	globs := false
	for _, t := range all {
		globs = globs || t.globs
		for k := range a.plain {
			a.plain[k] = joinLevels(a.plain[k], t.plain[k])
		}
	}
	if len(all) == 0 || len(all) > mostParts || globs && len(all) > 1 { // patterns of several policies would have to be compared
		a.parts = []*tables{merge(all)}
	}
	if len(a.parts) == 1 {
		a.settle(a.parts[0])
	}
	return a
}

// settle sets what all parts are in one. It is called once.
func (a *Authorizer) settle(whole *tables) {
	a.keys = whole.labelled[kindKey]
	a.whole.Store(whole) // from now on keys is read
}

// mostParts is from how many policies on they are merged.
const mostParts = 8

// oftenAsked is after how many questions they are merged all the same.
const oftenAsked = 64

// Allow tells whether access to the resource of that name is allowed. Resources
// without a label take no name. It allocates nothing.
//
// Source: contract, ACL rules, sections 5 to 7.
func (a *Authorizer) Allow(r Resource, ac Access, name string) bool {
	allowed, ruled := a.rule(r, ac, name)
	if !ruled {
		return bool(a.def) && r != ResourceACL
	}
	return allowed
}

// rule answers from the rules alone; false as the second result when none says
// anything.
func (a *Authorizer) rule(r Resource, ac Access, name string) (allowed, ruled bool) {
	q := access{Access: ac, intentions: r == ResourceIntention}
	k := kindOf[r]
	if k >= labelledKinds {
		level := a.plain[k]
		if level == LevelNone && (k == kindMesh || k == kindPeering) {
			level = a.plain[kindOperator]
		}
		return q.allowed(grant{level: level}), level != LevelNone
	}
	if ac == AccessWritePrefix {
		if len(a.parts) == 1 {
			return a.parts[0].labelled[k].writePrefix(q, name)
		}
		return a.writePrefix(q, k, name)
	}
	g, found := a.decide(q, k, name)
	return q.allowed(g), found
}

// decide returns what decides for a name; false when no rule matches.
func (a *Authorizer) decide(q access, k kind, name string) (grant, bool) {
	if m := a.whole.Load(); m != nil {
		if k == kindKey {
			return a.keys.decide(q, name)
		}
		return m.labelled[k].decide(q, name)
	}
	if a.asked.Add(1) == oftenAsked {
		a.settle(merge(a.parts))
	}
	var exact, prefix grant
	longest := -1
	for _, part := range a.parts {
		t := &part.labelled[k]
		i, shared := t.nearest(name)
		if i < 0 {
			continue
		}
		if e := &t.entries[i]; e.exact.level != LevelNone && e.is(name, shared) {
			exact = exact.join(e.exact)
			continue
		}
		if exact.level != LevelNone {
			continue
		}
		e := t.closest(i, shared)
		switch {
		case e == nil || len(e.label) < longest:
		case len(e.label) == longest:
			prefix = prefix.join(e.prefix)
		default:
			longest, prefix = len(e.label), e.prefix
		}
	}
	if exact.level != LevelNone {
		return exact, true
	}
	return prefix, longest >= 0
}

// writePrefix is that of a table, for several without patterns.
func (a *Authorizer) writePrefix(q access, k kind, prefix string) (allowed, found bool) {
	var cover grant
	longest := -1
	for _, part := range a.parts {
		t := &part.labelled[k]
		i, shared := t.nearest(prefix)
		if i < 0 {
			continue
		}
		e := t.closest(i, shared)
		switch {
		case e == nil || len(e.label) < longest:
		case len(e.label) == longest:
			cover = cover.join(e.prefix)
		default:
			longest, cover = len(e.label), e.prefix
		}
	}
	if longest >= 0 && !q.allowed(cover) {
		return false, true
	}
	for _, part := range a.parts {
		for _, e := range part.labelled[k].below(prefix) {
			if e.blocks(q) && a.together(k, e.label).blocks(q) {
				return false, true
			}
		}
	}
	return longest >= 0, longest >= 0
}

// together is what all parts say about one label.
func (a *Authorizer) together(k kind, label string) *entry {
	var sum entry
	for _, part := range a.parts {
		t := &part.labelled[k]
		if i, shared := t.nearest(label); i >= 0 && t.entries[i].is(label, shared) {
			sum = sum.join(t.entries[i])
		}
	}
	return &sum
}

// Refuse returns the error for a right that Allow denies.
func (a *Authorizer) Refuse(accessor string, r Resource, ac Access, name string) *PermissionError {
	e := &PermissionError{Accessor: accessor, Resource: r, Access: ac, Name: name}
	if k := kindOf[r]; ac == AccessDelete || ac == AccessHistory {
		q := access{Access: ac}
		g, _ := a.decide(q, k, name)
		e.Separate = q.separate(g) != rightUnsaid
	}
	return e
}

// kindOf is the table that answers for a resource: intentions are part of services.
var kindOf = [...]kind{
	0:                 kindACL, // no resource at all: the one that nothing opens
	ResourceACL:       kindACL,
	ResourceAgent:     kindAgent,
	ResourceEvent:     kindEvent,
	ResourceIntention: kindService,
	ResourceKey:       kindKey,
	ResourceKeyring:   kindKeyring,
	ResourceMesh:      kindMesh,
	ResourceNode:      kindNode,
	ResourceOperator:  kindOperator,
	ResourcePeering:   kindPeering,
	ResourceQuery:     kindQuery,
	ResourceService:   kindService,
	ResourceSession:   kindSession,
}

var resourceNames = [...]string{
	0:                 "",
	ResourceACL:       "acl",
	ResourceAgent:     "agent",
	ResourceEvent:     "event",
	ResourceIntention: "intention",
	ResourceKey:       "key",
	ResourceKeyring:   "keyring",
	ResourceMesh:      "mesh",
	ResourceNode:      "node",
	ResourceOperator:  "operator",
	ResourcePeering:   "peering",
	ResourceQuery:     "query",
	ResourceService:   "service",
	ResourceSession:   "session",
}

// String is the word of the wire.
func (r Resource) String() string { return resourceNames[r] }

// Labelled tells whether rules for the resource are about names.
func (r Resource) Labelled() bool { return kindOf[r] < labelledKinds }

var accessNames = [...]string{
	0:                 "",
	AccessRead:        "read",
	AccessList:        "list",
	AccessWrite:       "write",
	AccessWritePrefix: "write-prefix",
	AccessDelete:      "delete",
	AccessHistory:     "history",
}

// String is the word that questions use.
func (a Access) String() string { return accessNames[a] }

// onWire is the word that error texts have: the right that rules give, unless a rule
// speaks of the access itself.
func (a Access) onWire(separate bool) string {
	switch {
	case separate:
	case a == AccessWritePrefix, a == AccessDelete:
		a = AccessWrite
	case a == AccessHistory:
		a = AccessRead
	}
	return a.String()
}

// ParseResource reads the word for a resource in a question. The error's text is the
// wire's.
//
// Source: contract, ACL API, section 7.
func ParseResource(text string) (Resource, error) {
	if i := slices.Index(resourceNames[1:], text); i >= 0 {
		return Resource(i + 1), nil
	}
	//lint:ignore ST1005 the text is the wire's
	return 0, fmt.Errorf("Invalid ACL resource requested: %q", text)
}

// ParseAccess reads the word for an access in a question about a resource, whose case
// does not matter. The error's text is the wire's.
func ParseAccess(r Resource, text string) (Access, error) {
	a := Access(max(0, slices.Index(accessNames[:], strings.ToLower(text))))
	if a == AccessRead || a == AccessWrite || a != 0 && r == ResourceKey {
		return a, nil
	}
	//lint:ignore ST1005 the text is the wire's
	return 0, fmt.Errorf("Invalid access level for %s resource: %s", r, text)
}

// String is the word of the rule language.
func (l Level) String() string {
	return [...]string{LevelNone: "", LevelDeny: "deny", LevelRead: "read", LevelList: "list", LevelWrite: "write"}[l]
}

// String is the word of the configuration.
func (d Default) String() string {
	if d {
		return "allow"
	}
	return "deny"
}
