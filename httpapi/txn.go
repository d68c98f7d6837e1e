package httpapi

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// txn answers PUT /v1/txn.
//
// Source: contract, transactions.
func (c *call) txn() error {
	settings := c.s.settings.Load()
	body, err := c.body(max(settings.TxnBytes, settings.ValueBytes), "txn_max_req_len")
	if err != nil {
		return err
	}
	elements, n, err := parseTxn(body, settings.TxnOps)
	if err != nil {
		return badRequest("Failed to parse body: " + err.Error())
	}
	if n > settings.TxnOps {
		return tooLarge(fmt.Sprintf("Transaction contains too many operations (%d > %d)", n, settings.TxnOps))
	}
	if slices.ContainsFunc(elements, func(e txnElement) bool { return e.kind != "" }) {
		return c.mixedTxn(elements, settings)
	}
	ops, refused, err := checkTxn(elements, settings)
	if err != nil {
		return err
	}
	for i := range ops {
		if ops[i].Verb.Writes() && ops[i].Verb.Valid() {
			return c.writeTxn(ops, refused)
		}
	}
	return c.readTxn(ops, refused)
}

// txnElement is one parsed element of the list. An element without an operation
// is skipped, but counts towards the limit.
type txnElement struct {
	present bool
	verb    string
	op      kvs.Op

	// An operation on the catalog has a kind, and stands in row as it was sent.
	kind string
	row  []byte
}

// checkTxn turns elements into operations and finds those that cannot be done at
// all; if there are any, only they are reported.
func checkTxn(elements []txnElement, settings *Settings) (ops []kvs.Op, refused []fsm.TxnError, err error) {
	ops = make([]kvs.Op, 0, len(elements))
	for i := range elements {
		e := &elements[i]
		if !e.present {
			continue
		}
		if int64(len(e.op.Value)) > settings.ValueBytes {
			return nil, nil, tooLarge(fmt.Sprintf("Value for key %q is too large (%d > %d bytes)",
				e.op.Key, len(e.op.Value), settings.ValueBytes))
		}
		verb, known := kvs.ParseVerb(e.verb)
		switch {
		case !known:
			refused = append(refused, fsm.TxnError{OpIndex: len(ops), What: "unknown KV operation: " + e.verb})
		case e.op.Key == "" && verb != kvs.DeleteTree:
			refused = append(refused, fsm.TxnError{OpIndex: len(ops), What: "Must provide key"})
		}
		e.op.Verb = verb
		ops = append(ops, e.op)
	}
	return ops, refused, nil
}

func (c *call) writeTxn(ops []kvs.Op, refused []fsm.TxnError) error {
	var res fsm.Result
	refused, err := c.refuseOps(refused, len(ops), true, func(i int) error { return fsm.NeedOp(&ops[i], c.behavior, c.need) })
	if err != nil {
		return err
	}
	if refused == nil {
		for i := range ops {
			if ops[i].Verb == kvs.DeleteTree && ops[i].Key == "" && c.s.settings.Load().KeepRoot {
				refused = append(refused, fsm.TxnError{OpIndex: i, What: "deleting every key at once is switched off on this server (disable_root_recursive_delete)"})
			}
		}
	}
	if refused == nil {
		ops, at := hideMissing(c, ops, func(op *kvs.Op) *kvs.Op { return op })
		if res, err = c.propose(&fsm.Command{Txn: ops}); err != nil {
			return err
		}
		refused = atFirst(res.Errors, at)
		setIndex(c.w.Header(), res.Index)
	}
	res.Shown = c.keepShown(res.Shown)
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = append(appendOutcome(*buf, res.Shown, refused), '}')
	c.txnAnswer(*buf, refused)
	return nil
}

// readTxn answers a transaction without a write from the local state.
func (c *call) readTxn(ops []kvs.Op, refused []fsm.TxnError) error {
	if c.s.opts.Audit != nil {
		if err := c.auditReads(keyOps(ops)); err != nil {
			return err
		}
	}
	return c.answerReadTxn(func(v *fsm.View, b []byte) ([]byte, []fsm.TxnError, error) {
		refused, err := c.refuseOps(refused, len(ops), false, func(i int) error { return fsm.NeedOp(&ops[i], c.behavior, c.need) })
		if err != nil {
			return b, nil, err
		}
		var shown []kvs.Shown
		if refused == nil {
			ops, at := hideMissing(c, ops, func(op *kvs.Op) *kvs.Op { return op })
			shown, refused = v.ReadTxn(ops)
			refused = atFirst(refused, at)
		}
		return appendOutcome(b, c.keepShown(shown), refused), refused, nil
	})
}

