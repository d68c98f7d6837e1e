package httpapi

import (
	"fmt"
	"slices"
	"strconv"

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
	if refused == nil {
		for i := range ops {
			if ops[i].Verb == kvs.DeleteTree && ops[i].Key == "" && c.s.settings.Load().KeepRoot {
				refused = append(refused, fsm.TxnError{OpIndex: i, What: "deleting every key at once is switched off on this server (disable_root_recursive_delete)"})
			}
		}
	}
	if refused == nil {
		var err error
		if res, err = c.propose(&fsm.Command{Txn: ops}); err != nil {
			return err
		}
		refused = res.Errors
		setIndex(c.w.Header(), res.Index)
	}
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = append(appendOutcome(*buf, res.Shown, refused), '}')
	c.txnAnswer(*buf, refused)
	return nil
}

// readTxn answers a transaction without a write from the local state.
func (c *call) readTxn(ops []kvs.Op, refused []fsm.TxnError) error {
	return c.answerReadTxn(func(v *fsm.View, b []byte) ([]byte, []fsm.TxnError, error) {
		var shown []kvs.Shown
		refused := refused
		if refused == nil {
			shown, refused = v.ReadTxn(ops)
		}
		return appendOutcome(b, shown, refused), refused, nil
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
	b = append(b, `,"Index":`...)
	b = strconv.AppendUint(b, index, 10)
	b = append(b, `,"LastContact":`...)
	b = strconv.AppendInt(b, int64(contact.LastContact), 10)
	b = append(b, `,"KnownLeader":`...)
	b = strconv.AppendBool(b, contact.KnownLeader)
	*buf = append(b, `,"ConsistencyLevel":"","NotModified":false,"Backend":0,"ResultsFilteredByACLs":false}`...)
	c.txnAnswer(*buf, refused)
	return nil
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
