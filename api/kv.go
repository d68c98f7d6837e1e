package api

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
)

// An Entry is a key with its value, as the server sends it. It belongs to the
// caller.
type Entry struct {
	// LockIndex counts how often the key has been acquired as a lock.
	LockIndex uint64

	// Key is the whole key. A byte that is not valid UTF-8 arrives as U+FFFD:
	// JSON cannot carry it, so such a key cannot be read back from a list.
	Key string

	Flags   uint64 // what the writer stored beside the value
	Value   []byte // nil when empty
	Session string `json:",omitempty"` // holder of the lock; "" when nobody holds it

	CreateIndex uint64 // index of the write that created this incarnation of the key
	ModifyIndex uint64 // index of the last write that changed it
}

// A WriteResult is what became of a write that the server took.
type WriteResult struct {
	// Applied is false when a condition was not met: the index of a CAS was
	// stale, a lock was held or in its delay. Without a condition it is true.
	Applied bool

	// Index is the position of the write in the log, for [MinIndex]; 0 when
	// the server does not tell (Consul does not).
	Index uint64

	// Key is the key that [KV.PutSequential] made; "" for other writes.
	Key string

	// Fence is, for a lock that was acquired, the number of its holder, for [Fence];
	// 0 when the server does not tell (Consul does not). It grows with every holder.
	Fence uint64

	// Refused says why a lock was refused, if [Explain] asked and the server knows.
	Refused *Refusal
}

// KV reads and writes keys. It is a view of a [Client]; copies are free.
//
// Every method fails with a [StatusError] for an answer that is none of those it
// documents, with a [ConnectionError] when there was no answer, with the error of
// the context when that ended, and with a [KeyError] for a key that cannot be sent.
type KV struct{ c *Client }

// KV gives access to keys.
func (c *Client) KV() KV { return KV{c} }

// Get reads one key. ErrNotFound when it does not exist; the Meta is valid then
// too, so that its Index can be waited for.
func (kv KV) Get(ctx context.Context, key string, opts ...ReadOption) (*Entry, Meta, error) {
	entry, meta, err := kv.get(ctx, key, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("get key %q: %w", key, err)
	}
	return entry, meta, nil
}

func (kv KV) get(ctx context.Context, key string, opts []ReadOption) (*Entry, Meta, error) {
	if err := checkKey(key); err != nil {
		return nil, Meta{}, err
	}
	r := keyRequest(http.MethodGet, key).reads(opts)
	if !fitsPath(key) {
		return kv.getByTxn(ctx, r, key)
	}
	var entries []*Entry
	meta, err := kv.read(ctx, r, &entries)
	if err != nil {
		return nil, meta, err
	}
	if len(entries) != 1 || entries[0] == nil {
		return nil, meta, fmt.Errorf("server answered %d entries for one key", len(entries))
	}
	if err := r.kept(entries); err != nil {
		return nil, meta, err
	}
	return entries[0], meta, nil
}

// Raw reads the value of one key as a stream, which the caller closes. ErrNotFound
// when it does not exist.
func (kv KV) Raw(ctx context.Context, key string, opts ...ReadOption) (io.ReadCloser, Meta, error) {
	body, meta, err := kv.raw(ctx, key, opts)
	if err != nil {
		return nil, meta, fmt.Errorf("get key %q: %w", key, err)
	}
	return body, meta, nil
}

func (kv KV) raw(ctx context.Context, key string, opts []ReadOption) (io.ReadCloser, Meta, error) {
	if err := checkKey(key); err != nil {
		return nil, Meta{}, err
	}
	r := keyRequest(http.MethodGet, key).reads(opts)
	if !fitsPath(key) {
		entry, meta, err := kv.getByTxn(ctx, r, key)
		if err != nil {
			return nil, meta, err
		}
		return readCloserOf(entry.Value), meta, nil
	}
	res, meta, err := kv.answer(ctx, r.set("raw", ""))
	if err != nil {
		return nil, meta, err
	}
	return res.Body, meta, nil
}

