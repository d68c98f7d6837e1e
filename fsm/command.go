package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/event"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// The first byte of a log entry says what follows: one Command; or the time of its
// proposal, eight bytes with the highest first, and one Command without it. The
// second is what a server writes that does not lead: the leader stamps the time.
const (
	formatCommand = 1
	formatStamped = 2
)

// stampBytes is how long the time in a stamped entry is.
const stampBytes = 8

// ErrUnknownCommand says that an entry of the log was written by a newer version
// of Holdfast than this one.
var ErrUnknownCommand = errors.New("log entry is of a kind that this version of holdfast does not know")

// Command is one proposal: what shall change, who asks, and why. Exactly one of the
// fields beside Origin, Ties, Checked and Ending is set.
type Command struct {
	// Origin is kept in history with each change.
	Origin kvs.Origin

	Write *kvs.Op // one operation that answers true or false
	Ties  Ties    // of Write
	Txn   []kvs.Op
	Mixed []MixedOp // a transaction that touches the catalog too
	Prune *kvs.Plan

	Restored bool // an archive was restored just before this entry

	Session     *session.Session // to be created
	EndSession  *EndSession
	SessionTime *SessionTime
	Register    *catalog.Registration
	Deregister  *Deregistration
	Event       *event.Event
	Expire      []kvs.Expiring
	Autopilot   *SetAutopilot
	Contend     *Contend
	ACL         *acl.Change

	// Checked is who was found to have the right to it, and in which state of the ACL
	// tables. Where it is applied in another state the right is looked for again. Nil
	// when nobody has to be asked: the command is a server's own, or ACLs are off.
	Checked *acl.Checked

	// Ending says that the right to delete is needed too where a key is written so that
	// it ends by itself, and that a session ends with its place only if it was made for the
	// queue. It goes with Checked, when [Command.MayEnd] says so; without it
	// an entry is decided as servers of before [EntryVersion] 3 do.
	Ending bool
}

// Ties are what a write may say beside the operation: what the key ends with, and
// what it depends on.
type Ties struct {
	Owner   string        // session with which the key ends, or must end to be deleted; empty: as it is
	TTL     time.Duration // time after which the key ends by itself; 0: as it is
	Persist bool          // the key no longer ends with anything
	Touch   bool          // begin the key's time anew, without writing it

	FenceKey string // lock that must not have been acquired again after Fence
	Fence    uint64

	Sequential bool // Key is a directory: write the next numbered key in it
	Width      int  // digits of the number, at least
}

// Action is what a session does about its place in a queue. The numbers stand in the
// log.
type Action uint8

// The actions.
const (
	Enter   Action = 1 // take a place, or ask again for the one it has
	Leave   Action = 2 // give it back
	Forsake Action = 3 // its client has left: keep it for a short while only
)

// Contend is what a session does about its place in the queue of a lock or election.
type Contend struct {
	Action        Action
	kvs.Contender       // of Leave and Forsake only the queue and the session count
	ExpireAt      int64 // Forsake: only if the place still expires then, Unix nanoseconds
}

// EndSession ends sessions, those that exist.
type EndSession struct {
	IDs     []string
	Expired bool // their time is over, rather than somebody having asked
}

// SessionTime takes what only the leader knows of the time of sessions into the
// state, so that the next leader goes on where it ended; see [session.Session].Due.
// An empty one says that time has passed.
type SessionTime struct {
	// Begin is a new leader's first word. The time since the last command does not
	// count: nobody could renew while there was no leader. A session whose time only
	// the former leader knew may have been renewed just before, and begins it anew.
	Begin bool

	Left    []SessionLeft
	Renewed []string // sessions whose time only the leader knows from here on
}

// SessionLeft says how long a session lives from here on if nobody renews it.
type SessionLeft struct {
	ID   string
	Left time.Duration
}

// Deregistration removes a node, or a service or a check of it.
type Deregistration struct {
	Node, ServiceID, CheckID string
}

// TxnError says which operation of a transaction was refused and why.
type TxnError struct {
	OpIndex int
	What    string
}

