package fsm

import (
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// Who may write a key and not delete it must not write it so that it ends by itself: with
// a time, with a session that it belongs to, or as a lock of a session that deletes its
// keys. Such a write needs the right to delete too; see [NeedWrite].

// Behaviors tells what the end of a session does to the keys that it has locked. known is
// false for a session that the state does not have; one that it has never changes.
type Behaviors func(id string) (behavior session.Behavior, known bool)

// Behavior is a [Behaviors] of this view. The case of id does not matter.
func (v *View) Behavior(id string) (behavior session.Behavior, known bool) {
	sessions, _ := v.Sessions()
	return behaviorOf(sessions.Get(id))
}

// behavior is a [Behaviors] of the state that a command finds.
func (b *batch) behavior(id string) (behavior session.Behavior, known bool) {
	return behaviorOf(b.sessions.Get(id))
}

func behaviorOf(s *session.Session) (behavior session.Behavior, known bool) {
	if s == nil {
		return 0, false
	}
	return s.Behavior, true
}

// deletes tells whether the end of a session deletes the keys that it has locked; unknown
// is what to take a session for that is not known.
func deletes(id string, behaviors Behaviors, unknown bool) bool {
	behavior, known := behaviors(id)
	return !known && unknown || behavior == session.Delete
}

// ends tells whether a write makes its key end by itself. One that only begins the time of
// a key anew, or writes a key that ends already, does not. unknown is as in deletes.
func ends(op *kvs.Op, ties *Ties, behaviors Behaviors, unknown bool) bool {
	switch op.Verb {
	case kvs.Set, kvs.CAS, kvs.Lock, kvs.Unlock:
	default:
		return false
	}
	if (ties.TTL > 0 || ties.Owner != "") && !ties.Touch && !ties.Persist {
		return true
	}
	return op.Verb == kvs.Lock && deletes(op.Session, behaviors, unknown)
}

// MayEnd tells whether a command that somebody asks for may make keys end by themselves,
// so that it must be proposed with Ending. A session that is not known here may be known,
// and delete its keys, where the command is applied.
func (c *Command) MayEnd(behaviors Behaviors) bool {
	if c.Checked == nil || c.Checked.Trusted {
		return false
	}
	switch {
	case c.Write != nil:
		return ends(c.Write, &c.Ties, behaviors, true)
	case c.Contend != nil:
		return c.Contend.Action == Leave // the session may end with the place
	}
	for i := range c.Txn {
		if ends(&c.Txn[i], &Ties{}, behaviors, true) {
			return true
		}
	}
	for i := range c.Mixed {
		if op := c.Mixed[i].KV; op != nil && ends(op, &Ties{}, behaviors, true) {
			return true
		}
	}
	return false
}

// locksToDelete tells whether a command locks a key with a session whose end deletes it.
// The server that took the request may not have known the session.
func (b *batch) locksToDelete(p *parsed) bool {
	if p.write != nil {
		return p.write.op.Verb == kvs.Lock && deletes(p.write.op.Session, b.behavior, false)
	}
	for i := range p.txn {
		if p.txn[i].Verb == kvs.Lock && deletes(p.txn[i].Session, b.behavior, false) {
			return true
		}
	}
	for _, m := range p.other.GetMixedTxn().GetOps() {
		if op := m.GetKv(); op.GetVerb() == fsmpb.Verb(kvs.Lock) && deletes(string(op.GetSession()), b.behavior, false) {
			return true
		}
	}
	return false
}
