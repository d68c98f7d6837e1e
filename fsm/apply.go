package fsm

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/event"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// FSM is what Raft drives. Its methods are called by one goroutine of Raft's.
type FSM struct {
	store  *Store
	log    hclog.Logger
	onStop func(error)

	// stopped is set once an entry could not be applied. From then on nothing is
	// applied, answered or snapshotted, so that no later entry is applied without it.
	stopped error

	sinceSnapshot atomic.Int64 // bytes of entries applied since the last Snapshot
}

// New returns the state machine of a store. onStop is called, once, when an entry
// of the log cannot be applied and the server must stop.
func New(store *Store, log hclog.Logger, onStop func(error)) *FSM {
	return &FSM{store: store, log: log, onStop: onStop}
}

// Apply applies one entry; Raft uses ApplyBatch.
func (f *FSM) Apply(entry *raft.Log) any { return f.ApplyBatch([]*raft.Log{entry})[0] }

// ApplyBatch applies all entries in one transaction and returns a [Result], or an
// error, for each.
func (f *FSM) ApplyBatch(entries []*raft.Log) []any {
	answers := make([]any, len(entries))
	b := f.store.begin()
	for i, entry := range entries {
		f.sinceSnapshot.Add(int64(len(entry.Data)))
		if f.stopped == nil && entry.Type == raft.LogCommand {
			res, err := b.apply(entry.Index, entry.Data)
			if err == nil {
				answers[i] = res
				continue
			}
			f.stop(fmt.Errorf("apply log entry %d: %w", entry.Index, err))
		}
		if f.stopped != nil {
			answers[i] = f.stopped
		}
	}
	b.commit()
	if f.stopped == nil && len(entries) > 0 { // the last one may be a configuration
		f.store.Reached(entries[len(entries)-1].Index)
	}
	return answers
}

func (f *FSM) stop(err error) {
	f.stopped = err
	f.log.Error("server must stop: it cannot apply an entry of the log, and to go on without it would make its state differ",
		"error", err)
	f.onStop(err)
}

// Snapshot returns a snapshot of the state; it costs nothing until it is written.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if f.stopped != nil {
		return nil, f.stopped
	}
	f.sinceSnapshot.Store(0)
	return &Snapshot{view: f.store.View()}, nil
}

// SinceSnapshot is how many bytes of entries were applied since the last snapshot
// was taken: what a restart has to read again. It may be called by anybody.
func (f *FSM) SinceSnapshot() int64 { return f.sinceSnapshot.Load() }

// Restore replaces the state by that of a snapshot, or leaves it as it is. A
// [LoadedReader] is not read if its state is loaded.
func (f *FSM) Restore(r io.ReadCloser) error {
	defer r.Close()
	if f.stopped != nil {
		return f.stopped
	}
	l := loadedOf(r)
	if l == nil {
		var err error
		if l, err = LoadSnapshot(r); err != nil {
			return fmt.Errorf("restore state: %w", err)
		}
	}
	// Whoever waits must look at the other state.
	f.store.marks.reset()
	f.store.publish(l.db, l.state, f.store.View().Generation+1, false)
	f.store.hub.Reset()
	f.store.topics.Reset()
	f.store.tellSessions(nil, nil)
	return nil
}

// batch applies commands over one base and publishes them together.
type batch struct {
	store    *Store
	base     *View
	state    state
	kv       *kvs.Tx
	sessions *session.Tx
	catalog  *catalog.Tx
	events   *event.Tx
	acl      *acl.Tx // nil until it is wanted; see tables
	again    *again  // the rights of who asks, looked for again; nil: there is no need to
	changed  bool
	elapsed  int64 // nanoseconds between the last command and the current one

	topics map[string]bool // beside keys, what has changed
	born   []*session.Session
	dead   []string

	passed []Hash // marks of the rolling hash
}

func (s *Store) begin() *batch {
	base := s.View()
	return &batch{
		store: s, base: base, state: base.state, kv: kvs.Begin(base.View),
		sessions: session.Begin(base.txn), catalog: catalog.Begin(base.txn), events: event.Begin(base.txn),
	}
}