// Result is what became of a command.
type Result struct {
	Index   uint64 // of the log entry
	Applied bool   // false: refused, nothing has changed

	// Shown and Errors are the answer of a transaction.
	Shown  []kvs.Shown
	Errors []TxnError
	Mixed  []MixedShown // instead of Shown, of a transaction that touches the catalog too

	// Invalid is the text for a command that could not be judged; see
	// [kvs.Outcome].
	Invalid string

	// Fenced is why a write was refused whose fencing number is out of date.
	Fenced *kvs.FenceError

	Key   string // of a sequential write: the key it was given
	Fence uint64 // of an acquire: its fencing number
	Ended int    // sessions or keys that were ended

	// Of a Contend that enters: where the session stands, or why it does not, with
	// the sentence in Invalid. A session that does not exist is Invalid alone.
	Standing kvs.Standing
	Refusal  kvs.Refusal

	// Denied says that who asks no longer has the right: the wire's text for a 403.
	Denied string
}

// Encode returns the bytes of a log entry. now is the time of the proposal in
// Unix nanoseconds; the state machine raises it to that of the last command
// where it is below.
func Encode(c *Command, now int64) ([]byte, error) {
	return encode(c, now, []byte{formatCommand})
}

// EncodeToStamp returns the bytes of a log entry for which the leader is to put in the
// time of the proposal, with [Stamp].
func EncodeToStamp(c *Command) ([]byte, error) {
	return encode(c, 0, append([]byte{formatStamped}, make([]byte, stampBytes)...))
}

// Stamp puts the time of the proposal, in Unix nanoseconds, into what EncodeToStamp
// returned.
func Stamp(entry []byte, now int64) error {
	if len(entry) < 1+stampBytes || entry[0] != formatStamped {
		return errors.New("log entry of another server has no place for its time")
	}
	binary.BigEndian.PutUint64(entry[1:], uint64(now))
	return nil
}

func encode(c *Command, now int64, prefix []byte) ([]byte, error) {
	if entry := encodeHot(c, now, prefix); entry != nil {
		return entry, nil
	}
	return encodeAny(c, now, prefix)
}

// encodeAny writes a command by the generated code.
func encodeAny(c *Command, now int64, prefix []byte) ([]byte, error) {
	msg := &fsmpb.Command{Header: &fsmpb.Header{
		Time: now, Accessor: c.Origin.Accessor, Address: c.Origin.Address, Reason: c.Origin.Reason,
		Checked: checkedToProto(c.Checked, c.Origin.Accessor),
	}}
	if c.Checked != nil {
		msg.Header.Checked.Ending = c.Ending
	}
	switch {
	case c.Write != nil:
		msg.Kind = &fsmpb.Command_Write{Write: writeToProto(c.Write, &c.Ties)}
	case c.Txn != nil:
		ops := make([]*fsmpb.Op, len(c.Txn))
		for i := range c.Txn {
			ops[i] = opToProto(&c.Txn[i])
		}
		msg.Kind = &fsmpb.Command_Txn{Txn: &fsmpb.Txn{Ops: ops}}
	case c.Mixed != nil:
		msg.Kind = &fsmpb.Command_MixedTxn{MixedTxn: mixedToProto(c.Mixed)}
	case c.Prune != nil:
		msg.Kind = &fsmpb.Command_Prune{Prune: pruneToProto(c.Prune)}
	case c.Restored:
		msg.Kind = &fsmpb.Command_Restored{Restored: &fsmpb.Restored{}}
	case c.Session != nil:
		msg.Kind = &fsmpb.Command_SessionCreate{SessionCreate: &fsmpb.SessionCreate{Session: sessionToProto(c.Session)}}
	case c.EndSession != nil:
		msg.Kind = &fsmpb.Command_SessionEnd{SessionEnd: &fsmpb.SessionEnd{
			Ids: toBytes(c.EndSession.IDs), Expired: c.EndSession.Expired,
		}}
	case c.SessionTime != nil:
		msg.Kind = &fsmpb.Command_SessionTime{SessionTime: sessionTimeToProto(c.SessionTime)}
	case c.Register != nil:
		msg.Kind = &fsmpb.Command_Register{Register: registrationToProto(c.Register)}
	case c.Deregister != nil:
		msg.Kind = &fsmpb.Command_Deregister{Deregister: &fsmpb.Deregister{
			Node: []byte(c.Deregister.Node), ServiceId: []byte(c.Deregister.ServiceID), CheckId: []byte(c.Deregister.CheckID),
		}}
	case c.Event != nil:
		msg.Kind = &fsmpb.Command_Event{Event: eventToProto(c.Event)}
	case c.Expire != nil:
		msg.Kind = &fsmpb.Command_Expire{Expire: expireToProto(c.Expire)}
	case c.Autopilot != nil:
		msg.Kind = &fsmpb.Command_AutopilotSet{AutopilotSet: c.Autopilot.toProto()}
	case c.Contend != nil:
		msg.Kind = &fsmpb.Command_Contend{Contend: contendToProto(c.Contend)}
	case c.ACL != nil:
		change, err := changeToProto(c.ACL)
		if err != nil {
			return nil, err
		}
		msg.Kind = &fsmpb.Command_AclChange{AclChange: change}
	default:
		return nil, errors.New("encode command: it says nothing")
	}
	buf := make([]byte, len(prefix), len(prefix)+proto.Size(msg))
	copy(buf, prefix)
	buf, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(buf, msg)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	return toNext(buf, len(prefix)), nil
}

