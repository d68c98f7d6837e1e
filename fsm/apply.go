package fsm

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
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

// Restore replaces the state by that of a snapshot, or leaves it as it is.
func (f *FSM) Restore(r io.ReadCloser) error {
	defer r.Close()
	if f.stopped != nil {
		return f.stopped
	}
	db, st, err := readSnapshot(r)
	if err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	// Whoever waits must look at the other state.
	f.store.publish(db, st, f.store.View().Generation+1)
	f.store.hub.Reset()
	return nil
}

// batch applies commands over one base and publishes them together.
type batch struct {
	store   *Store
	base    *View
	state   state
	kv      *kvs.Tx
	changed bool
}

func (s *Store) begin() *batch {
	base := s.View()
	return &batch{store: s, base: base, state: base.state, kv: kvs.Begin(base.View)}
}

// apply performs one command. An error means that the server must stop.
func (b *batch) apply(index uint64, data []byte) (Result, error) {
	msg, err := decode(data)
	if err != nil {
		return Result{}, err
	}
	before := b.state
	b.changed = true
	b.state.Index = index
	if msg == nil { // unknown, and may be skipped
		return Result{Index: index}, nil
	}
	h := msg.GetHeader()
	b.state.LastTime = max(b.state.LastTime, h.GetTime())
	b.kv.Command(index, b.state.LastTime, kvs.Origin{
		Accessor: h.GetAccessor(), Address: h.GetAddress(), Reason: h.GetReason(),
	})
	res := Result{Index: index, Applied: true}
	switch kind := msg.GetKind().(type) {
	case *fsmpb.Command_Write:
		err = b.write(kind.Write, &res)
	case *fsmpb.Command_Txn:
		err = b.transaction(kind.Txn, &res)
	case *fsmpb.Command_Prune:
		p := pruneFromProto(kind.Prune)
		b.kv.Prune(p.Through, p.Trims, p.Forgets)
	case *fsmpb.Command_Restored:
		b.state.Restored = index
	default:
		err = errors.New("command has no case in apply")
	}
	if err != nil { // it was not applied, and must not look as if it were
		b.state = before
	}
	if err != nil || !res.Applied {
		b.kv.Reject()
		return res, err
	}
	b.kv.Accept()
	return res, nil
}

func (b *batch) write(msg *fsmpb.Write, res *Result) error {
	op, err := opFromProto(msg.GetOp())
	if err != nil {
		return err
	}
	out := b.kv.Do(op, noSessions)
	res.Applied = out.Applied
	if out.Invalid {
		res.Invalid = out.Why
	}
	return nil
}

func (b *batch) transaction(msg *fsmpb.Txn, res *Result) error {
	ops := make([]kvs.Op, len(msg.GetOps()))
	for i, o := range msg.GetOps() {
		op, err := opFromProto(o)
		if err != nil {
			return err
		}
		ops[i] = op
	}
	res.Shown, res.Errors = doAll(b.kv, ops)
	res.Applied = len(res.Errors) == 0
	return nil
}

// doAll performs operations in order. It goes on after a refusal, so that every
// refused one is reported; what was shown counts only when there is none.
func doAll(tx *kvs.Tx, ops []kvs.Op) (shown []kvs.Shown, refused []TxnError) {
	for i, op := range ops {
		out := tx.Do(op, noSessions)
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
	tx.Command(0, 0, kvs.Origin{})
	return doAll(tx, ops)
}

// noSessions is the session table of a state that has none yet: no id lives.
func noSessions(id string) (string, bool) { return id, false }

// commit publishes what was applied, then wakes those who wait for it.
func (b *batch) commit() {
	if !b.changed {
		return
	}
	txn := b.base.db.Txn(true)
	b.kv.Flush(txn)
	txn.Commit()
	b.store.publish(b.base.db, b.state, b.base.Generation)
	b.store.hub.Notify(b.kv.Changed())
}