// apply performs one command. An error means that the server must stop.
func (b *batch) apply(index uint64, data []byte) (Result, error) {
	p, err := b.store.reader.parse(data)
	if err != nil {
		return Result{}, err
	}
	before, dead := b.state, len(b.dead)
	b.state.Index = index
	if p == nil { // unknown, and may be skipped
		b.link(before, index, data, b.outcome(nil, nil, 0))
		b.changed = true
		return Result{Index: index}, nil
	}
	b.state.LastTime = max(b.state.LastTime, p.time)
	b.state.Used = max(b.state.Used, p.needs())
	b.elapsed = b.state.LastTime - before.LastTime
	b.kv.Command(index, b.state.LastTime, p.by)
	b.catalog.Command(index)
	res := Result{Index: index, Applied: true}
	if res.Denied = b.recheck(p); res.Denied != "" {
		res.Applied = false
	} else {
		err = b.do(p, &res)
	}
	if err != nil {
		b.state = before
	} else {
		b.changed = true
	}
	if err != nil || !res.Applied {
		b.kv.Reject()
		b.sessions.Reject()
		b.catalog.Reject()
		b.events.Reject()
		if b.acl != nil {
			b.acl.Reject()
		}
		if err == nil {
			b.link(before, index, data, b.outcome(p, &res, dead))
		}
		return res, err
	}
	b.kv.Accept()
	b.sessions.Accept()
	b.catalog.Accept()
	b.events.Accept()
	if b.acl != nil {
		b.acl.Accept()
	}
	b.link(before, index, data, b.outcome(p, &res, dead))
	return res, nil
}

// link puts a command into the rolling hash; before is the state it found.
func (b *batch) link(before state, index uint64, data []byte, outcome uint64) {
	mark, passed := before.link(index, data, outcome)
	if passed {
		b.passed = append(b.passed, mark)
	}
	b.state.Chain = before.Chain
}

func (b *batch) do(p *parsed, res *Result) error {
	switch {
	case p.write != nil:
		b.write(p.write.op, p.write.ties, res)
		return nil
	case p.txn != nil:
		if res.Errors = b.refusedOps(p.txn); res.Errors == nil {
			res.Shown, res.Errors = doAll(b.kv, p.txn, b.session)
		}
		res.Applied = len(res.Errors) == 0
		res.Shown = b.readable(res.Shown)
		return nil
	}
	switch kind := p.other.GetKind().(type) {
	case *fsmpb.Command_Prune:
		p := pruneFromProto(kind.Prune)
		b.kv.Prune(p.Through, p.Trims, p.Forgets)
		b.kv.DropDelays(limit.PruneRecords)
	case *fsmpb.Command_Restored:
		b.state.Restored = res.Index
		b.sessions.ForgetTimes() // they are of another time
	case *fsmpb.Command_SessionCreate:
		b.createSession(sessionFromProto(kind.SessionCreate.GetSession()), res)
	case *fsmpb.Command_SessionEnd:
		for _, id := range kind.SessionEnd.GetIds() {
			b.endSession(string(id), res)
		}
	case *fsmpb.Command_MixedTxn:
		ops, err := mixedFromProto(kind.MixedTxn)
		if err != nil {
			return err
		}
		b.mixed(ops, res)
	case *fsmpb.Command_SessionTime:
		b.sessionTime(kind.SessionTime)
	case *fsmpb.Command_Register:
		b.register(registrationFromProto(kind.Register), res)
	case *fsmpb.Command_Deregister:
		d := kind.Deregister
		b.ended(b.catalog.Deregister(string(d.GetNode()), string(d.GetServiceId()), string(d.GetCheckId())), res)
		b.catalogChanged(res.Index)
	case *fsmpb.Command_Event:
		e := eventFromProto(kind.Event)
		e.Index = res.Index
		b.events.Fire(e)
		b.state.Events = res.Index
		b.touch(TopicEvents)
	case *fsmpb.Command_Expire:
		for _, k := range kind.Expire.GetKeys() {
			if b.kv.ExpireDue(string(k.GetKey()), k.GetAt()) {
				res.Ended++
			}
		}
	case *fsmpb.Command_AutopilotSet:
		b.setAutopilot(kind.AutopilotSet, res)
	case *fsmpb.Command_Contend:
		return b.contend(contendFromProto(kind.Contend), p.ending, res)
	case *fsmpb.Command_AclChange:
		change, err := changeFromProto(kind.AclChange)
		if err != nil {
			return err
		}
		b.changeACL(change, res)
	default:
		return errors.New("command has no case in apply")
	}
	return nil
}

