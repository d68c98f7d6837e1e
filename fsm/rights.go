package fsm

import (
	"errors"
	"maps"
	"slices"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
)

// again is what somebody may do whose rights are looked for a second time, since the
// ACL tables have changed after the first, or may have been looked for without a session.
type again struct {
	accessor  string
	auth      *acl.Authorizer
	behaviors Behaviors // nil: the entry does not want the right to delete looked at, see [Command].Ending
}

// recheck looks whether who asked still may, and returns the wire's text when not. The
// server that took the request has looked in the state that it knew, which may be older
// than the one here: then only this one counts, and only what the command itself says is
// needed. The operations of a transaction are looked at one by one; see refusedOps.
//
// Time is that of the proposal, which is in the entry. So all servers decide alike.
func (b *batch) recheck(p *parsed) string {
	b.again = nil
	c := p.checked
	if c == nil || c.Trusted {
		return ""
	}
	if c.Expires != 0 && p.time >= c.Expires {
		return acl.ErrNotFound.Error()
	}
	same := b.aclIndex() == c.Index
	if same && !(p.ending && b.locksToDelete(p)) {
		return ""
	}
	auth := b.tables().Recheck(c, p.time, b.store.compiler)
	switch {
	case auth != nil:
	case same: // from before the tables were ready: there is no rule that takes a right away
		return ""
	default:
		return acl.ErrNotFound.Error()
	}
	b.again = &again{accessor: c.Accessor, auth: auth}
	if p.ending {
		b.again.behaviors = b.behavior
	}
	if err := b.needed(p); err != nil {
		return err.Error()
	}
	return ""
}

// need is a [Need].
func (a *again) need(r acl.Resource, access acl.Access, name string) error {
	if a.auth.Allow(r, access, name) {
		return nil
	}
	return a.auth.Refuse(a.accessor, r, access, name)
}

// needed asks for what a command needs, as far as it is no transaction.
//
// Source: contract, ACL enforcement, section 5.
func (b *batch) needed(p *parsed) error {
	need := b.again.need
	switch {
	case p.write != nil:
		return NeedWrite(&p.write.op, &p.write.ties, b.again.behaviors, need)
	case p.txn != nil:
		return nil
	}
	switch kind := p.other.GetKind().(type) {
	case *fsmpb.Command_MixedTxn:
		return nil
	case *fsmpb.Command_SessionCreate:
		return need(acl.ResourceSession, acl.AccessWrite, NodeName(b.catalog, string(kind.SessionCreate.GetSession().GetNode())))
	case *fsmpb.Command_SessionEnd:
		for _, id := range kind.SessionEnd.GetIds() {
			if s := b.sessions.Get(string(id)); s != nil {
				if err := need(acl.ResourceSession, acl.AccessWrite, s.Node); err != nil {
					return err
				}
			}
		}
		return nil
	case *fsmpb.Command_Register:
		r := registrationFromProto(kind.Register)
		return NeedRegistration(b.catalog, &r, need)
	case *fsmpb.Command_Deregister:
		d := kind.Deregister
		return NeedDeregistration(b.catalog, &Deregistration{
			Node: string(d.GetNode()), ServiceID: string(d.GetServiceId()), CheckID: string(d.GetCheckId()),
		}, need)
	case *fsmpb.Command_Event:
		err := need(acl.ResourceEvent, acl.AccessWrite, string(kind.Event.GetName()))
		var lacking *acl.PermissionError
		if errors.As(err, &lacking) {
			lacking.Bare = true
		}
		return err
	case *fsmpb.Command_Contend:
		return need(acl.ResourceKey, acl.AccessWrite, string(kind.Contend.GetQueue()))
	case *fsmpb.Command_AclChange:
		if b.ofOneself(kind.AclChange) {
			return nil
		}
		return need(acl.ResourceACL, acl.AccessWrite, "")
	}
	// Autopilot, and what only servers do by themselves.
	return need(acl.ResourceOperator, acl.AccessWrite, "")
}

// ofOneself tells whether a change of ACLs is one that everybody may make: with one's
// own token, or to get one.
func (b *batch) ofOneself(m *fsmpb.AclChange) bool {
	switch kind := m.GetKind().(type) {
	case *fsmpb.AclChange_Bootstrap:
		return true
	case *fsmpb.AclChange_SetToken:
		return kind.SetToken.GetLogin()
	case *fsmpb.AclChange_Rotate:
		return string(kind.Rotate.GetAccessor()) == b.again.accessor
	case *fsmpb.AclChange_DeleteTokens:
		list := kind.DeleteTokens.GetAccessors()
		return len(list) == 1 && string(list[0]) == b.again.accessor
	}
	return false
}

