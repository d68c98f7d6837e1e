package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// A ChangeOp says what a change did to a key.
type ChangeOp string

// Operations in a history.
const (
	OpSet    ChangeOp = "set"    // the value or the flags were written
	OpDelete ChangeOp = "delete" // the key was removed by a client
	OpExpire ChangeOp = "expire" // the key was removed with the session that held it
	OpLock   ChangeOp = "lock"   // the key was acquired
	OpUnlock ChangeOp = "unlock" // the key was released
)

// A Change is one line of a key's history.
type Change struct {
	Index       uint64    // position in the log; the ModifyIndex the key had from then on
	Time        time.Time // when the write was proposed
	Op          ChangeOp
	Accessor    string // accessor id of the token that did it, never the secret; "" without ACLs
	Address     string // where the write came from
	Reason      string // as in [Reason]
	Size        int    // of the value, in bytes
	Flags       uint64
	Session     string `json:",omitempty"` // holder from then on; "" when nobody
	LockIndex   uint64 // as in [Entry], from then on
	Value       []byte // nil when empty, and for removals
	CreateIndex uint64 // index of the write that created this incarnation
}

// errNoHistory is what a server of another product shows itself by.
var errNoHistory = errors.New("the server keeps no history: it answered with the present state")

// History reads what happened to key, newest first, at most limit changes; 0 =
// everything that is still kept. ErrNotFound when nothing is known of the key.
// Only Holdfast servers know it.
func (kv KV) History(ctx context.Context, key string, limit int, opts ...ReadOption) ([]Change, Meta, error) {
	err := checkKey(key)
	if err == nil {
		err = onlyPath(key, "its history")
	}
	if err != nil {
		return nil, Meta{}, fmt.Errorf("read history of key %q: %w", key, err)
	}
	r := keyRequest(http.MethodGet, key).reads(opts)
	r.set("history", "")
	if limit > 0 {
		r.set("history", strconv.Itoa(limit))
	}
	var changes []Change
	meta, err := kv.read(ctx, r, &changes)
	if err == nil && len(changes) > 0 && changes[0].Op == "" {
		err = errNoHistory
	}
	if err != nil {
		return nil, meta, fmt.Errorf("read history of key %q: %w", key, err)
	}
	return changes, meta, nil
}