func (b *batch) write(op kvs.Op, ties Ties, res *Result) {
	damage(&op)
	if ties.FenceKey != "" {
		var fenced *kvs.FenceError
		if errors.As(b.kv.CheckFence(ties.FenceKey, ties.Fence), &fenced) {
			res.Applied, res.Fenced = false, fenced
			return
		}
	}
	owner, live := b.session(ties.Owner)
	if ties.Owner != "" && !live {
		res.Applied, res.Invalid = false, fmt.Sprintf("invalid session %q", ties.Owner)
		return
	}
	switch {
	case ties.Touch:
		res.Applied = b.kv.Touch(op.Key)
		return
	case ties.Persist:
		res.Applied = b.kv.Persist(op.Key)
		return
	case op.Verb == kvs.Delete && live: // what belongs to another by now stays
		res.Applied = b.kv.Disown(op.Key, owner)
		return
	case ties.Sequential:
		op.Key = kvs.SequentialKey(op.Key, b.kv.Next(op.Key), ties.Width)
		res.Key = op.Key
	}
	out := b.kv.Do(op, b.session)
	res.Applied = out.Applied
	if out.Invalid {
		res.Invalid = out.Why
	}
	if !res.Applied {
		return
	}
	if live {
		b.kv.Own(op.Key, owner)
	}
	switch op.Verb {
	case kvs.Set, kvs.CAS, kvs.Unlock: // a write begins the time of a key that has one anew
		b.kv.Touch(op.Key)
	case kvs.Lock:
		b.kv.Touch(op.Key)
		res.Fence = b.kv.FenceOf(op.Key)
	}
	if ties.TTL > 0 {
		b.kv.ExpireIn(op.Key, ties.TTL)
	}
}

// session tells whether a session lives and how the state spells its id.
func (b *batch) session(id string) (canonical string, live bool) {
	if id == "" {
		return "", false
	}
	if s := b.sessions.Get(id); s != nil {
		return s.ID, true
	}
	return id, false
}

// doAll performs operations in order. It goes on after a refusal, so that every
// refused one is reported; what was shown counts only when there is none.
func doAll(tx *kvs.Tx, ops []kvs.Op, sessions kvs.Sessions) (shown []kvs.Shown, refused []TxnError) {
	// A lock-delay is a matter of its own: like every check made before execution it
	// is reported alone.
	for i, op := range ops {
		if op.Verb == kvs.Lock && tx.Delayed(op.Key) {
			refused = append(refused, TxnError{OpIndex: i, What: fmt.Sprintf("failed to lock key %q due to lock delay", op.Key)})
		}
	}
	if refused != nil {
		return nil, refused
	}
	shown = make([]kvs.Shown, 0, len(ops))
	for i, op := range ops {
		out := tx.Do(op, sessions)
		if !out.Applied {
			refused = append(refused, TxnError{OpIndex: i, What: out.Why})
		}
		shown = append(shown, out.Shown...)
	}
	if refused != nil {
		return nil, refused
	}
	return shown, nil
}

// ReadTxn performs a transaction that only reads on this view.
func (v *View) ReadTxn(ops []kvs.Op) (shown []kvs.Shown, refused []TxnError) {
	tx := kvs.Begin(v.View)
	tx.Command(0, 0, kvs.Nobody)
	return doAll(tx, ops, func(id string) (string, bool) { return id, false }) // reads need none
}

// commit publishes what was applied, then wakes those who wait for it.
func (b *batch) commit() {
	b.store.reader.forget()
	if !b.changed {
		return
	}
	txn := b.base.db.Txn(true)
	b.kv.Flush(txn)
	b.sessions.Flush(txn)
	b.catalog.Flush(txn)
	b.events.Flush(txn)
	if b.acl != nil {
		b.acl.Flush(txn)
	}
	txn.Commit()
	b.store.marks.keep(b.passed)
	b.store.publish(b.base.db, b.state, b.base.Generation, b.acl == nil)
	b.store.hub.Notify(b.kv.Changed())
	if b.state.Restored != b.base.state.Restored { // an index from before is news to everybody
		b.store.hub.Reset()
		b.store.topics.Reset()
		b.store.tellSessions(nil, nil)
	}
	if len(b.topics) > 0 {
		b.store.topics.Notify(b.touched())
	}
	if b.born != nil || b.dead != nil {
		b.store.tellSessions(b.born, b.dead)
	}
}
