package kvs

import "fmt"

// Verb is what an operation does to a key. The numbers stand in the log.
type Verb uint8

// The verbs. Those from Get on only read.
const (
	Set            Verb = 1
	CAS            Verb = 2
	Lock           Verb = 3
	Unlock         Verb = 4
	Delete         Verb = 5
	DeleteCAS      Verb = 6
	DeleteTree     Verb = 7
	Get            Verb = 8
	GetOrEmpty     Verb = 9
	GetTree        Verb = 10
	CheckIndex     Verb = 11
	CheckSession   Verb = 12
	CheckNotExists Verb = 13
	CheckFence     Verb = 14 // Index is the fencing number
)

// verbNames are the words of the wire, as transactions spell them.
var verbNames = map[string]Verb{
	"set": Set, "cas": CAS, "lock": Lock, "unlock": Unlock,
	"delete": Delete, "delete-cas": DeleteCAS, "delete-tree": DeleteTree,
	"get": Get, "get-or-empty": GetOrEmpty, "get-tree": GetTree,
	"check-index": CheckIndex, "check-session": CheckSession, "check-not-exists": CheckNotExists, "check-fence": CheckFence,
}

// ParseVerb returns the verb that a transaction calls name; case matters.
func ParseVerb(name string) (Verb, bool) {
	v, ok := verbNames[name]
	return v, ok
}

// Valid tells whether v is a verb this version knows.
func (v Verb) Valid() bool { return v >= Set && v <= CheckFence }

// Writes tells whether the verb can change a key.
func (v Verb) Writes() bool { return v >= Set && v <= DeleteTree }

// Op is one operation on one key or prefix.
type Op struct {
	Verb    Verb
	Key     string // the prefix for the tree verbs
	Value   []byte
	Flags   uint64
	Index   uint64 // to compare with
	Session string
}

// Sessions tells whether a session lives and how its id is spelled in the state.
type Sessions func(id string) (canonical string, live bool)

// Shown is one entry of a transaction's answer.
type Shown struct {
	Entry *Version
	Value bool // whether the value is shown too
}

// Outcome is what became of an operation.
type Outcome struct {
	// Applied is false for a refusal that is part of the rules: a lost
	// check-and-set, a held lock, a failed check.
	Applied bool

	// Why says what refused it, in the words of the contract; empty when applied.
	Why string

	// Invalid tells that the operation could not be judged at all (a session that
	// does not exist), which outside of a transaction is an error, not a refusal.
	Invalid bool

	Shown []Shown
}

// Do performs one operation as part of the current command.
//
// Source: contract, transactions, section 1, for the texts and the entries shown.
func (tx *Tx) Do(op Op, sessions Sessions) Outcome {
	switch op.Verb {
	case Set:
		return wrote(tx.Set(op.Key, op.Value, op.Flags))
	case CAS:
		v := tx.CAS(op.Key, op.Value, op.Flags, op.Index)
		if v == nil {
			return refused("failed to set key %q, index is stale", op.Key)
		}
		return wrote(v)
	case Lock, Unlock:
		return tx.doLock(op, sessions)
	case Delete:
		tx.Delete(op.Key)
		return Outcome{Applied: true}
	case DeleteCAS:
		if !tx.DeleteCAS(op.Key, op.Index) {
			return refused("failed to delete key %q, index is stale", op.Key)
		}
		return Outcome{Applied: true}
	case DeleteTree:
		tx.DeleteTree(op.Key)
		return Outcome{Applied: true}
	case Get, GetOrEmpty, GetTree:
		return tx.doRead(op)
	case CheckIndex, CheckSession, CheckNotExists:
		return tx.doCheck(op, sessions)
	case CheckFence:
		if err := tx.CheckFence(op.Key, op.Index); err != nil {
			return Outcome{Why: err.Error()}
		}
		return Outcome{Applied: true}
	}
	return refused("unknown KV operation: %d", op.Verb)
}

func (tx *Tx) doLock(op Op, sessions Sessions) Outcome {
	if _, _, ok := splitPlace(op.Key); ok {
		return refused("key %q is a place in a queue, which only the queue locks and unlocks", op.Key)
	}
	// Looked at first: during the delay even an unknown session gets a refusal.
	if op.Verb == Lock && tx.Delayed(op.Key) {
		return refused("failed to lock key %q due to lock delay", op.Key)
	}
	if op.Session == "" {
		return Outcome{Why: "missing session", Invalid: true}
	}
	id, live := sessions(op.Session)
	if op.Verb == Unlock {
		v := tx.Unlock(op.Key, op.Value, op.Flags, id)
		if v == nil {
			return refused("failed to unlock key %q, lock isn't held, or is held by another session", op.Key)
		}
		return wrote(v)
	}
	if !live {
		return Outcome{Why: fmt.Sprintf("invalid session %q", op.Session), Invalid: true}
	}
	v := tx.Lock(op.Key, op.Value, op.Flags, id)
	if v == nil {
		return refused("failed to lock key %q, lock is already held", op.Key)
	}
	return wrote(v)
}

func (tx *Tx) doRead(op Op) Outcome {
	out := Outcome{Applied: true}
	if op.Verb == GetTree {
		tx.ReadTree(op.Key, func(v *Version) { out.Shown = append(out.Shown, Shown{v, true}) })
		return out
	}
	v := tx.Read(op.Key)
	switch {
	case v != nil:
	case op.Verb == GetOrEmpty:
		v = &Version{Key: op.Key, Flags: op.Flags}
	default:
		return refused("key %q doesn't exist", op.Key)
	}
	out.Shown = []Shown{{v, true}}
	return out
}

func (tx *Tx) doCheck(op Op, sessions Sessions) Outcome {
	v := tx.Read(op.Key)
	holder := op.Session
	if holder != "" { // any spelling of the id will do, as for the lock itself
		holder, _ = sessions(holder)
	}
	switch {
	case op.Verb == CheckNotExists:
		if v != nil {
			return refused("key %q exists", op.Key)
		}
		return Outcome{Applied: true}
	case v == nil && op.Verb == CheckIndex:
		return refused("failed to check index, key %q doesn't exist", op.Key)
	case v == nil:
		return refused("failed to check session, key %q doesn't exist", op.Key)
	case op.Verb == CheckIndex && v.ModifyIndex != op.Index:
		return refused("failed index check for key %q, current modify index %d != %d", op.Key, v.ModifyIndex, op.Index)
	case op.Verb == CheckSession && v.Session != holder:
		return refused("failed session check for key %q, current session %q != %q", op.Key, v.Session, op.Session)
	}
	return wrote(v)
}

// wrote shows an entry without its value, as writes and checks do.
func wrote(v *Version) Outcome { return Outcome{Applied: true, Shown: []Shown{{Entry: v}}} }

func refused(format string, args ...any) Outcome {
	return Outcome{Why: fmt.Sprintf(format, args...)}
}
