package fsm

import (
	"fmt"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// MixedOp is one operation of a transaction that touches the catalog too: one of the
// two is set.
type MixedOp struct {
	KV      *kvs.Op
	Catalog *catalog.Op
}

// MixedShown is one entry of its answer: one of the two is set.
type MixedShown struct {
	KV      *kvs.Shown
	Catalog *catalog.Shown
}

// mixed performs a transaction on keys and the catalog as one step.
func (b *batch) mixed(ops []MixedOp, res *Result) {
	before, born, dead := b.state, len(b.born), len(b.dead)
	if res.Errors = b.refusedMixed(ops); res.Errors == nil {
		res.Mixed, res.Errors = b.doMixed(ops, res)
	}
	if res.Errors != nil {
		// What the end of sessions has noted beside the tables is no part of Reject.
		b.state, b.born, b.dead = before, b.born[:born], b.dead[:dead]
		res.Applied, res.Ended = false, 0
		return
	}
	b.catalogChanged(res.Index)
	res.Mixed = b.readableMixed(res.Mixed)
}

// doMixed goes on after a refusal, so that every refused operation is reported.
func (b *batch) doMixed(ops []MixedOp, res *Result) (shown []MixedShown, refused []TxnError) {
	for i, op := range ops { // as in doAll
		if op.KV != nil && op.KV.Verb == kvs.Lock && b.kv.Delayed(op.KV.Key) {
			refused = append(refused, TxnError{OpIndex: i, What: fmt.Sprintf("failed to lock key %q due to lock delay", op.KV.Key)})
		}
	}
	if refused != nil {
		return nil, refused
	}
	for i, op := range ops {
		if op.KV != nil {
			out := b.kv.Do(*op.KV, b.session)
			if !out.Applied {
				refused = append(refused, TxnError{OpIndex: i, What: out.Why})
			}
			for _, s := range out.Shown {
				shown = append(shown, MixedShown{KV: &s})
			}
			continue
		}
		row, ended, why := b.catalog.Do(*op.Catalog)
		b.ended(ended, res)
		switch {
		case why != "":
			refused = append(refused, TxnError{OpIndex: i, What: why})
		case row != catalog.Shown{}:
			shown = append(shown, MixedShown{Catalog: &row})
		}
	}
	if refused != nil {
		return nil, refused
	}
	return shown, nil
}

// ReadMixed performs a transaction that only reads on this view.
func (v *View) ReadMixed(ops []MixedOp) (shown []MixedShown, refused []TxnError) {
	b := &batch{kv: kvs.Begin(v.View), sessions: session.Begin(v.txn), catalog: catalog.Begin(v.txn)}
	b.kv.Command(0, 0, kvs.Nobody)
	return b.doMixed(ops, &Result{})
}

func mixedToProto(ops []MixedOp) *fsmpb.MixedTxn {
	msg := &fsmpb.MixedTxn{}
	for _, op := range ops {
		if op.KV != nil {
			msg.Ops = append(msg.Ops, &fsmpb.MixedTxn_Op{Kv: opToProto(op.KV)})
			continue
		}
		m := &fsmpb.MixedTxn_Op{CatalogVerb: uint32(op.Catalog.Verb)}
		switch {
		case op.Catalog.Node != nil:
			m.Node = nodeToProto(op.Catalog.Node)
		case op.Catalog.Service != nil:
			m.Service = serviceToProto(op.Catalog.Service)
		case op.Catalog.Check != nil:
			m.Check = checkToProto(op.Catalog.Check)
		}
		msg.Ops = append(msg.Ops, m)
	}
	return msg
}

func mixedFromProto(msg *fsmpb.MixedTxn) ([]MixedOp, error) {
	ops := make([]MixedOp, 0, len(msg.GetOps()))
	for _, m := range msg.GetOps() {
		if m.GetKv() != nil {
			op, err := opFromProto(m.GetKv())
			if err != nil {
				return nil, err
			}
			ops = append(ops, MixedOp{KV: &op})
			continue
		}
		op := &catalog.Op{Verb: catalog.Verb(m.GetCatalogVerb())}
		switch {
		case m.GetCatalogVerb() > 255 || !op.Verb.Valid():
			return nil, fmt.Errorf("%w (catalog verb %d)", ErrUnknownCommand, m.GetCatalogVerb())
		case m.GetNode() != nil:
			op.Node = nodeFromProto(m.GetNode())
		case m.GetService() != nil:
			op.Service = serviceFromProto(m.GetService())
		case m.GetCheck() != nil:
			op.Check = checkFromProto(m.GetCheck())
		default:
			return nil, fmt.Errorf("%w (operation on nothing)", ErrUnknownCommand)
		}
		ops = append(ops, MixedOp{Catalog: op})
	}
	return ops, nil
}
