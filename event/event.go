// Package event holds the user events: short messages that clients fire and list.
//
// It owns their table, a ring of the newest [Kept]. Who may see an event is decided
// when it is listed, by the filters it was fired with.
package event

import (
	"encoding/binary"
	"regexp"

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
	if !matches(e.NodeFilter, node) {
		return false
	}
	if e.ServiceFilter == "" {
		return true
	}
	for _, s := range services {
		if matches(e.ServiceFilter, s.Name) && (e.TagFilter == "" || anyMatches(e.TagFilter, s.Tags)) {
			return true
		}
	}
	return false
}

func matches(filter, text string) bool {
	if filter == "" {
		return true
	}
	re, err := regexp.Compile(filter)
	return err == nil && re.MatchString(text)
}

func anyMatches(filter string, texts []string) bool {
	for _, t := range texts {
		if matches(filter, t) {
			return true
		}
	}
	return false
}

const tableEvents = "events"

// Schema returns the table, to be merged into the schema of the store.
func Schema() map[string]*memdb.TableSchema {
	return map[string]*memdb.TableSchema{tableEvents: staging.Schema[*Event](tableEvents)}
}

// Tx is the events as a batch of commands sees and changes them.
type Tx struct{ events *staging.Table[*Event] }

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
