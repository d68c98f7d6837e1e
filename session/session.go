package session

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// Behavior says what the end of a session does to the keys it holds.
type Behavior uint8

// The behaviors. The numbers are stored: never reuse one.
const (
	Release Behavior = 1 // keys lose their holder and stay
	Delete  Behavior = 2 // keys are deleted
)

// String is the word of the wire.
func (b Behavior) String() string {
	if b == Delete {
		return "delete"
	}
	return "release"
}

// MaxLockDelay is the longest time that a lock-delay acts; longer ones are stored
// as they were sent.
//
// Source: contract, sessions, section 3.
const MaxLockDelay = 60 * time.Second

// ServiceCheck names a check of a service that a session is bound to.
type ServiceCheck struct {
	ID        string
	Namespace string
}

// Session is one session. Nothing that the wire shows of it ever changes.
type Session struct {
	ID   string // lower-case UUID, chosen before the log entry is made
	Name string // free text, not unique
	Node string // as the client spelled it

	// LockDelay is how long a key cannot be locked after this session has ended
	// while holding it; acts up to MaxLockDelay.
	LockDelay time.Duration
	Behavior  Behavior

	// TTL is as it was sent, "" for none; Lifetime is what it means: how long the
	// session lives without renewal, at least. 0: for ever.
	TTL      string
	Lifetime time.Duration

	// Grace is how long beyond its TTL the session may live at most, besides the
	// lateness that the server promises; negative: as existing clients expect, about
	// another TTL.
	Grace time.Duration

	// The checks that end the session when they become critical or are removed. Nil
	// and empty are told apart on the wire.
	NodeChecks    []string
	ServiceChecks []ServiceCheck
	Checks        []string

	// Implied tells that NodeChecks is the default, not the client's own. Such a
	// check does not end a session that has a TTL.
	Implied bool

	CreateIndex uint64

	// Due is when the time of the session is over, in Unix nanoseconds of proposal
	// times, if nobody renews it; 0: only the leader knows. It is no change of the
	// session that anybody sees.
	Due int64
}

// Life is how long the session lives after it was created or renewed; 0: for ever.
// It is never shorter than its TTL; sessions that do not say how much longer live
// twice as long, which existing clients count on.
//
// Source: contract, sessions, section 4.
func (s *Session) Life() time.Duration {
	if s.Grace < 0 {
		return 2 * s.Lifetime
	}
	return s.Lifetime + s.Grace
}

// RowID is part of staging.Row.
func (s *Session) RowID() string { return s.ID }

// AllChecks returns the ids of the checks that must exist and not be critical when
// the session is created.
func (s *Session) AllChecks() []string {
	ids := append(append([]string(nil), s.NodeChecks...), s.Checks...)
	for _, c := range s.ServiceChecks {
		ids = append(ids, c.ID)
	}
	return ids
}

// bound returns the ids of the checks that end the session.
func (s *Session) bound() []string {
	if s.Implied && s.Lifetime > 0 {
		return s.AllChecks()[len(s.NodeChecks):]
	}
	return s.AllChecks()
}

// binding is a row that leads from a node, or a check of it, to a session.
type binding struct {
	id      string
	session string
}

func (b *binding) RowID() string { return b.id }

// The tables of this package.
const (
	tableSessions = "sessions"
	tableBindings = "session-bindings"
)

// Schema returns the tables, to be merged into the schema of the store.
func Schema() map[string]*memdb.TableSchema {
	return map[string]*memdb.TableSchema{
		tableSessions: staging.Schema[*Session](tableSessions),
		tableBindings: staging.Schema[*binding](tableBindings),
	}
}

// nodePrefix begins the id of every binding to a node. Names ignore case.
func nodePrefix(node string) string { return "n\x00" + strings.ToLower(node) + "\x00" }

// checkPrefix begins the id of every binding to a check of a node.
func checkPrefix(node, check string) string {
	return "c\x00" + strings.ToLower(node) + "\x00" + check + "\x00"
}

// Tx is the sessions as a batch of commands sees and changes them.
type Tx struct {
	sessions staging.Table[*Session]
	bindings staging.Table[*binding]
}

// Begin opens a batch over the state in base.
func Begin(base *memdb.Txn) *Tx {
	return &Tx{staging.New[*Session](base, tableSessions), staging.New[*binding](base, tableBindings)}
}

// Accept keeps what the current command has changed.
func (tx *Tx) Accept() {
	tx.sessions.Accept()
	tx.bindings.Accept()
}

// Reject takes back what the current command has changed.
func (tx *Tx) Reject() {
	tx.sessions.Reject()
	tx.bindings.Reject()
}

