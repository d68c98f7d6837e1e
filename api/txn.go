package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// A Verb says what an operation of a transaction does. The names are the wire's.
type Verb string

// Verbs of the operations on keys. "Fails" means that the whole transaction is
// rolled back.
const (
	VerbSet            Verb = "set"              // write
	VerbCAS            Verb = "cas"              // write if the ModifyIndex is Index, or if Index is 0 and the key is missing; else fails
	VerbLock           Verb = "lock"             // acquire for Session and write; fails if it is held or in its delay
	VerbUnlock         Verb = "unlock"           // release for Session and write; fails if Session does not hold it
	VerbGet            Verb = "get"              // read; fails if the key is missing
	VerbGetOrEmpty     Verb = "get-or-empty"     // read; a missing key gives an entry whose indexes are 0
	VerbGetTree        Verb = "get-tree"         // read every key with the prefix Key
	VerbCheckIndex     Verb = "check-index"      // fails unless the ModifyIndex is Index
	VerbCheckSession   Verb = "check-session"    // fails unless Session holds the key; "" = nobody does
	VerbCheckNotExists Verb = "check-not-exists" // fails if the key exists
	VerbCheckFence     Verb = "check-fence"      // fails if the lock Key has had another holder since the one with the number Index; only Holdfast servers know it
	VerbDelete         Verb = "delete"           // remove
	VerbDeleteTree     Verb = "delete-tree"      // remove every key with the prefix Key; "" empties the store
	VerbDeleteCAS      Verb = "delete-cas"       // remove if the ModifyIndex is Index; a missing key is fine; else fails
)

// MaxTxnOps is how many operations a server takes in one transaction unless it
// is configured otherwise.
const MaxTxnOps = 128

// A TxnOp is one operation on one key. Which fields count depends on the verb.
type TxnOp struct {
	Verb    Verb
	Key     string // must be valid UTF-8
	Value   []byte `json:",omitempty"`
	Flags   uint64 `json:",omitempty"`
	Index   uint64 `json:",omitempty"`
	Session string `json:",omitempty"`
}

// A TxnResult is what became of a transaction.
type TxnResult struct {
	// Applied is false when the transaction was rolled back: nothing changed,
	// and Failures says why.
	Applied bool

	// Entries are the results in the order of the operations. They do not line
	// up with them: deletes and check-not-exists give none, get-tree gives many.
	// Value is nil but for the reads.
	Entries []*Entry

	Failures []TxnFailure // nil when applied

	// Index is the position of the write in the log, for [MinIndex]; 0 when the
	// server does not tell or nothing was written.
	Index uint64
}

// A TxnFailure says which operation could not be done.
type TxnFailure struct {
	OpIndex int    // position of the operation, from 0
	What    string // the server's sentence
}

// A TxnError is a transaction that was rolled back, as an error.
type TxnError struct {
	Failures []TxnFailure
}

// Error lists what failed.
func (e *TxnError) Error() string {
	texts := make([]string, 0, len(e.Failures))
	for _, f := range e.Failures {
		texts = append(texts, fmt.Sprintf("operation %d: %s", f.OpIndex, f.What))
	}
	return "transaction rolled back: " + strings.Join(texts, "; ")
}

// Err is nil for a transaction that was applied and a [TxnError] for one that
// was rolled back, for callers to whom that is an error.
func (r *TxnResult) Err() error {
	if r.Applied {
		return nil
	}
	return &TxnError{Failures: r.Failures}
}

// Txn carries out ops in their order, all or nothing. Later operations see the
// effects of earlier ones, and all writes get the same index. A transaction
// without a write is a read.
//
// A rolled back transaction is a result: see [TxnResult.Applied]. ErrTooLarge when
// there are more operations or bytes than the server takes.
func (c *Client) Txn(ctx context.Context, ops []TxnOp, opts ...TxnOption) (*TxnResult, error) {
	r := newRequest(http.MethodPut, "/v1/txn")
	for _, o := range opts {
		o.applyTxn(r)
	}
	res, _, err := c.txn(ctx, r, ops)
	if err != nil {
		return nil, fmt.Errorf("transaction of %d operations: %w", len(ops), err)
	}
	return res, nil
}

// txnElement is an operation on the wire.
type txnElement struct{ KV *TxnOp }

// txnAnswer is the answer on the wire; a result of another kind than KV has none.
type txnAnswer struct {
	Results []struct{ KV *Entry }
	Errors  []TxnFailure
}

// txn sends ops with the settings of r.
func (c *Client) txn(ctx context.Context, r *request, ops []TxnOp) (*TxnResult, Meta, error) {
	elements := make([]txnElement, len(ops))
	for i := range ops {
		if !fitsJSON(ops[i].Key) {
			bad := &KeyError{Key: ops[i].Key, Why: "it has bytes that are not UTF-8, and a transaction is JSON"}
			return nil, Meta{}, fmt.Errorf("operation %d, key %q: %w", i, ops[i].Key, bad)
		}
		elements[i].KV = &ops[i]
	}
	body, err := json.Marshal(elements)
	if err != nil {
		return nil, Meta{}, err
	}
	r.body, r.size = bytes.NewReader(body), int64(len(body))
	res, err := c.call(ctx, r, http.StatusConflict)
	if err != nil {
		return nil, Meta{}, err
	}
	meta := metaOf(res.Header)
	result := &TxnResult{Applied: res.StatusCode == http.StatusOK, Index: meta.Index}
	var answer txnAnswer
	if err := c.decode(res, &answer); err != nil {
		return nil, meta, err
	}
	result.Failures = answer.Errors
	for _, one := range answer.Results {
		if one.KV != nil {
			result.Entries = append(result.Entries, one.KV)
		}
	}
	return result, meta, nil
}