// refusedOps returns an error for each operation of a transaction that is denied by now.
// What shows something is not refused but left out; see readable.
func (b *batch) refusedOps(ops []kvs.Op) []TxnError {
	if b.again == nil {
		return nil
	}
	var refused []TxnError
	for i := range ops {
		if err := NeedOp(&ops[i], b.again.behaviors, b.again.need); err != nil {
			refused = append(refused, TxnError{OpIndex: i, What: err.Error()})
		}
	}
	return refused
}

// refusedMixed is refusedOps for a transaction that touches the catalog too.
func (b *batch) refusedMixed(ops []MixedOp) []TxnError {
	if b.again == nil {
		return nil
	}
	var refused []TxnError
	for i := range ops {
		if err := NeedMixedOp(b.catalog, &ops[i], b.again.behaviors, b.again.need); err != nil {
			refused = append(refused, TxnError{OpIndex: i, What: err.Error()})
		}
	}
	return refused
}

// readable leaves out what who asks may no longer read. The list is the caller's.
func (b *batch) readable(shown []kvs.Shown) []kvs.Shown {
	if b.again == nil {
		return shown
	}
	return slices.DeleteFunc(shown, func(s kvs.Shown) bool {
		return !b.again.auth.Allow(acl.ResourceKey, acl.AccessRead, s.Entry.Key)
	})
}

func (b *batch) readableMixed(shown []MixedShown) []MixedShown {
	if b.again == nil {
		return shown
	}
	return slices.DeleteFunc(shown, func(s MixedShown) bool {
		if s.KV != nil {
			return !b.again.auth.Allow(acl.ResourceKey, acl.AccessRead, s.KV.Entry.Key)
		}
		r, name := resourceOf(s.Catalog)
		return name != "" && !b.again.auth.Allow(r, acl.AccessRead, name)
	})
}

// resourceOf is what a row of the catalog is guarded by; "" for no row.
func resourceOf(x *catalog.Shown) (acl.Resource, string) {
	switch {
	case x.Node != nil:
		return acl.ResourceNode, x.Node.Name
	case x.Service != nil:
		return acl.ResourceService, x.Service.Name
	case x.Check != nil && x.Check.ServiceName != "":
		return acl.ResourceService, x.Check.ServiceName
	case x.Check != nil:
		return acl.ResourceNode, x.Check.Node
	}
	return 0, ""
}

// Need returns nil when whoever asks has a right, and an error when not.
type Need func(r acl.Resource, a acl.Access, name string) error

// AccessOf is the access to a key that an operation wants. That a check for absence wants
// to write is the wire's.
//
// Source: contract, ACL enforcement, section 5.2.
func AccessOf(v kvs.Verb) acl.Access {
	switch v {
	case kvs.Delete, kvs.DeleteCAS:
		return acl.AccessDelete
	case kvs.DeleteTree:
		return acl.AccessWritePrefix
	case kvs.Get, kvs.GetOrEmpty, kvs.GetTree, kvs.CheckIndex, kvs.CheckSession, kvs.CheckFence:
		return acl.AccessRead
	}
	return acl.AccessWrite
}

// NeedWrite asks for the rights that a write of keys needs. A sequential one makes a key
// whose name is not known yet, below a prefix; of a lock the answer tells. One that makes
// its key end by itself needs the right to delete it too, unless behaviors is nil: servers
// of before that would decide otherwise.
//
// Source: contract, ACL enforcement, section 5.1. That rules can take the right to delete
// from who may write is our own.
func NeedWrite(op *kvs.Op, ties *Ties, behaviors Behaviors, need Need) error {
	access := AccessOf(op.Verb)
	if ties.Sequential {
		access = acl.AccessWritePrefix
	}
	if err := need(acl.ResourceKey, access, op.Key); err != nil {
		return err
	}
	if behaviors != nil && ends(op, ties, behaviors, false) {
		if err := need(acl.ResourceKey, acl.AccessDelete, op.Key); err != nil {
			return err
		}
	}
	if ties.FenceKey != "" {
		return need(acl.ResourceKey, acl.AccessRead, ties.FenceKey)
	}
	return nil
}

// NeedOp asks for the right that one operation of a transaction needs. What shows
// something needs none: it is left out instead. behaviors is as for [NeedWrite].
//
// Source: contract, ACL enforcement, section 5.2.
func NeedOp(op *kvs.Op, behaviors Behaviors, need Need) error {
	switch op.Verb {
	case kvs.Get, kvs.GetOrEmpty, kvs.GetTree:
		return nil
	}
	return NeedWrite(op, &Ties{}, behaviors, need)
}

// CatalogRows is where rows of the catalog are looked up: a [catalog.View], or a
// [catalog.Tx].
type CatalogRows interface {
	Node(name string) *catalog.Node
	Service(node, id string) *catalog.Service
	Check(node, id string) *catalog.Check
}

