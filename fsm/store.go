package fsm

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-memdb"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/event"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// state is what is known about the state as a whole.
type state struct {
	Index    uint64 // of the last command
	LastTime int64  // highest proposal time of a command, Unix nanoseconds
	Restored uint64 // index of the last restore of an archive; 0 when there was none

	// Indexes of the last change of each table beside the keys; 0 when there was none.
	Sessions, Nodes, Services, Checks, Events uint64

	Autopilot *Autopilot // never changed; nil when it was not set yet
	Chain     chain      // the rolling hash up to Index
	Used      uint32     // see View.Used
}

// Store is the state that reads go through. All methods may be called at any
// time from any goroutine.
type Store struct {
	now    atomic.Pointer[View]
	hub    *kvs.Hub
	topics *kvs.Hub

	compiler *acl.Compiler // of the rules that apply looks at
	reader   reader        // of the goroutine that applies

	// onSessions is told of sessions that were created and ended; see OnSessions.
	onSessions atomic.Pointer[func(born []*session.Session, dead []string)]

	applied atomic.Uint64 // index of the last command that can be read
	reached atomic.Uint64 // index up to which all commands can be read; see Reached
	marks   marks         // of the rolling hash

	mu      sync.Mutex
	moved   chan struct{} // closed and replaced when applied grows and somebody waits; guarded by mu
	waiting int           // guarded by mu
}

// NewStore returns an empty store.
func NewStore() *Store {
	s := &Store{hub: kvs.NewHub(), topics: kvs.NewHub(), compiler: acl.NewCompiler(), moved: make(chan struct{})}
	s.publish(emptyDB(), state{}, 1, false)
	return s
}

// emptyDB returns an empty database that keeps no watch channels; see the package
// comment.
func emptyDB() *memdb.MemDB {
	tables := kvs.Schema()
	maps.Copy(tables, session.Schema())
	maps.Copy(tables, catalog.Schema())
	maps.Copy(tables, event.Schema())
	maps.Copy(tables, acl.Schema())
	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: tables})
	if err != nil {
		panic(fmt.Sprintf("fsm: schema is broken: %v", err))
	}
	return db.Snapshot()
}

// View is one unchanging state. Goroutines may share it.
type View struct {
	kvs.View
	db    *memdb.MemDB // of which it is one state
	txn   *memdb.Txn
	acl   acl.View
	state state

	// Generation grows when the whole state is replaced: indexes may mean other
	// content then.
	Generation uint64
}

// View returns the state as it is now.
func (s *Store) View() *View { return s.now.Load() }

// publish makes what is committed in db the present state. sameACLs says that no ACL
// table has changed since the last time.
func (s *Store) publish(db *memdb.MemDB, st state, generation uint64, sameACLs bool) {
	txn := db.Txn(false)
	v := &View{View: kvs.NewView(txn), db: db, txn: txn, state: st, Generation: generation}
	if sameACLs {
		v.acl = s.View().acl.In(txn)
	} else {
		v.acl = acl.NewView(txn)
	}
	s.now.Store(v)
	s.advance(st.Index)
}

// Applied is the index of the last command in the view.
func (v *View) Applied() uint64 { return v.state.Index }

// RestoredAt is the index at which an archive was last restored; indexes up to it
// may have been handed out for a state that is gone. 0 when none was.
func (v *View) RestoredAt() uint64 { return v.state.Restored }

// Sessions reads the sessions of the view, and the index of their last change.
func (v *View) Sessions() (session.View, uint64) { return session.NewView(v.txn), v.state.Sessions }

// Catalog reads the nodes, services and checks of the view.
func (v *View) Catalog() catalog.View { return catalog.NewView(v.txn) }

// CatalogIndexes are the indexes of the last changes of nodes, services and checks.
func (v *View) CatalogIndexes() (nodes, services, checks uint64) {
	return v.state.Nodes, v.state.Services, v.state.Checks
}

// Events reads the events of the view.
func (v *View) Events() event.View { return event.NewView(v.txn) }

// ACL reads the ACL tables of the view.
func (v *View) ACL() acl.View { return v.acl }

// LastTime is the highest proposal time applied, in Unix nanoseconds.
func (v *View) LastTime() int64 { return v.state.LastTime }

// Topics is where queries wait for what is not a key, under the Topic names.
func (s *Store) Topics() *kvs.Hub { return s.topics }

// OnSessions makes tell be called after every batch that created or ended sessions,
// once they can be read, by the goroutine that applies; both empty means that the
// whole state was replaced, or a restore of an archive is complete. It must not block.
func (s *Store) OnSessions(tell func(born []*session.Session, dead []string)) {
	s.onSessions.Store(&tell)
}

func (s *Store) tellSessions(born []*session.Session, dead []string) {
	if tell := s.onSessions.Load(); tell != nil {
		(*tell)(born, dead)
	}
}

// Hub is where queries wait for keys to change.
func (s *Store) Hub() *kvs.Hub { return s.hub }

// Applied is the index of the last command whose effects every new View has.
func (s *Store) Applied() uint64 { return s.applied.Load() }

// WaitApplied waits until the command at index can be read.
func (s *Store) WaitApplied(ctx context.Context, index uint64) error {
	return s.wait(ctx, &s.applied, index)
}

// Reached notes that all commands up to index can be read, where the entry at index
// is itself none: Raft has entries of its own.
func (s *Store) Reached(index uint64) {
	for {
		old := s.reached.Load()
		if old >= index {
			return
		}
		if s.reached.CompareAndSwap(old, index) {
			break
		}
	}
	s.tellWaiting()
}

// WaitReached waits until all commands up to index can be read, whether or not the
// entry at index is one.
func (s *Store) WaitReached(ctx context.Context, index uint64) error {
	return s.wait(ctx, &s.reached, index)
}

func (s *Store) wait(ctx context.Context, at *atomic.Uint64, index uint64) error {
	for at.Load() < index {
		s.mu.Lock()
		moved := s.moved
		s.waiting++
		s.mu.Unlock()
		var err error
		if at.Load() < index {
			select {
			case <-moved:
			case <-ctx.Done():
				err = fmt.Errorf("wait for index %d, reached %d: %w", index, at.Load(), context.Cause(ctx))
			}
		}
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// advance publishes that the commands up to index can be read.
func (s *Store) advance(index uint64) {
	s.applied.Store(index)
	if s.reached.Load() < index {
		s.Reached(index) // tells whoever waits
		return
	}
	s.tellWaiting()
}

func (s *Store) tellWaiting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting > 0 {
		close(s.moved)
		s.moved = make(chan struct{})
	}
}
