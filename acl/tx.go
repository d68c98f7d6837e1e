package acl

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// Tx is the tables as a batch of commands sees and changes them.
type Tx struct {
	tokens   staging.Table[*Token]
	policies staging.Table[*Policy]
	roles    staging.Table[*Role]
	methods  staging.Table[*AuthMethod]
	bindings staging.Table[*BindingRule]
	refs     staging.Table[*ref]
	meta     staging.Table[*Meta]
}

// Begin opens a batch over the state in base.
func Begin(base *memdb.Txn) *Tx {
	return &Tx{
		tokens:   staging.New[*Token](base, tableTokens),
		policies: staging.New[*Policy](base, tablePolicies),
		roles:    staging.New[*Role](base, tableRoles),
		methods:  staging.New[*AuthMethod](base, tableMethods),
		bindings: staging.New[*BindingRule](base, tableBindings),
		refs:     staging.New[*ref](base, tableRefs),
		meta:     staging.New[*Meta](base, tableMeta),
	}
}

// Accept keeps what the current command has changed.
func (tx *Tx) Accept() {
	tx.tokens.Accept()
	tx.policies.Accept()
	tx.roles.Accept()
	tx.methods.Accept()
	tx.bindings.Accept()
	tx.refs.Accept()
	tx.meta.Accept()
}

// Reject takes back what the current command has changed.
func (tx *Tx) Reject() {
	tx.tokens.Reject()
	tx.policies.Reject()
	tx.roles.Reject()
	tx.methods.Reject()
	tx.bindings.Reject()
	tx.refs.Reject()
	tx.meta.Reject()
}

// Flush puts the changes into a write transaction begun on the same state.
func (tx *Tx) Flush(txn *memdb.Txn) {
	tx.tokens.Flush(txn)
	tx.policies.Flush(txn)
	tx.roles.Flush(txn)
	tx.methods.Flush(txn)
	tx.bindings.Flush(txn)
	tx.refs.Flush(txn)
	tx.meta.Flush(txn)
}

// Meta returns what the tables have once. It must not be changed.
func (tx *Tx) Meta() *Meta {
	if m := tx.meta.Get(metaID); m != nil {
		return m
	}
	return &Meta{}
}

// Token returns the token with that accessor, nil when there is none.
func (tx *Tx) Token(accessor string) *Token { return tx.tokens.Get(accessor) }

// Policy returns the policy with that id, nil when there is none.
func (tx *Tx) Policy(id string) *Policy { return tx.policies.Get(id) }

// Role returns the role with that id, nil when there is none.
func (tx *Tx) Role(id string) *Role { return tx.roles.Get(id) }

// Outcome is what became of a change.
type Outcome struct {
	Applied bool
	Invalid string // why it was refused, in the wire's words; "" with Applied false: there was nothing to change
	Deleted int    // tokens
}

func refuse(format string, args ...any) Outcome {
	return Outcome{Invalid: fmt.Sprintf(format, args...)}
}

var done = Outcome{Applied: true}

// Apply makes a change, or refuses it: then the caller takes back what it may have
// changed already, with Reject. index is that of the log entry, now its time.
//
// Source: contract, ACL API, for the texts.
func (tx *Tx) Apply(index uint64, now time.Time, c *Change) Outcome {
	switch {
	case c.Init != nil:
		return tx.init(index, c.Init)
	case c.Bootstrap != nil:
		return tx.bootstrap(index, c.Bootstrap)
	case c.SetToken != nil:
		return tx.setToken(index, now, c.SetToken)
	case c.DeleteTokens != nil:
		return tx.deleteTokens(index, c.DeleteTokens)
	case c.Rotate != nil:
		return tx.rotate(index, now, c.Rotate)
	case c.SetPolicy != nil:
		return tx.setPolicy(index, c.SetPolicy)
	case c.DeletePolicy != "":
		return tx.deletePolicy(index, c.DeletePolicy)
	case c.SetRole != nil:
		return tx.setRole(index, c.SetRole)
	case c.DeleteRole != "":
		return tx.deleteRole(index, c.DeleteRole)
	case c.SetMethod != nil:
		return tx.setMethod(index, c.SetMethod)
	case c.DeleteMethod != "":
		return tx.deleteMethod(index, c.DeleteMethod)
	case c.SetBinding != nil:
		return tx.setBinding(index, c.SetBinding)
	case c.DelBinding != "":
		return tx.deleteBinding(index, c.DelBinding)
	case c.Convert != nil:
		return tx.convert(index, c.Convert)
	}
	return refuse("the change says nothing")
}