// Flush puts what was accepted into a write transaction.
func (tx *Tx) Flush(txn *memdb.Txn) {
	tx.sessions.Flush(txn)
	tx.bindings.Flush(txn)
}

// Create adds a session. The caller has made sure that its node and checks exist.
// A second session with the same id is refused.
func (tx *Tx) Create(s *Session) error {
	if tx.sessions.Get(s.ID) != nil {
		return fmt.Errorf("session %s exists", s.ID)
	}
	tx.sessions.Put(s)
	for _, b := range bindingsOf(s) {
		tx.bindings.Put(b)
	}
	return nil
}

// End removes a session and returns it; nil when there is none. What that does to
// keys is the caller's affair.
func (tx *Tx) End(id string) *Session {
	s := tx.sessions.Get(strings.ToLower(id))
	if s == nil {
		return nil
	}
	tx.sessions.Delete(s.ID)
	for _, b := range bindingsOf(s) {
		tx.bindings.Delete(b.id)
	}
	return s
}

// SetDue puts the end of the time of a session into the state, or takes it out with
// 0. A session that does not exist, or has no TTL, stays as it is.
func (tx *Tx) SetDue(id string, due int64) {
	if s := tx.sessions.Get(id); s != nil && s.Lifetime > 0 && s.Due != due {
		next := *s
		next.Due = due
		tx.sessions.Put(&next)
	}
}

// BeginTime is a new leader's beginning at now. The time of a session that only the
// former leader knew begins anew; of the others the time skipped does not count. Both
// are in nanoseconds.
func (tx *Tx) BeginTime(now, skipped int64) {
	for _, s := range tx.timed() {
		if s.Due == 0 {
			tx.SetDue(s.ID, now+int64(s.Life()))
		} else {
			tx.SetDue(s.ID, s.Due+skipped)
		}
	}
}

// ForgetTimes takes the ends of all times out of the state.
func (tx *Tx) ForgetTimes() {
	for _, s := range tx.timed() {
		tx.SetDue(s.ID, 0)
	}
}

// timed returns the sessions with a TTL, in the order of ids.
func (tx *Tx) timed() []*Session {
	var all []*Session
	tx.sessions.Walk("", func(s *Session) bool {
		if s.Lifetime > 0 {
			all = append(all, s)
		}
		return true
	})
	return all
}

func bindingsOf(s *Session) []*binding {
	all := []*binding{{nodePrefix(s.Node) + s.ID, s.ID}}
	for _, check := range s.bound() {
		all = append(all, &binding{checkPrefix(s.Node, check) + s.ID, s.ID})
	}
	return all
}

// Get returns the session with that id, in any case of letters; nil when there is
// none.
func (tx *Tx) Get(id string) *Session { return tx.sessions.Get(strings.ToLower(id)) }

// OfNode returns the ids of the sessions of a node, in order.
func (tx *Tx) OfNode(node string) []string { return tx.boundTo(nodePrefix(node)) }

// OfCheck returns the ids of the sessions that a check of a node ends, in order.
func (tx *Tx) OfCheck(node, check string) []string { return tx.boundTo(checkPrefix(node, check)) }

func (tx *Tx) boundTo(prefix string) []string {
	var ids []string
	tx.bindings.Walk(prefix, func(b *binding) bool {
		ids = append(ids, b.session)
		return true
	})
	return ids
}

// View reads one unchanging state.
type View struct{ txn *memdb.Txn }

// NewView returns the view of a memdb read transaction.
func NewView(txn *memdb.Txn) View { return View{txn} }

// Get returns the session with that id, in any case of letters; nil when there is
// none.
func (v View) Get(id string) *Session {
	return staging.Get[*Session](v.txn, tableSessions, strings.ToLower(id))
}

// List calls visit for every session in the order of ids, until it returns false.
func (v View) List(visit func(*Session) bool) { staging.Walk(v.txn, tableSessions, "", visit) }

// ListNode calls visit for every session of a node in the order of ids, until it
// returns false. The name of the node ignores case.
func (v View) ListNode(node string, visit func(*Session) bool) {
	staging.Walk(v.txn, tableBindings, nodePrefix(node), func(b *binding) bool {
		return visit(staging.Get[*Session](v.txn, tableSessions, b.session))
	})
}

// Import puts a session of a snapshot into an empty database.
func Import(txn *memdb.Txn, s *Session) error {
	for _, b := range bindingsOf(s) {
		if err := txn.Insert(tableBindings, b); err != nil {
			return err
		}
	}
	return txn.Insert(tableSessions, s)
}