// decode parses the command of a log entry. It returns a nil command for one that this version
// does not know and may skip, and ErrUnknownCommand for one it may not.
func decode(data []byte) (*fsmpb.Command, error) {
	msg := &fsmpb.Command{}
	if err := proto.Unmarshal(fromNext(data), msg); err != nil {
		return nil, fmt.Errorf("log entry cannot be read: %w", err)
	}
	if msg.GetKind() == nil {
		if msg.GetHeader().GetSkippable() {
			return nil, nil
		}
		return nil, ErrUnknownCommand
	}
	return msg, nil
}

func opToProto(op *kvs.Op) *fsmpb.Op {
	return &fsmpb.Op{
		Verb: fsmpb.Verb(op.Verb), Key: []byte(op.Key), Value: op.Value,
		Flags: op.Flags, Index: op.Index, Session: []byte(op.Session),
	}
}

func opFromProto(op *fsmpb.Op) (kvs.Op, error) {
	verb := kvs.Verb(op.GetVerb())
	if !verb.Valid() || fsmpb.Verb(verb) != op.GetVerb() {
		return kvs.Op{}, fmt.Errorf("%w (verb %d)", ErrUnknownCommand, op.GetVerb())
	}
	return kvs.Op{
		Verb: verb, Key: string(op.GetKey()), Value: op.GetValue(),
		Flags: op.GetFlags(), Index: op.GetIndex(), Session: string(op.GetSession()),
	}, nil
}

func pruneToProto(p *kvs.Plan) *fsmpb.Prune {
	msg := &fsmpb.Prune{Through: p.Through}
	for _, t := range p.Trims {
		msg.Trims = append(msg.Trims, &fsmpb.Prune_Trim{Key: []byte(t.Key), Keep: uint32(t.Keep)})
	}
	for _, f := range p.Forgets {
		msg.Forgets = append(msg.Forgets, &fsmpb.Prune_Forget{Key: []byte(f.Key), Index: f.Index})
	}
	return msg
}

func pruneFromProto(msg *fsmpb.Prune) kvs.Plan {
	p := kvs.Plan{Through: msg.GetThrough()}
	for _, t := range msg.GetTrims() {
		p.Trims = append(p.Trims, kvs.Trim{Key: string(t.GetKey()), Keep: int(t.GetKeep())})
	}
	for _, f := range msg.GetForgets() {
		p.Forgets = append(p.Forgets, kvs.Forget{Key: string(f.GetKey()), Index: f.GetIndex()})
	}
	return p
}
