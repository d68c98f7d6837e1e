package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
)

// This file does by transaction what KV does by path, for keys with characters
// that a server refuses in a path.

// Texts of refused transactions, which the contract fixes. A condition that was
// not met and, say, a session that does not exist have the same status, and only
// the first is a result.
var notApplied = map[Verb][]string{
	VerbCAS:       {"index is stale"},
	VerbDeleteCAS: {"index is stale"},
	VerbLock:      {"lock is already held", "due to lock delay"},
	VerbUnlock:    {"lock isn't held"},
}

// isNotFound is errors.Is for ErrNotFound.
func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// readCloserOf is a stream of bytes that are there already.
func readCloserOf(value []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(value)) }

// getByTxn is Get.
func (kv KV) getByTxn(ctx context.Context, r *request, key string) (*Entry, Meta, error) {
	entries, meta, err := kv.readByTxn(ctx, r, TxnOp{Verb: VerbGetOrEmpty, Key: key})
	switch {
	case err != nil:
		return nil, meta, err
	case len(entries) != 1 || entries[0].ModifyIndex == 0:
		return nil, meta, ErrNotFound
	}
	return entries[0], meta, nil
}

// listByTxn is List.
func (kv KV) listByTxn(ctx context.Context, r *request, prefix string) ([]*Entry, Meta, error) {
	return kv.readByTxn(ctx, r, TxnOp{Verb: VerbGetTree, Key: prefix})
}

// keysByTxn is Keys. It costs the transfer of the values, since transactions know
// no list of names.
func (kv KV) keysByTxn(ctx context.Context, r *request, prefix string) ([]string, Meta, error) {
	entries, meta, err := kv.listByTxn(ctx, r, prefix)
	var names []string
	separator := r.query.Get("separator")
	for _, e := range entries {
		name := fold(e.Key, prefix, separator)
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	return names, meta, err
}

// fold cuts key behind the first separator after prefix.
func fold(key, prefix, separator string) string {
	if separator == "" || len(key) < len(prefix) {
		return key
	}
	if i := strings.Index(key[len(prefix):], separator); i >= 0 {
		return key[:len(prefix)+i+len(separator)]
	}
	return key
}

// readByTxn sends one reading operation with the options of r.
func (kv KV) readByTxn(ctx context.Context, r *request, op TxnOp) ([]*Entry, Meta, error) {
	switch {
	case r.err != nil:
		return nil, Meta{}, r.err
	case r.txn:
		return nil, Meta{}, onlyPath(op.Key, "this kind of read")
	case !fitsJSON(op.Key):
		return nil, Meta{}, checkKey(op.Key)
	}
	res, meta, err := kv.c.txn(ctx, r.txnRequest(), []TxnOp{op})
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return nil, meta, err
	}
	return res.Entries, meta, nil
}

// writeByTxn sends one writing operation.
func (kv KV) writeByTxn(ctx context.Context, ch change, opts []WriteOption) (WriteResult, error) {
	if !fitsJSON(ch.key) {
		return WriteResult{}, checkKey(ch.key)
	}
	r := ch.request().writes(opts)
	switch {
	case r.err != nil:
		return WriteResult{}, r.err
	case r.txn:
		return WriteResult{}, onlyPath(ch.key, "this kind of write")
	}
	op := TxnOp{Verb: ch.verb, Key: ch.key, Value: ch.value, Index: ch.index, Session: ch.session}
	if flags := r.query.Get("flags"); flags != "" {
		var err error
		if op.Flags, err = strconv.ParseUint(flags, 10, 64); err != nil {
			return WriteResult{}, err
		}
	}
	res, _, err := kv.c.txn(ctx, r.txnRequest(), []TxnOp{op})
	if err != nil {
		return WriteResult{}, err
	}
	result := WriteResult{Applied: res.Applied, Index: res.Index}
	if res.Applied || lost(ch.verb, res.Failures) {
		return result, nil
	}
	return result, res.Err()
}

// lost says whether every failure is a condition of verb that was not met.
func lost(verb Verb, failures []TxnFailure) bool {
	for _, f := range failures {
		known := false
		for _, text := range notApplied[verb] {
			known = known || strings.Contains(f.What, text)
		}
		if !known {
			return false
		}
	}
	return len(failures) > 0
}

// txnRequest is a transaction that keeps those of r's settings that one has.
func (r *request) txnRequest() *request {
	t := newRequest("PUT", "/v1/txn")
	for _, name := range []string{"stale", "consistent", "min-index", "dc"} {
		if r.query.Has(name) {
			t.set(name, r.query.Get(name))
		}
	}
	t.header = r.header.Clone()
	return t
}
