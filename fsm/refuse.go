package fsm

import (
	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/kvs"
)

// Compares tells whether a command is a compare-and-set of one key and nothing else,
// so that [View.Refuses] can say what would become of it. A fencing number or a session
// has refusals of its own, which only apply knows.
func (c *Command) Compares() bool {
	return c.Write != nil && (c.Write.Verb == kvs.CAS || c.Write.Verb == kvs.DeleteCAS) && c.Ties == Ties{}
}

// Refuses tells whether a command that compares would be answered with false in this
// state, whoever asks.
func (v *View) Refuses(c *Command) bool { return v.View.Refuses(c.Write) }

// Confirms tells whether who was found to have a right still has it in this state, as
// far as that can be said without looking again: rights and tables are the same. Of a
// token that ends, the time of a proposal decides, and there is none.
func (v *View) Confirms(c *acl.Checked) bool {
	return c == nil || c.Trusted || c.Index == v.acl.Index() && c.Expires == 0
}
