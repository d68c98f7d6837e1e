package fsm

import (
	"time"

	"github.com/holdfast-kv/holdfast/acl"
)

// tables are the ACL tables as the batch sees and changes them.
func (b *batch) tables() *acl.Tx {
	if b.acl == nil {
		b.acl = acl.Begin(b.base.txn)
	}
	return b.acl
}

// aclIndex is that of the last change of the ACL tables.
func (b *batch) aclIndex() uint64 {
	if b.acl == nil {
		return b.base.acl.Index()
	}
	return b.acl.Meta().Index
}

// changeACL changes the ACL tables, or refuses to.
func (b *batch) changeACL(c *acl.Change, res *Result) {
	out := b.tables().Apply(res.Index, time.Unix(0, b.state.LastTime).UTC(), c)
	res.Applied, res.Invalid, res.Ended = out.Applied, out.Invalid, out.Deleted
	if out.Applied {
		b.touch(TopicACL)
		b.touchRights(c)
	}
}