// change replaces the meta row by one that edit has changed.
func (tx *Tx) change(index uint64, edit func(*Meta)) {
	m := *tx.Meta()
	m.Index = index
	edit(&m)
	tx.meta.Put(&m)
}

func (tx *Tx) init(index uint64, in *Init) Outcome {
	switch key := tx.Meta().Key; {
	case key == nil:
		tx.change(index, func(m *Meta) { m.Key = in.Key })
	case !bytes.Equal(key, in.Key):
		return refuse("the ACL tables have another key by now")
	}
	for _, p := range builtin() {
		if old := tx.policies.Get(p.ID); old == nil || old.Rules != p.Rules {
			p.CreateIndex = index
			if old != nil {
				p.Name, p.Description, p.CreateIndex = old.Name, old.Description, old.CreateIndex
			}
			tx.putPolicy(index, p)
		}
	}
	if tx.tokens.Get(AnonymousAccessor) == nil && in.Anonymous != nil {
		t := *in.Anonymous
		t.CreateIndex = index
		tx.putToken(index, &t)
	}
	if m := in.Management; m != nil && tx.refs.Get(refHash(m.Hash)) == nil && tx.tokens.Get(m.Accessor) == nil {
		t := *m
		t.CreateIndex = index
		tx.putToken(index, &t)
		tx.change(index, func(m *Meta) {
			if m.Bootstrap == 0 {
				m.Bootstrap = index
			}
		})
	}
	return done
}

// builtin are the policies that every cluster has.
func builtin() []*Policy {
	return []*Policy{
		{ID: ManagementID, Name: ManagementName, Description: ManagementDescription, Rules: ManagementRules},
		{ID: ReadOnlyID, Name: ReadOnlyName, Description: ReadOnlyDescription, Rules: ReadOnlyRules},
	}
}

func (tx *Tx) bootstrap(index uint64, b *Bootstrap) Outcome {
	switch at := tx.Meta().Bootstrap; {
	case at == 0 || at == b.Reset:
	case b.Reset == 0:
		return refuse("Permission denied: ACL bootstrap no longer allowed (reset index: %d)", at)
	default:
		return refuse("Invalid bootstrap reset index (specified %d, reset index: %d)", b.Reset, at)
	}
	if out := tx.free(b.Token, ""); !out.Applied {
		return out
	}
	t := *b.Token
	t.CreateIndex = index
	tx.putToken(index, &t)
	tx.change(index, func(m *Meta) { m.Bootstrap = index })
	return done
}

// free tells whether the ids of a new token are those of no other, neither its accessor
// nor its secret. accessorHash is the keyed hash of the accessor, "" when it is random.
func (tx *Tx) free(t *Token, accessorHash string) Outcome {
	if tx.tokens.Get(t.Accessor) != nil || accessorHash != "" && tx.refs.Get(refHash(accessorHash)) != nil {
		return refuse("Invalid Token: AccessorID is already in use")
	}
	if tx.refs.Get(refHash(t.Hash)) != nil || t.Secret != "" && tx.tokens.Get(t.Secret) != nil {
		return refuse("Invalid Token: SecretID is already in use")
	}
	return done
}

func (tx *Tx) setToken(index uint64, now time.Time, c *SetToken) Outcome {
	t := *c.Token
	if out := tx.links(&t.Links); !out.Applied {
		return out
	}
	old := tx.tokens.Get(t.Accessor)
	if c.Create {
		if out := tx.free(&t, c.AccessorHash); !out.Applied {
			return out
		}
		if c.Login && tx.methods.Get(t.Method) == nil {
			return refuse("auth method %q not found", t.Method)
		}
		t.CreateIndex = index
	} else {
		// What an update cannot change is as it was; whether the client asked for a
		// change of it was looked at where it is known what it asked.
		if old == nil || old.ExpiredAt(now) {
			return refuse("Cannot find token %q", t.Accessor)
		}
		t.Hash, t.Secret, t.FormerHash, t.FormerUntil = old.Hash, old.Secret, old.FormerHash, old.FormerUntil
		t.Local, t.Method, t.Expires, t.Created, t.Vars = old.Local, old.Method, old.Expires, old.Created, old.Vars
		t.CreateIndex = old.CreateIndex
	}
	tx.putToken(index, &t)
	return done
}