// List reads every key that starts with prefix, in byte order of the key; "" is
// the whole store. No match is an empty list and no error.
func (kv KV) List(ctx context.Context, prefix string, opts ...ReadOption) ([]*Entry, Meta, error) {
	r := keyRequest(http.MethodGet, prefix).reads(opts)
	var entries []*Entry
	var meta Meta
	var err error
	if fitsPath(prefix) {
		if meta, err = kv.read(ctx, r.set("recurse", ""), &entries); err == nil {
			err = r.kept(entries)
		}
	} else {
		entries, meta, err = kv.listByTxn(ctx, r, prefix)
	}
	if err != nil && !isNotFound(err) {
		return nil, meta, fmt.Errorf("list keys under %q: %w", prefix, err)
	}
	return entries, meta, nil
}

// Keys reads the names of the keys that start with prefix, in byte order. See
// [Separator] for folding them at a separator. No match is an empty list and no
// error.
func (kv KV) Keys(ctx context.Context, prefix string, opts ...ReadOption) ([]string, Meta, error) {
	r := keyRequest(http.MethodGet, prefix).reads(opts)
	var names []string
	var meta Meta
	var err error
	if fitsPath(prefix) {
		meta, err = kv.read(ctx, r.set("keys", ""), &names)
	} else {
		names, meta, err = kv.keysByTxn(ctx, r, prefix)
	}
	if err != nil && !isNotFound(err) {
		return nil, meta, fmt.Errorf("list key names under %q: %w", prefix, err)
	}
	return names, meta, nil
}

// All goes through every key that starts with prefix, pageSize at a time, so that
// neither side ever holds all of them. Unlike [KV.List] it is not one consistent
// picture: each page is read when it is reached. The error, if any, is the last
// thing yielded.
func (kv KV) All(ctx context.Context, prefix string, pageSize int, opts ...ReadOption) iter.Seq2[*Entry, error] {
	return pages(prefix, pageSize, opts, func(opts []ReadOption) ([]*Entry, Meta, error) {
		return kv.List(ctx, prefix, opts...)
	})
}

// AllKeys is All for the names alone.
func (kv KV) AllKeys(ctx context.Context, prefix string, pageSize int, opts ...ReadOption) iter.Seq2[string, error] {
	return pages(prefix, pageSize, opts, func(opts []ReadOption) ([]string, Meta, error) {
		return kv.Keys(ctx, prefix, opts...)
	})
}

// pages follows Meta.Next through the pages that read returns. A prefix that only a
// transaction can carry is read at once, since transactions know no pages.
func pages[T any](prefix string, size int, opts []ReadOption, read func([]ReadOption) ([]T, Meta, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		next := ""
		for {
			paged := opts[:len(opts):len(opts)]
			if fitsPath(prefix) {
				paged = append(paged, Limit(size))
			}
			if next != "" {
				paged = append(paged, After(next))
			}
			items, meta, err := read(paged)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if meta.Next == "" || meta.Next == next || len(items) == 0 {
				return
			}
			next = meta.Next
		}
	}
}

// read decodes the JSON of a read of the key/value store. ErrNotFound when the
// store says that there is nothing.
func (kv KV) read(ctx context.Context, r *request, v any) (Meta, error) {
	res, meta, err := kv.answer(ctx, r)
	if err != nil {
		return meta, err
	}
	return meta, kv.c.decode(res, v)
}

// answer sends a read of the key/value store and sorts out its statuses. A 404
// without an index is not the store's: a proxy or an unknown path sent it.
func (kv KV) answer(ctx context.Context, r *request) (*http.Response, Meta, error) {
	res, err := kv.c.call(ctx, r, http.StatusNotFound, http.StatusNotModified)
	if err != nil {
		return nil, Meta{}, err
	}
	meta := metaOf(res.Header)
	switch {
	case res.StatusCode == http.StatusOK:
		return res, meta, nil
	case res.StatusCode == http.StatusNotModified:
		err = ErrNotModified
	case res.Header.Get(headerIndex) != "":
		err = ErrNotFound
	default:
		err = statusError(res)
	}
	closeBody(res)
	return nil, meta, err
}
