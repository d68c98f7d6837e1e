package acl

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// The tables of this package.
const (
	tableTokens   = "acl-tokens"
	tablePolicies = "acl-policies"
	tableRoles    = "acl-roles"
	tableMethods  = "acl-methods"
	tableBindings = "acl-bindings"
	tableRefs     = "acl-refs"
	tableMeta     = "acl-meta"
)

// Schema returns the tables, to be merged into the schema of the store.
func Schema() map[string]*memdb.TableSchema {
	return map[string]*memdb.TableSchema{
		tableTokens:   staging.Schema[*Token](tableTokens),
		tablePolicies: staging.Schema[*Policy](tablePolicies),
		tableRoles:    staging.Schema[*Role](tableRoles),
		tableMethods:  staging.Schema[*AuthMethod](tableMethods),
		tableBindings: staging.Schema[*BindingRule](tableBindings),
		tableRefs:     staging.Schema[*ref](tableRefs),
		tableMeta:     staging.Schema[*Meta](tableMeta),
	}
}

// Meta is what the tables have once.
type Meta struct {
	Key    []byte // what secrets are hashed with
	Hashed bool   // only the hashes of secrets are kept

	// HashedAt is from where on only hashes are kept; what is older than that, in the
	// log or in snapshots, may have secrets in it. 0: they never were.
	HashedAt uint64

	// Bootstrap is where the first management token was made; 0: not yet.
	Bootstrap uint64

	// Indexes of the last change of each table, and of any.
	Index, Tokens, Policies, Roles, Methods, Bindings uint64
}

// RowID is part of staging.Row.
func (*Meta) RowID() string { return metaID }

const metaID = "meta"

// ref is a row that leads from something else to the id of a row.
type ref struct {
	id string
	to string
}

// RowID is part of staging.Row.
func (r *ref) RowID() string { return r.id }

// What a ref leads from. Ids of rows have no zero byte in them: they are UUIDs, or
// names that were checked.
func refHash(hash string) string       { return "hash\x00" + hash }
func refPolicyName(name string) string { return "policy\x00" + strings.ToLower(name) }
func refRoleName(name string) string   { return "role\x00" + strings.ToLower(name) }
func refBinding(method string) string  { return "binding\x00" + method + "\x00" }

// refPolicyRoles is the prefix of the refs to the roles that link a policy. From policies,
// roles and auth methods to tokens there are none: of tokens there may be very many, each
// with several links, and only a deletion asks, which looks at all of them.
func refPolicyRoles(id string) string { return "policy-role\x00" + id + "\x00" }

const refExpiry = "expiry\x00"

// refExpires is ordered by time.
func refExpires(at time.Time, accessor string) string {
	return refExpiry + timeID(at) + "\x00" + accessor
}

// timeID orders as times do, also those that are beyond what nanoseconds can count.
func timeID(at time.Time) string {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(at.Unix(), 0)))
	binary.BigEndian.PutUint32(b[8:], uint32(at.Nanosecond()))
	return hex.EncodeToString(b[:])
}

// refs returns the rows that lead to a token.
func (t *Token) refs() []string {
	var ids []string
	if t.Hash != "" {
		ids = append(ids, refHash(t.Hash))
	}
	if t.FormerHash != "" {
		ids = append(ids, refHash(t.FormerHash))
	}
	if !t.Expires.IsZero() {
		ids = append(ids, refExpires(t.Expires, t.Accessor))
	}
	return ids
}

func (p *Policy) refs() []string { return []string{refPolicyName(p.Name)} }

func (r *Role) refs() []string {
	ids := []string{refRoleName(r.Name)}
	for _, p := range r.Policies {
		ids = append(ids, refPolicyRoles(p)+r.ID)
	}
	return ids
}

func (*AuthMethod) refs() []string { return nil }

func (r *BindingRule) refs() []string { return []string{refBinding(r.Method) + r.ID} }
