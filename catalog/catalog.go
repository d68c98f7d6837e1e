package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// The tables of this package.
const (
	tableNodes    = "nodes"
	tableServices = "services"
	tableChecks   = "checks"
)

// Schema returns the tables, to be merged into the schema of the store.
func Schema() map[string]*memdb.TableSchema {
	services, checks := staging.Schema[*Service](tableServices), staging.Schema[*Check](tableChecks)
	services.Indexes[indexName] = &memdb.IndexSchema{Name: indexName, AllowMissing: true, Indexer: nameIndexer[*Service]{}}
	checks.Indexes[indexName] = &memdb.IndexSchema{Name: indexName, AllowMissing: true, Indexer: nameIndexer[*Check]{}}
	checks.Indexes[indexOwner] = &memdb.IndexSchema{Name: indexOwner, Indexer: ownerIndexer{}}
	return map[string]*memdb.TableSchema{
		tableNodes: staging.Schema[*Node](tableNodes), tableServices: services, tableChecks: checks,
	}
}

// Why a registration is refused that leaves out a name.
//
// Source: contract, catalog, section 1, for the first.
var (
	//lint:ignore ST1005 the text is the wire's
	ErrNoNode = errors.New("Must provide node")
	//lint:ignore ST1005 as the other texts of the wire
	ErrNoService = errors.New("Must provide service name")
	//lint:ignore ST1005 as the other texts of the wire
	ErrNoCheck = errors.New("Must provide check ID or its name")
)

// Registration adds or changes a node, a service on it, and checks of them.
type Registration struct {
	Node     Node
	SkipNode bool // leave an existing node as it is
	Service  *Service

	// Checks to add or change. One that comes with an index is a change of a check
	// that was read before: with a ModifyIndex it is made only if the check is still
	// as it was then; with a CreateIndex alone, if it is still the same check. Else
	// this check, and no more, is left out.
	Checks []Check
}

// Ended is what a change has put an end to. Sessions that are bound to it must end
// with it.
type Ended struct {
	Node   string   // a node that is gone; empty if none is
	Checks []string // checks of OnNode that became critical or are gone, in order
	OnNode string
}

// Tx is the catalog as a batch of commands sees and changes it.
type Tx struct {
	nodes    staging.Table[*Node]
	services staging.Table[*Service]
	checks   staging.Table[*Check]
	index    uint64
	changed  Tables
}

// Tables says which tables a command has changed.
type Tables struct{ Nodes, Services, Checks bool }

// Begin opens a batch over the state in base.
func Begin(base *memdb.Txn) *Tx {
	return &Tx{
		nodes:    staging.New[*Node](base, tableNodes),
		services: staging.New[*Service](base, tableServices),
		checks:   staging.New[*Check](base, tableChecks),
	}
}

// Command begins the next command.
func (tx *Tx) Command(index uint64) { tx.index, tx.changed = index, Tables{} }

// Changed says which tables the current command has changed so far.
func (tx *Tx) Changed() Tables { return tx.changed }

// Accept keeps what the current command has changed.
func (tx *Tx) Accept() {
	tx.nodes.Accept()
	tx.services.Accept()
	tx.checks.Accept()
}

// Reject takes back what the current command has changed.
func (tx *Tx) Reject() {
	tx.nodes.Reject()
	tx.services.Reject()
	tx.checks.Reject()
}

// Flush puts what was accepted into a write transaction.
func (tx *Tx) Flush(txn *memdb.Txn) {
	tx.nodes.Flush(txn)
	tx.services.Flush(txn)
	tx.checks.Flush(txn)
}

// Node returns the node of that name, in any case of letters; nil when there is
// none.
func (tx *Tx) Node(name string) *Node { return tx.nodes.Get(nodeID(name)) }

// Service returns a service of a node; nil when there is none.
func (tx *Tx) Service(node, id string) *Service { return tx.services.Get(childID(node, id)) }

// Check returns a check of a node; nil when there is none.
func (tx *Tx) Check(node, id string) *Check { return tx.checks.Get(childID(node, id)) }

