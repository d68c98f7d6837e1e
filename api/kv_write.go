package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Put writes value to key, whatever is there.
func (kv KV) Put(ctx context.Context, key string, value []byte, opts ...WriteOption) (WriteResult, error) {
	res, err := kv.write(ctx, change{verb: VerbSet, key: key, value: value}, opts)
	if err != nil {
		return res, fmt.Errorf("put key %q: %w", key, err)
	}
	return res, nil
}

// PutReader writes what body holds to key. The size in bytes lets the server
// refuse a value that is too large before it is sent; -1 when it is not known.
// A key that no path can carry is refused with ErrKey: use Put for it.
func (kv KV) PutReader(ctx context.Context, key string, body io.Reader, size int64, opts ...WriteOption) (WriteResult, error) {
	err := checkKey(key)
	if err == nil {
		err = onlyPath(key, "a streamed write")
	}
	if err != nil {
		return WriteResult{}, fmt.Errorf("put key %q: %w", key, err)
	}
	r := keyRequest(http.MethodPut, key).writes(opts)
	r.body, r.size = body, size
	res, err := kv.applied(ctx, r)
	if err != nil {
		return res, fmt.Errorf("put key %q: %w", key, err)
	}
	return res, nil
}

// CAS writes value to key if its ModifyIndex is index; index 0 means that the key
// must not exist. Applied is false when that is not so, and nothing is changed.
func (kv KV) CAS(ctx context.Context, key string, value []byte, index uint64, opts ...WriteOption) (WriteResult, error) {
	res, err := kv.write(ctx, change{verb: VerbCAS, key: key, value: value, index: index}, opts)
	if err != nil {
		return res, fmt.Errorf("check-and-set key %q at index %d: %w", key, index, err)
	}
	return res, nil
}

// Acquire locks key for a session and writes value. Applied is false when another
// session holds it, or when it may not be locked again yet.
func (kv KV) Acquire(ctx context.Context, key string, value []byte, session string, opts ...WriteOption) (WriteResult, error) {
	res, err := kv.write(ctx, change{verb: VerbLock, key: key, value: value, session: session}, opts)
	if err != nil {
		return res, fmt.Errorf("acquire key %q: %w", key, err)
	}
	return res, nil
}

// Release unlocks key and writes value, which replaces what the key held. Applied
// is false when the session does not hold it.
func (kv KV) Release(ctx context.Context, key string, value []byte, session string, opts ...WriteOption) (WriteResult, error) {
	res, err := kv.write(ctx, change{verb: VerbUnlock, key: key, value: value, session: session}, opts)
	if err != nil {
		return res, fmt.Errorf("release key %q: %w", key, err)
	}
	return res, nil
}

// Delete removes key. Removing a key that does not exist is no error.
func (kv KV) Delete(ctx context.Context, key string, opts ...WriteOption) (WriteResult, error) {
	res, err := kv.write(ctx, change{verb: VerbDelete, key: key}, opts)
	if err != nil {
		return res, fmt.Errorf("delete key %q: %w", key, err)
	}
	return res, nil
}

// DeleteCAS removes key if its ModifyIndex is index. Applied is false when it is
// another; a key that does not exist counts as removed.
func (kv KV) DeleteCAS(ctx context.Context, key string, index uint64, opts ...WriteOption) (WriteResult, error) {
	res, err := kv.write(ctx, change{verb: VerbDeleteCAS, key: key, index: index}, opts)
	if err != nil {
		return res, fmt.Errorf("delete key %q at index %d: %w", key, index, err)
	}
	return res, nil
}

// DeleteTree removes every key that starts with prefix, in one step. With "" it
// empties the store.
func (kv KV) DeleteTree(ctx context.Context, prefix string, opts ...WriteOption) (WriteResult, error) {
	res, err := kv.write(ctx, change{verb: VerbDeleteTree, key: prefix}, opts)
	if err != nil {
		return res, fmt.Errorf("delete keys under %q: %w", prefix, err)
	}
	return res, nil
}

// change is one write before it is decided how it is sent.
type change struct {
	verb    Verb
	key     string
	value   []byte
	index   uint64 // of cas and delete-cas
	session string // of lock and unlock
}

// write sends ch by path, or as a transaction when no path can carry its key.
func (kv KV) write(ctx context.Context, ch change, opts []WriteOption) (WriteResult, error) {
	if ch.verb != VerbDeleteTree {
		if err := checkKey(ch.key); err != nil {
			return WriteResult{}, err
		}
	}
	if !fitsPath(ch.key) {
		return kv.writeByTxn(ctx, ch, opts)
	}
	return kv.applied(ctx, ch.request().writes(opts))
}

// request is ch as the server's key/value endpoint takes it.
func (ch change) request() *request {
	method := http.MethodPut
	switch ch.verb {
	case VerbDelete, VerbDeleteCAS, VerbDeleteTree:
		method = http.MethodDelete
	}
	r := keyRequest(method, ch.key)
	if method == http.MethodPut {
		r.body, r.size = bytes.NewReader(ch.value), int64(len(ch.value))
	}
	switch ch.verb {
	case VerbCAS, VerbDeleteCAS:
		r.setUint("cas", ch.index)
	case VerbLock:
		r.set("acquire", ch.session)
	case VerbUnlock:
		r.set("release", ch.session)
	case VerbDeleteTree:
		r.set("recurse", "")
	}
	return r
}

// applied sends a write whose answer is true or false.
func (kv KV) applied(ctx context.Context, r *request) (WriteResult, error) {
	res, err := kv.c.call(ctx, r)
	if err != nil {
		return WriteResult{}, err
	}
	result := WriteResult{Index: indexOf(res.Header)}
	return result, kv.c.decode(res, &result.Applied)
}

// indexOf reads the index of a write; 0 when there is none.
func indexOf(h http.Header) uint64 {
	index, err := strconv.ParseUint(h.Get(headerIndex), 10, 64)
	if err != nil {
		return 0
	}
	return index
}