// answerReadTxn answers a transaction without a write from the local state. outcome
// appends the members that every answer has.
func (c *call) answerReadTxn(outcome func(*fsm.View, []byte) ([]byte, []fsm.TxnError, error)) error {
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	contact, err := c.fresh(o)
	if err != nil {
		return err
	}
	view := c.s.node.Store().View()
	index := storeIndex(view)
	setContact(c.w.Header(), contact)
	buf := getBuffer()
	defer putBuffer(buf)
	b, refused, err := outcome(view, *buf)
	if err != nil {
		return err
	}
	if c.rights.refusedOps {
		index, contact = 0, Contact{} // nothing was asked
	}
	b = append(b, `,"Index":`...)
	b = strconv.AppendUint(b, index, 10)
	b = append(b, `,"LastContact":`...)
	b = strconv.AppendInt(b, int64(contact.LastContact), 10)
	b = append(b, `,"KnownLeader":`...)
	b = strconv.AppendBool(b, contact.KnownLeader)
	b = append(b, `,"ConsistencyLevel":"","NotModified":false,"Backend":0,"ResultsFilteredByACLs":`...)
	*buf = append(strconv.AppendBool(b, c.rights.cut && c.rights.explicit), '}')
	c.txnAnswer(*buf, refused)
	return nil
}

// refuseOps adds to what is wrong with the operations of a transaction those that are
// denied, in their order. An operation that is wrong by itself is not asked for rights.
//
// Source: contract, ACL enforcement, section 5.2.
func (c *call) refuseOps(refused []fsm.TxnError, n int, write bool, need func(i int) error) ([]fsm.TxnError, error) {
	if !c.guarded() {
		return refused, c.mayAnswer()
	}
	var all []fsm.TxnError
	var denied error // the first
	check := func() error {
		all, denied = refused[:len(refused):len(refused)], nil
		if err := c.known(); err != nil {
			return err
		}
		for i := range n {
			if slices.ContainsFunc(refused, func(e fsm.TxnError) bool { return e.OpIndex == i }) {
				continue
			}
			if err := need(i); err != nil {
				all = append(all, fsm.TxnError{OpIndex: i, What: err.Error()})
				if denied == nil {
					denied = err
				}
			}
		}
		return denied
	}
	err := c.decideTxn(write, check)
	if err != nil && denied == nil {
		return nil, err
	}
	if denied != nil {
		c.rights.refusedOps = true
		c.denied(denied)
	}
	slices.SortStableFunc(all, func(a, b fsm.TxnError) int { return a.OpIndex - b.OpIndex })
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// decideTxn looks at the rights of a transaction. One that only reads is answered from
// the state of this server, which is as fresh as was asked for.
func (c *call) decideTxn(write bool, check func() error) error {
	if write {
		return c.decide(check)
	}
	return check()
}

// hideMissing takes out of a transaction, with acl.hide_existence, the reads of keys that
// may not be read: they would be left out of the answer, or else make the transaction fail
// and so tell that there is no such key. at are the places of what stays; nil: all stay.
func hideMissing[T any](c *call, ops []T, keyOp func(*T) *kvs.Op) (kept []T, at []int) {
	if !c.guarded() || !c.s.settings.Load().HideExistence {
		return ops, nil
	}
	for i := range ops {
		op := keyOp(&ops[i])
		if op != nil && op.Verb == kvs.Get && !c.may(acl.ResourceKey, acl.AccessRead, op.Key) {
			c.rights.cut = true
			continue
		}
		kept, at = append(kept, ops[i]), append(at, i)
	}
	return kept, at
}

// atFirst gives errors the places that their operations had before some were taken out.
func atFirst(refused []fsm.TxnError, at []int) []fsm.TxnError {
	if at != nil {
		for i := range refused {
			refused[i].OpIndex = at[refused[i].OpIndex]
		}
	}
	return refused
}

// keepShown leaves out what may not be read. The list is the caller's.
func (c *call) keepShown(shown []kvs.Shown) []kvs.Shown {
	if !c.guarded() {
		return shown
	}
	return slices.DeleteFunc(shown, func(s kvs.Shown) bool {
		if c.may(acl.ResourceKey, acl.AccessRead, s.Entry.Key) {
			return false
		}
		c.rights.cut = true // said in the body, not in a header
		return true
	})
}

func (c *call) txnAnswer(body []byte, refused []fsm.TxnError) {
	if refused != nil {
		c.status = 409
	}
	c.json(body)
}

// appendOutcome appends the members that every answer has, without the brace at
// the end.
//
// Source: contract, transactions, section 3.
func appendOutcome(b []byte, shown []kvs.Shown, refused []fsm.TxnError) []byte {
	if refused != nil {
		b = append(b, `{"Results":null,"Errors":[`...)
		for i, e := range refused {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"OpIndex":`...)
			b = strconv.AppendInt(b, int64(e.OpIndex), 10)
			b = append(b, `,"What":`...)
			b = appendString(b, e.What)
			b = append(b, '}')
		}
		return append(b, ']')
	}
	b = append(b, `{"Results":[`...)
	for i, s := range shown {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"KV":`...)
		b = appendEntry(b, s.Entry, s.Value)
		b = append(b, '}')
	}
	return append(b, `],"Errors":null`...)
}