// Register performs a registration as one step. The error is a sentence of the
// wire; nothing must be kept then.
//
// Source: contract, catalog, section 1.
func (tx *Tx) Register(r Registration) (Ended, error) {
	if err := r.checkNames(); err != nil {
		return Ended{}, err
	}
	node := tx.Node(r.Node.Name)
	if node == nil || !r.SkipNode {
		node = tx.putNode(r.Node)
	}
	if r.Service != nil {
		s := *r.Service
		s.Node = node.Name
		tx.putService(s)
	}
	ended := Ended{OnNode: node.Name}
	for _, c := range r.Checks {
		c.Node = node.Name
		if !tx.upToDate(&c) {
			continue
		}
		if c.ServiceID != "" {
			s := tx.services.Get(childID(c.Node, c.ServiceID))
			if s == nil {
				//lint:ignore ST1005 the text is the wire's
				return Ended{}, fmt.Errorf("Unknown service ID '%s' for check ID '%s'", c.ServiceID, c.ID)
			}
			c.ServiceName, c.ServiceTags = s.Name, s.Tags
		}
		if tx.putCheck(c); c.Status == Critical {
			ended.Checks = append(ended.Checks, c.ID)
		}
	}
	return ended, nil
}

// upToDate tells whether a check to be registered was read from the state as it is,
// if it was read at all; see Registration.
func (tx *Tx) upToDate(c *Check) bool {
	if c.CreateIndex == 0 && c.ModifyIndex == 0 {
		return true
	}
	old := tx.Check(c.Node, c.ID)
	return old != nil &&
		(c.CreateIndex == 0 || c.CreateIndex == old.CreateIndex) &&
		(c.ModifyIndex == 0 || c.ModifyIndex == old.ModifyIndex)
}

// checkNames refuses names that rows could not be told apart by, and their absence.
func (r *Registration) checkNames() error {
	names := []string{r.Node.Name}
	if r.Node.Name == "" {
		return ErrNoNode
	}
	if r.Service != nil {
		if r.Service.ID == "" || r.Service.Name == "" {
			return ErrNoService
		}
		names = append(names, r.Service.ID, r.Service.Name)
	}
	for i := range r.Checks {
		if r.Checks[i].ID == "" {
			return ErrNoCheck
		}
		names = append(names, r.Checks[i].ID, r.Checks[i].ServiceID)
	}
	for _, name := range names {
		if strings.Contains(name, "\x00") {
			//lint:ignore ST1005 the text is the wire's
			return fmt.Errorf("Name %q has a zero byte", name)
		}
	}
	return nil
}

func (tx *Tx) putNode(n Node) *Node {
	n.CreateIndex, n.ModifyIndex = tx.index, tx.index
	if old := tx.Node(n.Name); old != nil {
		if old.same(&n) {
			return old
		}
		n.CreateIndex = old.CreateIndex
	}
	tx.nodes.Put(&n)
	tx.changed.Nodes = true
	return &n
}

func (tx *Tx) putService(s Service) {
	s.CreateIndex, s.ModifyIndex = tx.index, tx.index
	if old := tx.services.Get(s.RowID()); old != nil {
		if old.same(&s) {
			return
		}
		s.CreateIndex = old.CreateIndex
		if old.Name != s.Name || !slices.Equal(old.Tags, s.Tags) {
			tx.renameInChecks(&s)
		}
	}
	tx.services.Put(&s)
	tx.changed.Services = true
}

// renameInChecks puts the name and the tags of a service into its checks, which are
// shown with them.
func (tx *Tx) renameInChecks(s *Service) {
	var checks []Check
	tx.checks.Walk(nodeID(s.Node), func(c *Check) bool {
		if c.ServiceID == s.ID {
			checks = append(checks, *c)
		}
		return true
	})
	for _, c := range checks {
		c.ServiceName, c.ServiceTags = s.Name, s.Tags
		tx.putCheck(c)
	}
}

func (tx *Tx) putCheck(c Check) {
	c.CreateIndex, c.ModifyIndex = tx.index, tx.index
	if old := tx.checks.Get(c.RowID()); old != nil {
		if old.same(&c) {
			return
		}
		c.CreateIndex = old.CreateIndex
	}
	tx.checks.Put(&c)
	tx.changed.Checks = true
}

// Deregister removes a service with its checks, or a check, or, if neither is
// named, the node with everything on it. What is not there is no error.
func (tx *Tx) Deregister(node, serviceID, checkID string) Ended {
	switch {
	case serviceID != "":
		return tx.removeService(node, serviceID)
	case checkID != "":
		return tx.removeChecks(node, func(c *Check) bool { return c.ID == checkID })
	}
	n := tx.Node(node)
	if n == nil {
		return Ended{}
	}
	ended := tx.removeChecks(node, func(*Check) bool { return true })
	ended.Node = n.Name
	var services []string
	tx.services.Walk(nodeID(node), func(s *Service) bool {
		services = append(services, s.RowID())
		return true
	})
	for _, id := range services {
		tx.services.Delete(id)
		tx.changed.Services = true
	}
	tx.nodes.Delete(n.RowID())
	tx.changed.Nodes = true
	return ended
}

