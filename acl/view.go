package acl

import (
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// View reads the tables of one state. Goroutines may share it.
type View struct {
	txn  *memdb.Txn
	meta *Meta
}

// NewView reads the tables in txn.
func NewView(txn *memdb.Txn) View {
	meta := staging.Get[*Meta](txn, tableMeta, metaID)
	if meta == nil {
		meta = noMeta
	}
	return View{txn: txn, meta: meta}
}

// In returns the view of another state in which the tables are the same.
func (v View) In(txn *memdb.Txn) View { return View{txn: txn, meta: v.meta} }

// Meta returns what the tables have once. It must not be changed.
func (v View) Meta() *Meta { return v.meta }

// Index is that of the last change of any table; 0: never initialised.
func (v View) Index() uint64 { return v.meta.Index }

// Indexes of the last change of each table, for blocking queries.
func (v View) Indexes() (tokens, policies, roles, methods, bindings uint64) {
	return v.meta.Tokens, v.meta.Policies, v.meta.Roles, v.meta.Methods, v.meta.Bindings
}

// Key is what secrets are hashed with; nil before Init.
func (v View) Key() []byte { return v.meta.Key }

// Hashed tells whether only hashes of secrets are kept.
func (v View) Hashed() bool { return v.meta.Hashed }

// BootstrapIndex is where the cluster was bootstrapped; 0: not yet.
func (v View) BootstrapIndex() uint64 { return v.meta.Bootstrap }

// Ready tells whether the tables have what every cluster with ACLs has, and a token with
// the secret of management, unless that is empty.
func (v View) Ready(management string) bool {
	if v.Key() == nil || v.Token(AnonymousAccessor) == nil {
		return false
	}
	for _, p := range builtin() {
		if now := v.Policy(p.ID); now == nil || now.Rules != p.Rules {
			return false
		}
	}
	return management == "" || v.TokenByHash(HashSecret(v.Key(), management)) != nil
}

// Token returns the token with that accessor, nil when there is none. It may have
// expired.
func (v View) Token(accessor string) *Token {
	return staging.Get[*Token](v.txn, tableTokens, accessor)
}

// TokenByHash returns the token with that keyed hash of a secret, nil when there is
// none. A former hash finds its token too.
func (v View) TokenByHash(hash string) *Token {
	r := staging.Get[*ref](v.txn, tableRefs, refHash(hash))
	if r == nil {
		return nil
	}
	return v.Token(r.to)
}

// Tokens visits all tokens by accessor until visit returns false; so do the ones below.
func (v View) Tokens(visit func(*Token) bool) { staging.Walk(v.txn, tableTokens, "", visit) }

// PolicyRoles visits the roles that link a policy.
func (v View) PolicyRoles(id string, visit func(*Role) bool) {
	staging.Walk(v.txn, tableRefs, refPolicyRoles(id), func(r *ref) bool { return visit(v.Role(r.to)) })
}

// Expired returns the accessors of up to most tokens that have expired at a time, those
// that expired first in front.
func (v View) Expired(now time.Time, most int) []string {
	var out []string
	end := refExpiry + timeID(now) + "\x01"
	staging.Walk(v.txn, tableRefs, refExpiry, func(r *ref) bool {
		if r.id >= end || len(out) == most {
			return false
		}
		out = append(out, r.to)
		return true
	})
	return out
}

// Policy returns the policy with that id, nil when there is none.
func (v View) Policy(id string) *Policy { return staging.Get[*Policy](v.txn, tablePolicies, id) }

// PolicyByName ignores case.
func (v View) PolicyByName(name string) *Policy {
	r := staging.Get[*ref](v.txn, tableRefs, refPolicyName(name))
	if r == nil {
		return nil
	}
	return v.Policy(r.to)
}

// Policies visits all policies by name without regard to case.
func (v View) Policies(visit func(*Policy) bool) {
	staging.Walk(v.txn, tableRefs, refPolicyName(""), func(r *ref) bool { return visit(v.Policy(r.to)) })
}

// Role returns the role with that id, nil when there is none.
func (v View) Role(id string) *Role { return staging.Get[*Role](v.txn, tableRoles, id) }

// RoleByName ignores case.
func (v View) RoleByName(name string) *Role {
	r := staging.Get[*ref](v.txn, tableRefs, refRoleName(name))
	if r == nil {
		return nil
	}
	return v.Role(r.to)
}

// Roles visits all roles by name without regard to case.
func (v View) Roles(visit func(*Role) bool) {
	staging.Walk(v.txn, tableRefs, refRoleName(""), func(r *ref) bool { return visit(v.Role(r.to)) })
}

// Method returns the auth method of that name, nil when there is none.
func (v View) Method(name string) *AuthMethod {
	return staging.Get[*AuthMethod](v.txn, tableMethods, name)
}

// Methods visits all auth methods by name.
func (v View) Methods(visit func(*AuthMethod) bool) { staging.Walk(v.txn, tableMethods, "", visit) }

// Binding returns the binding rule with that id, nil when there is none.
func (v View) Binding(id string) *BindingRule {
	return staging.Get[*BindingRule](v.txn, tableBindings, id)
}

// Bindings visits the binding rules of a method, or all with "", by id.
func (v View) Bindings(method string, visit func(*BindingRule) bool) {
	if method == "" {
		staging.Walk(v.txn, tableBindings, "", visit)
		return
	}
	staging.Walk(v.txn, tableRefs, refBinding(method), func(r *ref) bool { return visit(v.Binding(r.to)) })
}

// noMeta stands for the row that is not there yet.
var noMeta = &Meta{}