// NeedMixedOp is NeedOp for a transaction that touches the catalog too.
func NeedMixedOp(rows CatalogRows, op *MixedOp, behaviors Behaviors, need Need) error {
	switch {
	case op.KV != nil:
		return NeedOp(op.KV, behaviors, need)
	case !op.Catalog.Verb.Writes():
		return nil
	case op.Catalog.Node != nil:
		return needNode(rows, op.Catalog.Node.Name, need)
	case op.Catalog.Service != nil:
		return needService(rows, op.Catalog.Service.Node, op.Catalog.Service, need)
	case op.Catalog.Check != nil:
		return needCheck(rows, nil, op.Catalog.Check, need)
	}
	return nil
}

// NeedRegistration asks for the rights that a registration needs: to the node, unless it
// stays as it is, to the service and to what has its id now, and to every check. What
// belongs to a service needs the right to the service, and anything else that to the
// node; which service that is the state says, not the request.
//
// Source: contract, ACL enforcement, sections 5.2 and 5.5.
func NeedRegistration(rows CatalogRows, r *catalog.Registration, need Need) error {
	if old := rows.Node(r.Node.Name); old == nil || !r.SkipNode && changesNode(old, &r.Node) {
		if err := needNode(rows, r.Node.Name, need); err != nil {
			return err
		}
	}
	if r.Service != nil {
		if err := needService(rows, r.Node.Name, r.Service, need); err != nil {
			return err
		}
	}
	for i := range r.Checks {
		row := r.Checks[i]
		row.Node = r.Node.Name
		if err := needCheck(rows, r.Service, &row, need); err != nil {
			return err
		}
	}
	return nil
}

func changesNode(old, next *catalog.Node) bool {
	return next.Name != old.Name || next.ID != "" && next.ID != old.ID || next.Address != old.Address ||
		!maps.Equal(next.TaggedAddresses, old.TaggedAddresses) || !maps.Equal(next.Meta, old.Meta)
}

// NodeName is the name of a node as it is stored, for one that is known: whoever writes it
// in other letters, which find the same node, needs the same rights.
func NodeName(rows CatalogRows, name string) string {
	if n := rows.Node(name); n != nil {
		return n.Name
	}
	return name
}

// needNode asks for the right to change a node, or to make it, also by another spelling.
func needNode(rows CatalogRows, name string, need Need) error {
	if stored := NodeName(rows, name); stored != name {
		if err := need(acl.ResourceNode, acl.AccessWrite, stored); err != nil {
			return err
		}
	}
	return need(acl.ResourceNode, acl.AccessWrite, name)
}

// needService asks for the right to put a service on a node, also in place of another.
func needService(rows CatalogRows, node string, s *catalog.Service, need Need) error {
	if old := rows.Service(node, s.ID); old != nil && old.Name != s.Name {
		if err := need(acl.ResourceService, acl.AccessWrite, old.Name); err != nil {
			return err
		}
	}
	return need(acl.ResourceService, acl.AccessWrite, s.Name)
}

// needCheck asks for the right to put a check on a node, also in place of another. with
// is a service that comes with it, nil for none.
func needCheck(rows CatalogRows, with *catalog.Service, row *catalog.Check, need Need) error {
	if old := rows.Check(row.Node, row.ID); old != nil && old.ServiceID != row.ServiceID {
		if err := needOwner(rows, old, need); err != nil {
			return err
		}
	}
	if with != nil && row.ServiceID == with.ID {
		return nil // its right was asked for with the service
	}
	return needOwner(rows, row, need)
}

// needOwner asks for the right to what a check belongs to. A service that is not there
// has no name to go by but the one in the row.
func needOwner(rows CatalogRows, row *catalog.Check, need Need) error {
	name := ""
	if row.ServiceID != "" {
		name = row.ServiceName
		if s := rows.Service(row.Node, row.ServiceID); s != nil {
			name = s.Name
		}
	}
	if name != "" {
		return need(acl.ResourceService, acl.AccessWrite, name)
	}
	return need(acl.ResourceNode, acl.AccessWrite, NodeName(rows, row.Node))
}

// NeedDeregistration asks for the right to remove something: whoever may write the node
// may remove all that is on it.
//
// Source: contract, ACL enforcement, section 5.5.
func NeedDeregistration(rows CatalogRows, d *Deregistration, need Need) error {
	whole := need(acl.ResourceNode, acl.AccessWrite, NodeName(rows, d.Node))
	if whole == nil {
		return nil
	}
	switch {
	case d.ServiceID != "":
		if s := rows.Service(d.Node, d.ServiceID); s != nil {
			return need(acl.ResourceService, acl.AccessWrite, s.Name)
		}
	case d.CheckID != "":
		if row := rows.Check(d.Node, d.CheckID); row != nil {
			return needOwner(rows, row, need)
		}
	}
	return whole
}
