package catalog

import "fmt"

// Verb is what an operation of a transaction does. The numbers stand in the log.
type Verb uint8

// The verbs.
const (
	Get       Verb = 1
	Set       Verb = 2
	CAS       Verb = 3
	Delete    Verb = 4
	DeleteCAS Verb = 5
)

// verbNames are the words of the wire.
var verbNames = map[string]Verb{"get": Get, "set": Set, "cas": CAS, "delete": Delete, "delete-cas": DeleteCAS}

// ParseVerb returns the verb that a transaction calls name; case matters.
func ParseVerb(name string) (Verb, bool) {
	v, ok := verbNames[name]
	return v, ok
}

// Valid tells whether v is a verb this version knows.
func (v Verb) Valid() bool { return v >= Get && v <= DeleteCAS }

// Writes tells whether the verb can change the catalog.
func (v Verb) Writes() bool { return v != Get }

// Op is one operation on one row: exactly one of the three is set. The verbs that
// compare do so with the ModifyIndex in it; 0 of a row that must not exist.
type Op struct {
	Verb    Verb
	Node    *Node
	Service *Service
	Check   *Check
}

// Shown is the row that an operation shows: one of the three, or none.
type Shown struct {
	Node    *Node
	Service *Service
	Check   *Check
}

// Do performs one operation of a transaction. why says what refused it; nothing must
// be kept of the transaction then.
//
// Source: contract, transactions, section 4.
func (tx *Tx) Do(op Op) (shown Shown, ended Ended, why string) {
	if why := op.checkNames(); why != "" {
		return Shown{}, Ended{}, why
	}
	switch {
	case op.Node != nil:
		return tx.doNode(op)
	case op.Service != nil:
		return tx.doService(op)
	}
	return tx.doCheck(op)
}

func (op *Op) checkNames() string {
	r := Registration{Service: op.Service}
	switch {
	case op.Node != nil:
		r.Node = *op.Node
	case op.Service != nil:
		r.Node.Name = op.Service.Node
	default:
		r.Node.Name = op.Check.Node
		r.Checks = []Check{*op.Check}
	}
	if err := r.checkNames(); err != nil {
		return err.Error()
	}
	return ""
}

// step is what a verb asks for, when the row is there or not.
type step struct {
	name     string // of the row, in texts
	verb     Verb
	index    uint64 // to compare with
	found    bool
	modified uint64 // ModifyIndex of the row that was found
}

// refusal is why the verb cannot be done; empty if it can.
func (s step) refusal() string {
	switch {
	case s.verb == Get && !s.found:
		return s.name + " doesn't exist"
	case s.verb == CAS && s.found != (s.index != 0), s.verb == CAS && s.found && s.modified != s.index:
		return "failed to set " + s.name + ", index is stale"
	case s.verb == DeleteCAS && s.found && s.modified != s.index: // what is missing is deleted
		return "failed to delete " + s.name + ", index is stale"
	}
	return ""
}

func (tx *Tx) doNode(op Op) (Shown, Ended, string) {
	old := tx.Node(op.Node.Name)
	s := step{name: fmt.Sprintf("node %q", op.Node.Name), verb: op.Verb, index: op.Node.ModifyIndex, found: old != nil}
	if old != nil {
		s.modified = old.ModifyIndex
	}
	if why := s.refusal(); why != "" {
		return Shown{}, Ended{}, why
	}
	switch op.Verb {
	case Get:
		return Shown{Node: old}, Ended{}, ""
	case Set, CAS:
		return Shown{Node: tx.putNode(*op.Node)}, Ended{}, ""
	}
	return Shown{}, tx.Deregister(op.Node.Name, "", ""), ""
}

func (tx *Tx) doService(op Op) (Shown, Ended, string) {
	next := *op.Service
	id := next.RowID()
	old := tx.services.Get(id)
	s := step{name: fmt.Sprintf("service %q on node %q", next.ID, next.Node), verb: op.Verb, index: next.ModifyIndex, found: old != nil}
	if old != nil {
		s.modified = old.ModifyIndex
	}
	if why := s.refusal(); why != "" {
		return Shown{}, Ended{}, why
	}
	switch op.Verb {
	case Get:
		return Shown{Service: old}, Ended{}, ""
	case Set, CAS:
		node := tx.Node(next.Node)
		if node == nil {
			return Shown{}, Ended{}, "Missing node registration"
		}
		next.Node = node.Name
		tx.putService(next)
		return Shown{Service: tx.services.Get(id)}, Ended{}, ""
	}
	return Shown{}, tx.removeService(next.Node, next.ID), ""
}

func (tx *Tx) doCheck(op Op) (Shown, Ended, string) {
	next := *op.Check
	old := tx.Check(next.Node, next.ID)
	s := step{name: fmt.Sprintf("check %q on node %q", next.ID, next.Node), verb: op.Verb, index: next.ModifyIndex, found: old != nil}
	if old != nil {
		s.modified = old.ModifyIndex
	}
	if why := s.refusal(); why != "" {
		return Shown{}, Ended{}, why
	}
	switch op.Verb {
	case Get:
		return Shown{Check: old}, Ended{}, ""
	case Set, CAS:
		node := tx.Node(next.Node)
		if node == nil {
			return Shown{}, Ended{}, "Missing node registration"
		}
		next.Indexes = Indexes{} // they were compared
		ended, err := tx.Register(Registration{Node: *node, SkipNode: true, Checks: []Check{next}})
		if err != nil {
			return Shown{}, Ended{}, err.Error()
		}
		return Shown{Check: tx.Check(next.Node, next.ID)}, ended, ""
	}
	return Shown{}, tx.removeChecks(next.Node, func(c *Check) bool { return c.ID == next.ID }), ""
}