// links checks that what is linked exists, and drops what is linked twice.
func (tx *Tx) links(l *Links) Outcome {
	l.Policies = unique(l.Policies)
	l.Roles = unique(l.Roles)
	// Of what many tokens link there shall be one text, that of the row.
	for i, id := range l.Policies {
		p := tx.policies.Get(id)
		if p == nil {
			return refuse("No such ACL policy with ID %q", id)
		}
		l.Policies[i] = p.ID
	}
	for i, id := range l.Roles {
		r := tx.roles.Get(id)
		if r == nil {
			return refuse("No such ACL role with ID %q", id)
		}
		l.Roles[i] = r.ID
	}
	return done
}

// unique drops what occurs a second time.
func unique(ids []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

func (tx *Tx) putToken(index uint64, t *Token) {
	if tx.Meta().Hashed && t.Secret != "" && t.Accessor != AnonymousAccessor {
		// The server that sent it did not know yet that only hashes are kept. It is in
		// the log now.
		t.Secret = ""
		tx.change(index, func(m *Meta) { m.HashedAt = index })
	}
	t.ModifyIndex = index
	t.ContentHash = t.Sum()
	old := tx.tokens.Get(t.Accessor)
	tx.refer(oldRefs(old), t.refs(), t.Accessor)
	tx.tokens.Put(t)
	tx.change(index, func(m *Meta) { m.Tokens = index })
}

// referring is a row that refs lead to.
type referring interface {
	comparable
	refs() []string
}

// oldRefs are the refs of a row that is replaced, if there is one.
func oldRefs[R referring](row R) []string {
	var none R
	if row == none {
		return nil
	}
	return row.refs()
}

// refer replaces the refs to a row.
func (tx *Tx) refer(old, now []string, to string) {
	for _, id := range old {
		if !slices.Contains(now, id) {
			tx.refs.Delete(id)
		}
	}
	for _, id := range now {
		if !slices.Contains(old, id) {
			tx.refs.Put(&ref{id: id, to: to})
		}
	}
}

// tokensThat returns the tokens for which is holds.
func (tx *Tx) tokensThat(is func(*Token) bool) []*Token {
	var found []*Token
	tx.tokens.Walk("", func(t *Token) bool {
		if is(t) {
			found = append(found, t)
		}
		return true
	})
	return found
}

// led returns what the refs with a prefix lead to.
func (tx *Tx) led(prefix string) []string {
	var ids []string
	tx.refs.Walk(prefix, func(r *ref) bool {
		ids = append(ids, r.to)
		return true
	})
	return ids
}

func (tx *Tx) deleteTokens(index uint64, d *DeleteTokens) Outcome {
	var out Outcome
	for _, accessor := range d.Accessors {
		t := tx.tokens.Get(accessor)
		if t == nil || !d.Expired.IsZero() && !t.ExpiredAt(d.Expired) {
			continue
		}
		if accessor == AnonymousAccessor {
			return refuse("Delete operation not permitted on the anonymous token")
		}
		tx.dropToken(index, t)
		out.Deleted++
	}
	out.Applied = out.Deleted > 0
	return out
}

func (tx *Tx) dropToken(index uint64, t *Token) {
	tx.refer(t.refs(), nil, t.Accessor)
	tx.tokens.Delete(t.Accessor)
	tx.change(index, func(m *Meta) { m.Tokens = index })
}

func (tx *Tx) rotate(index uint64, now time.Time, r *Rotate) Outcome {
	old := tx.tokens.Get(r.Accessor)
	if old == nil || old.ExpiredAt(now) {
		return refuse("Cannot find token %q", r.Accessor)
	}
	if r.Accessor == AnonymousAccessor {
		return refuse("The anonymous token has no secret that could be replaced")
	}
	if tx.refs.Get(refHash(r.Hash)) != nil {
		return refuse("Invalid Token: SecretID is already in use")
	}
	t := *old
	t.FormerHash, t.FormerUntil = "", time.Time{}
	if now.Before(r.FormerUntil) {
		t.FormerHash, t.FormerUntil = old.Hash, r.FormerUntil
	}
	t.Hash, t.Secret = r.Hash, r.Secret
	tx.putToken(index, &t)
	return done
}

func (tx *Tx) setPolicy(index uint64, in *Policy) Outcome {
	p := *in
	old := tx.policies.Get(p.ID)
	switch {
	case in.CreateIndex == 0 && old != nil:
		return refuse("Invalid Policy: ID is already in use")
	case in.CreateIndex != 0 && old == nil:
		return refuse("cannot find policy %s", p.ID)
	}
	if r := tx.refs.Get(refPolicyName(p.Name)); r != nil && r.to != p.ID {
		return refuse("Invalid Policy: A Policy with Name %q already exists", p.Name)
	}
	p.CreateIndex = index
	if old != nil {
		p.CreateIndex = old.CreateIndex
		if strings.HasPrefix(p.ID, ReservedPrefix) && (p.Rules != old.Rules || !slices.Equal(p.Datacenters, old.Datacenters)) {
			return refuse("Changing the Rules or Datacenters of the builtin %s policy is not permitted", old.Name)
		}
	}
	tx.putPolicy(index, &p)
	return done
}

func (tx *Tx) putPolicy(index uint64, p *Policy) {
	p.ModifyIndex = index
	p.ContentHash = p.Sum()
	tx.refer(oldRefs(tx.policies.Get(p.ID)), p.refs(), p.ID)
	tx.policies.Put(p)
	tx.change(index, func(m *Meta) { m.Policies = index })
}

func (tx *Tx) deletePolicy(index uint64, id string) Outcome {
	p := tx.policies.Get(id)
	if p == nil {
		return Outcome{}
	}
	if strings.HasPrefix(id, ReservedPrefix) {
		return refuse("Delete operation not permitted on the builtin %s policy", p.Name)
	}
	for _, old := range tx.tokensThat(func(t *Token) bool { return slices.Contains(t.Policies, id) }) {
		t := *old
		t.Policies = without(t.Policies, id)
		tx.putToken(index, &t)
	}
	for _, role := range tx.led(refPolicyRoles(id)) {
		r := *tx.roles.Get(role)
		r.Policies = without(r.Policies, id)
		tx.putRole(index, &r)
	}
	tx.refer(p.refs(), nil, id)
	tx.policies.Delete(id)
	tx.change(index, func(m *Meta) { m.Policies = index })
	return done
}

func without(ids []string, id string) []string {
	out := make([]string, 0, len(ids))
	for _, x := range ids {
		if x != id {
			out = append(out, x)
		}
	}
	return out
}

func (tx *Tx) setRole(index uint64, in *Role) Outcome {
	r := *in
	r.Roles = nil
	old := tx.roles.Get(r.ID)
	switch {
	case in.CreateIndex == 0 && old != nil:
		return refuse("Invalid Role: ID is already in use")
	case in.CreateIndex != 0 && old == nil:
		return refuse("cannot find role %s", r.ID)
	}
	if x := tx.refs.Get(refRoleName(r.Name)); x != nil && x.to != r.ID {
		return refuse("Invalid Role: A Role with Name %q already exists", r.Name)
	}
	r.Policies = unique(r.Policies)
	for _, id := range r.Policies {
		if tx.policies.Get(id) == nil {
			return refuse("No such policy with ID: %s", id)
		}
	}
	r.CreateIndex = index
	if old != nil {
		r.CreateIndex = old.CreateIndex
	}
	tx.putRole(index, &r)
	return done
}

func (tx *Tx) putRole(index uint64, r *Role) {
	r.ModifyIndex = index
	r.ContentHash = r.Sum()
	tx.refer(oldRefs(tx.roles.Get(r.ID)), r.refs(), r.ID)
	tx.roles.Put(r)
	tx.change(index, func(m *Meta) { m.Roles = index })
}

func (tx *Tx) deleteRole(index uint64, id string) Outcome {
	r := tx.roles.Get(id)
	if r == nil {
		return Outcome{}
	}
	for _, old := range tx.tokensThat(func(t *Token) bool { return slices.Contains(t.Roles, id) }) {
		t := *old
		t.Roles = without(t.Roles, id)
		tx.putToken(index, &t)
	}
	tx.refer(r.refs(), nil, id)
	tx.roles.Delete(id)
	tx.change(index, func(m *Meta) { m.Roles = index })
	return done
}

func (tx *Tx) setMethod(index uint64, in *AuthMethod) Outcome {
	m := *in
	m.CreateIndex = index
	if old := tx.methods.Get(m.Name); old != nil {
		if old.Type != m.Type {
			return refuse("the Type field of an Auth Method is immutable")
		}
		m.CreateIndex = old.CreateIndex
	}
	m.ModifyIndex = index
	tx.methods.Put(&m)
	tx.change(index, func(x *Meta) { x.Methods = index })
	return done
}

func (tx *Tx) deleteMethod(index uint64, name string) Outcome {
	if tx.methods.Get(name) == nil {
		return Outcome{}
	}
	for _, id := range tx.led(refBinding(name)) {
		tx.deleteBinding(index, id)
	}
	out := done
	for _, t := range tx.tokensThat(func(t *Token) bool { return t.Method == name }) {
		tx.dropToken(index, t)
		out.Deleted++
	}
	tx.methods.Delete(name)
	tx.change(index, func(m *Meta) { m.Methods = index })
	return out
}

func (tx *Tx) setBinding(index uint64, in *BindingRule) Outcome {
	r := *in
	old := tx.bindings.Get(r.ID)
	switch {
	case in.CreateIndex == 0 && old != nil:
		return refuse("Invalid Binding Rule: ID is already in use")
	case in.CreateIndex != 0 && old == nil:
		return refuse("cannot find binding rule %s", r.ID)
	case old != nil && old.Method != r.Method:
		return refuse("the AuthMethod field of an Binding Rule is immutable")
	case tx.methods.Get(r.Method) == nil:
		return refuse("cannot find auth method with name %q", r.Method)
	}
	r.CreateIndex, r.ModifyIndex = index, index
	if old != nil {
		r.CreateIndex = old.CreateIndex
	}
	tx.refer(oldRefs(old), r.refs(), r.ID)
	tx.bindings.Put(&r)
	tx.change(index, func(m *Meta) { m.Bindings = index })
	return done
}

func (tx *Tx) deleteBinding(index uint64, id string) Outcome {
	r := tx.bindings.Get(id)
	if r == nil {
		return Outcome{}
	}
	tx.refer(r.refs(), nil, id)
	tx.bindings.Delete(id)
	tx.change(index, func(m *Meta) { m.Bindings = index })
	return done
}

// convert drops the secrets. The other way there is none: nobody knows them any more;
// only tokens made from then on keep theirs.
func (tx *Tx) convert(index uint64, c *Convert) Outcome {
	if tx.Meta().Hashed == c.Hashed {
		return Outcome{}
	}
	tx.change(index, func(m *Meta) {
		m.Hashed = c.Hashed
		if c.Hashed {
			m.HashedAt = index
		}
	})
	if !c.Hashed {
		return done
	}
	var known []*Token
	tx.tokens.Walk("", func(t *Token) bool {
		if t.Secret != "" && t.Accessor != AnonymousAccessor {
			known = append(known, t)
		}
		return true
	})
	for _, old := range known {
		t := *old
		t.Secret = ""
		tx.putToken(index, &t)
	}
	return done
}

// Import puts a row of a snapshot into txn: a *Token, *Policy, *Role, *AuthMethod,
// *BindingRule or *Meta.
func Import(txn *memdb.Txn, row any) error {
	table, id, refs := "", "", []string(nil)
	switch row := row.(type) {
	case *Token:
		table, id, refs = tableTokens, row.Accessor, row.refs()
	case *Policy:
		table, id, refs = tablePolicies, row.ID, row.refs()
	case *Role:
		table, id, refs = tableRoles, row.ID, row.refs()
	case *AuthMethod:
		table = tableMethods
	case *BindingRule:
		table, id, refs = tableBindings, row.ID, row.refs()
	case *Meta:
		table = tableMeta
	default:
		return fmt.Errorf("no table has a %T", row)
	}
	if err := txn.Insert(table, row); err != nil {
		return fmt.Errorf("put a row into table %s: %w", table, err)
	}
	for _, r := range refs {
		if err := txn.Insert(tableRefs, &ref{id: r, to: id}); err != nil {
			return fmt.Errorf("put a row into table %s: %w", tableRefs, err)
		}
	}
	return nil
}

// Digest is a number that tells what the tables have come to, from the indexes of their
// last changes.
func (tx *Tx) Digest() uint64 {
	m := tx.Meta()
	h := m.Index
	for _, index := range [...]uint64{m.Tokens, m.Policies, m.Roles, m.Methods, m.Bindings, m.Bootstrap, m.HashedAt} {
		h = h*0x9e3779b97f4a7c15 + index
	}
	return h
}
