package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
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

// PutSequential writes value to a new key, whose name is dir followed by the next
// number of that directory, without a gap and with at least width digits (0 = 10).
// dir ends with a slash. The name is [WriteResult.Key]; numbers sort as they were
// given as long as they have the same length. Only Holdfast servers know it.
func (kv KV) PutSequential(ctx context.Context, dir string, width int, value []byte, opts ...WriteOption) (WriteResult, error) {
	res, err := kv.putSequential(ctx, dir, width, value, opts)
	if err != nil {
		return res, fmt.Errorf("put next key of %q: %w", dir, err)
	}
	return res, nil
}

func (kv KV) putSequential(ctx context.Context, dir string, width int, value []byte, opts []WriteOption) (WriteResult, error) {
	if !strings.HasSuffix(dir, "/") {
		return WriteResult{}, &KeyError{Key: dir, Why: "a directory ends with a slash"}
	}
	if err := onlyPath(dir, "a sequential write"); err != nil {
		return WriteResult{}, err
	}
	r := change{verb: VerbSet, key: dir, value: value}.request().writes(opts).set("sequential", "")
	if width > 0 {
		r.set("width", strconv.Itoa(width))
	}
	res, err := kv.applied(ctx, r)
	if err == nil && res.Key == "" {
		err = errors.New("server does not know sequential keys, and wrote the directory itself")
	}
	return res, err
}

// Touch begins the time of a key with a [TTL] anew, without writing it: nothing
// changes and nobody is woken. Applied is false when the key does not exist. Only
// Holdfast servers know it; others empty the key.
func (kv KV) Touch(ctx context.Context, key string, opts ...WriteOption) (WriteResult, error) {
	return kv.retie(ctx, "touch", key, opts)
}

// Persist takes a key from the session it is [Ephemeral] with and from its [TTL], so
// that it stays until it is deleted. Applied is false when the key does not exist.
// Only Holdfast servers know it; others empty the key.
func (kv KV) Persist(ctx context.Context, key string, opts ...WriteOption) (WriteResult, error) {
	return kv.retie(ctx, "persist", key, opts)
}

// retie changes what a key ends with, not the key.
func (kv KV) retie(ctx context.Context, what, key string, opts []WriteOption) (WriteResult, error) {
	err := checkKey(key)
	if err == nil {
		err = onlyPath(key, what)
	}
	var res WriteResult
	if err == nil {
		res, err = kv.applied(ctx, keyRequest(http.MethodPut, key).writes(opts).set(what, ""))
	}
	if err != nil {
		return res, fmt.Errorf("%s key %q: %w", what, key, err)
	}
	return res, nil
}

// Acquire locks key for a session and writes value. Applied is false when another
// session holds it, or when it may not be locked again yet; [Explain] says which.
// When it is true, [WriteResult.Fence] is what later writes can prove with [Fence].
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

// applied sends a write whose answer is true or false, the name of the key that was
// made, or why the lock was refused.
func (kv KV) applied(ctx context.Context, r *request) (WriteResult, error) {
	res, err := kv.c.call(ctx, r, http.StatusConflict)
	if err != nil {
		return WriteResult{}, err
	}
	result := WriteResult{Index: indexOf(res.Header)}
	if res.StatusCode == http.StatusConflict {
		defer closeBody(res)
		return result, fencedError(res)
	}
	result.Fence, _ = strconv.ParseUint(res.Header.Get(headerFence), 10, 64) // 0 when it is not there
	var said json.RawMessage
	if err := kv.c.decode(res, &said); err != nil {
		return result, err
	}
	if err := result.read(said); err != nil {
		return result, fmt.Errorf("read answer: %w", err)
	}
	return result, nil
}

// read takes in the JSON value of an answer.
func (res *WriteResult) read(said json.RawMessage) error {
	switch said[0] {
	case '"':
		res.Applied = true
		return json.Unmarshal(said, &res.Key)
	case '{':
		var refusal lockRefusal
		if err := json.Unmarshal(said, &refusal); err != nil {
			return err
		}
		res.Refused = refusal.refusal()
		return nil
	}
	return json.Unmarshal(said, &res.Applied)
}

// indexOf reads the index of a write; 0 when there is none.
func indexOf(h http.Header) uint64 {
	index, err := strconv.ParseUint(h.Get(headerIndex), 10, 64)
	if err != nil {
		return 0
	}
	return index
}
