package fsm

import (
	"fmt"
	"time"

	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
)

// contend does what a session asks about its place in a queue. An error means that
// the entry is of a kind that this version does not know.
//
// That a session was made for its place stands in a key, which its writer can make say so
// of any session. Whoever may write there may not end every session; so, with ending (see
// [Command].Ending), only one ends that is called as those are that are made for the queue.
func (b *batch) contend(c Contend, ending bool, res *Result) error {
	session, live := b.session(c.Session)
	switch c.Action {
	case Enter:
		if !live {
			res.Applied, res.Invalid = false, fmt.Sprintf("invalid session %q", c.Session)
			return nil
		}
		c.Session = session
		res.Standing, res.Refusal, res.Invalid = b.kv.Enter(c.Contender)
		res.Applied = res.Refusal == kvs.Admitted
	case Leave:
		p := b.kv.Leave(c.Queue, session)
		res.Applied = p != nil
		if s := b.sessions.Get(session); p != nil && p.Own && s != nil && (!ending || s.Name == kvs.SessionName(c.Queue)) {
			b.endSession(session, res)
		}
	case Forsake:
		res.Applied = b.kv.Forsake(c.Queue, session, c.ExpireAt)
	default:
		return fmt.Errorf("%w (action %d)", ErrUnknownCommand, c.Action)
	}
	return nil
}

func contendToProto(c *Contend) *fsmpb.Contend {
	return &fsmpb.Contend{
		Action: fsmpb.Contend_Action(c.Action), Queue: []byte(c.Queue), Session: []byte(c.Session), Slots: c.Slots,
		Value: c.Value, Patience: int64(c.Patience), Own: c.Own, ExpireAt: c.ExpireAt,
	}
}

func contendFromProto(m *fsmpb.Contend) Contend {
	action := Action(m.GetAction())
	if fsmpb.Contend_Action(action) != m.GetAction() {
		action = 0 // of a newer version
	}
	return Contend{
		Action: action, ExpireAt: m.GetExpireAt(),
		Contender: kvs.Contender{
			Queue: string(m.GetQueue()), Session: string(m.GetSession()), Slots: m.GetSlots(),
			Value: m.GetValue(), Patience: time.Duration(m.GetPatience()), Own: m.GetOwn(),
		},
	}
}