func (tx *Tx) removeService(node, id string) Ended {
	s := tx.services.Get(childID(node, id))
	if s == nil {
		return Ended{}
	}
	tx.services.Delete(s.RowID())
	tx.changed.Services = true
	return tx.removeChecks(node, func(c *Check) bool { return c.ServiceID == id })
}

func (tx *Tx) removeChecks(node string, which func(*Check) bool) Ended {
	ended := Ended{OnNode: node}
	tx.checks.Walk(nodeID(node), func(c *Check) bool {
		if which(c) {
			ended.Checks = append(ended.Checks, c.ID)
		}
		return true
	})
	for _, id := range ended.Checks {
		tx.checks.Delete(childID(node, id))
		tx.changed.Checks = true
	}
	return ended
}

// View reads one unchanging state.
type View struct{ txn *memdb.Txn }

// NewView returns the view of a memdb read transaction.
func NewView(txn *memdb.Txn) View { return View{txn} }

// Node returns the node of that name, in any case of letters; nil when there is
// none.
func (v View) Node(name string) *Node { return staging.Get[*Node](v.txn, tableNodes, nodeID(name)) }

// Nodes calls visit for every node in the order of names, until it returns false.
func (v View) Nodes(visit func(*Node) bool) { staging.Walk(v.txn, tableNodes, "", visit) }

// Services calls visit for every service of a node, or of all nodes if node is
// empty, until it returns false.
func (v View) Services(node string, visit func(*Service) bool) {
	staging.Walk(v.txn, tableServices, prefixOf(node), visit)
}

// Service returns a service of a node; nil when there is none.
func (v View) Service(node, id string) *Service {
	return staging.Get[*Service](v.txn, tableServices, childID(node, id))
}

// Instances calls visit for every instance of the service of that name, in any
// case of letters and in the order of nodes, until it returns false. Its cost grows
// with the instances, not with the catalog.
func (v View) Instances(service string, visit func(*Service) bool) {
	walkIndex(v.txn, tableServices, indexName, folded(service), visit)
}

// Check returns a check of a node; nil when there is none.
func (v View) Check(node, id string) *Check {
	return staging.Get[*Check](v.txn, tableChecks, childID(node, id))
}

// ChecksOfService calls visit for every check of an instance of the service of that
// name, in any case of letters, until it returns false.
func (v View) ChecksOfService(service string, visit func(*Check) bool) {
	walkIndex(v.txn, tableChecks, indexName, folded(service), visit)
}

// ChecksOf calls visit for every check of a service of a node, or of the node itself
// if serviceID is empty, until it returns false.
func (v View) ChecksOf(node, serviceID string, visit func(*Check) bool) {
	walkIndex(v.txn, tableChecks, indexOwner, ownerID(node, serviceID), visit)
}

// Checks calls visit for every check of a node, or of all nodes if node is empty,
// until it returns false.
func (v View) Checks(node string, visit func(*Check) bool) {
	staging.Walk(v.txn, tableChecks, prefixOf(node), visit)
}

// Holds tells whether all that r registers is there already, so that to register it
// would change nothing.
func (v View) Holds(r *Registration) bool {
	n := v.Node(r.Node.Name)
	if n == nil || !r.SkipNode && !n.same(&r.Node) {
		return false
	}
	if r.Service != nil {
		if s := v.Service(n.Name, r.Service.ID); s == nil || !s.same(r.Service) {
			return false
		}
	}
	for i := range r.Checks {
		want := r.Checks[i]
		c := v.Check(n.Name, want.ID)
		if c == nil {
			return false
		}
		if want.ServiceID != "" { // as Register fills them in
			want.ServiceName, want.ServiceTags = c.ServiceName, c.ServiceTags
		}
		if !c.same(&want) {
			return false
		}
	}
	return true
}

func prefixOf(node string) string {
	if node == "" {
		return ""
	}
	return nodeID(node)
}

// ImportNode puts a node of a snapshot into an empty database.
func ImportNode(txn *memdb.Txn, n *Node) error { return txn.Insert(tableNodes, n) }

// ImportService puts a service of a snapshot into an empty database.
func ImportService(txn *memdb.Txn, s *Service) error { return txn.Insert(tableServices, s) }

// ImportCheck puts a check of a snapshot into an empty database.
func ImportCheck(txn *memdb.Txn, c *Check) error { return txn.Insert(tableChecks, c) }
