package event

import (
	"encoding/binary"
	"regexp"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// Kept is how many events are remembered.
//
// Source: contract, events, section 4.
const Kept = 256

// Event is one event. It never changes.
type Event struct {
	ID      string // UUID, chosen before the log entry is made
	Name    string
	Payload []byte

	// Regular expressions, unanchored; empty for everybody.
	NodeFilter, ServiceFilter, TagFilter string

	Index uint64 // of the log entry; it also serves as the logical time
}

// RowID is part of staging.Row.
func (e *Event) RowID() string { return string(binary.BigEndian.AppendUint64(nil, e.Index)) }

// Service is a service that an event may be for.
type Service struct {
	Name string
	Tags []string
}

// For tells whether the event is for a node with those services. A filter that
// does not compile, which firing refuses, matches nobody.
func (e *Event) For(node string, services []Service) bool {
	if e.NodeFilter != "" && !matcher(e.NodeFilter)(node) {
		return false
	}
	if e.ServiceFilter == "" {
		return true
	}
	// Compiled once: that takes longer than to match.
	name, tag := matcher(e.ServiceFilter), matcher(e.TagFilter)
	return slices.ContainsFunc(services, func(s Service) bool {
		return name(s.Name) && (e.TagFilter == "" || slices.ContainsFunc(s.Tags, tag))
	})
}

// matcher returns what tells whether a text matches a filter.
func matcher(filter string) func(string) bool {
	re, err := regexp.Compile(filter)
	if err != nil {
		return func(string) bool { return false }
	}
	return re.MatchString
}

const tableEvents = "events"

// Schema returns the table, to be merged into the schema of the store.
func Schema() map[string]*memdb.TableSchema {
	return map[string]*memdb.TableSchema{tableEvents: staging.Schema[*Event](tableEvents)}
}

// Tx is the events as a batch of commands sees and changes them.
type Tx struct{ events staging.Table[*Event] }

// Begin opens a batch over the state in base.
func Begin(base *memdb.Txn) *Tx { return &Tx{staging.New[*Event](base, tableEvents)} }

// Fire adds an event and drops what is more than Kept.
func (tx *Tx) Fire(e *Event) {
	tx.events.Put(e)
	var ids []string
	tx.events.Walk("", func(old *Event) bool {
		ids = append(ids, old.RowID())
		return true
	})
	for _, id := range ids[:max(0, len(ids)-Kept)] {
		tx.events.Delete(id)
	}
}

// Accept keeps what the current command has changed.
func (tx *Tx) Accept() { tx.events.Accept() }

// Reject takes back what the current command has changed.
func (tx *Tx) Reject() { tx.events.Reject() }

// Flush puts what was accepted into a write transaction.
func (tx *Tx) Flush(txn *memdb.Txn) { tx.events.Flush(txn) }

// View reads one unchanging state.
type View struct{ txn *memdb.Txn }

// NewView returns the view of a memdb read transaction.
func NewView(txn *memdb.Txn) View { return View{txn} }

// List calls visit for every event, oldest first, until it returns false.
func (v View) List(visit func(*Event) bool) { staging.Walk(v.txn, tableEvents, "", visit) }

// Import puts an event of a snapshot into an empty database.
func Import(txn *memdb.Txn, e *Event) error { return txn.Insert(tableEvents, e) }
