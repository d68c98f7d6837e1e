package api

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Headers of the wire, in the spelling of the contract.
const (
	headerToken       = "X-Consul-Token"
	headerIndex       = "X-Consul-Index"
	headerKnownLeader = "X-Consul-KnownLeader"
	headerLastContact = "X-Consul-LastContact"
	headerNext        = "X-Holdfast-Next"         // ours: where the next page of a list starts
	headerReason      = "X-Holdfast-Reason"       // ours: why a write is done, kept in the history
	headerReload      = "X-Holdfast-Reload"       // ours: what a reload changed
	headerOldest      = "X-Holdfast-Oldest-Index" // ours: with 410, where the history begins
	headerFence       = "X-Holdfast-Fence"        // ours: the number of a lock's holder
	headerWarning     = "X-Holdfast-Warning"      // ours: what did not stop a request
	headerRequestID   = "X-Request-Id"
)

// request is one call before it becomes an http.Request.
type request struct {
	method  string
	path    string // decoded, from /v1/ on
	rawPath string // the same, escaped
	query   url.Values
	header  http.Header
	body    io.Reader // nil for none
	size    int64     // of body; -1 when it is not known

	txn      bool   // an option was used that a transaction cannot carry
	revision uint64 // that AtRevision asks for; 0 = now
	err      error  // an option that cannot be sent; reported by call

	// What a client may do to get r answered.
	repeatable bool          // a write that does no harm when it is done twice
	once       bool          // the caller tries again itself: one round is enough
	patience   time.Duration // that one server has to answer; 0 = the context alone decides
}

// newRequest makes a request for a fixed path such as "/v1/status/leader".
func newRequest(method, path string) *request {
	return &request{method: method, path: path, rawPath: path, query: url.Values{}, header: http.Header{}, size: -1}
}

// argRequest makes a request for a path that ends with an argument, such as a name.
func argRequest(method, prefix, arg string) *request {
	r := newRequest(method, prefix+arg)
	r.rawPath = prefix + escapeKey(arg)
	return r
}

// keyRequest makes a request for a key or prefix.
func keyRequest(method, key string) *request { return argRequest(method, "/v1/kv/", key) }

// set adds a parameter.
func (r *request) set(name, value string) *request {
	r.query.Set(name, value)
	return r
}

// setUint adds a number.
func (r *request) setUint(name string, n uint64) *request {
	return r.set(name, strconv.FormatUint(n, 10))
}

// A ReadOption changes one read.
type ReadOption interface{ applyRead(*request) }

// A WriteOption changes one write.
type WriteOption interface{ applyWrite(*request) }

// A TxnOption changes one transaction.
type TxnOption interface{ applyTxn(*request) }

// A ReadTxnOption changes one read, or one transaction that only reads;
// a transaction that writes ignores it.
type ReadTxnOption interface {
	ReadOption
	TxnOption
}

// A WriteTxnOption changes one write, or all writes of one transaction.
type WriteTxnOption interface {
	WriteOption
	TxnOption
}

// A CallOption changes any one call.
type CallOption interface {
	ReadOption
	WriteOption
	TxnOption
}

type callOption func(*request)

func (o callOption) applyRead(r *request)  { o(r) }
func (o callOption) applyWrite(r *request) { o(r) }
func (o callOption) applyTxn(r *request)   { o(r) }

type readOption func(*request)

func (o readOption) applyRead(r *request) { o(r) }

type readTxnOption func(*request)

func (o readTxnOption) applyRead(r *request) { o(r) }
func (o readTxnOption) applyTxn(r *request)  { o(r) }

type writeOption func(*request)

func (o writeOption) applyWrite(r *request) { o(r) }

type writeTxnOption func(*request)

func (o writeTxnOption) applyWrite(r *request) { o(r) }
func (o writeTxnOption) applyTxn(r *request)   { o(r) }

// kept checks that no entry is newer than the revision asked for, as it would be in
// the answer of a server that does not know revisions.
func (r *request) kept(entries []*Entry) error {
	for _, e := range entries {
		if r.revision > 0 && e != nil && e.ModifyIndex > r.revision {
			return errNoHistory
		}
	}
	return nil
}

// calls applies options that any call takes.
func (r *request) calls(opts []CallOption) *request {
	for _, o := range opts {
		o.applyRead(r)
	}
	return r
}

// reads applies the options of a read.
func (r *request) reads(opts []ReadOption) *request {
	for _, o := range opts {
		o.applyRead(r)
	}
	return r
}

// writes applies the options of a write.
func (r *request) writes(opts []WriteOption) *request {
	for _, o := range opts {
		o.applyWrite(r)
	}
	return r
}

// Token sends another token than the client's; "" sends none.
func Token(token string) CallOption {
	return callOption(func(r *request) { r.header.Set(headerToken, token) })
}

// Datacenter asks another datacenter.
func Datacenter(dc string) CallOption {
	return callOption(func(r *request) { r.set("dc", dc) })
}

// Stale lets any server answer from what it has, without asking the leader.
// [Meta.LastContact] says how old that may be. It also works while there is no
// leader.
func Stale() ReadTxnOption { return readTxnOption(func(r *request) { r.set("stale", "") }) }

// Consistent makes the leader confirm that it still leads before it answers.
func Consistent() ReadTxnOption { return readTxnOption(func(r *request) { r.set("consistent", "") }) }

// MinIndex makes any server answer only from a state that has reached index, as
// returned in [WriteResult.Index]: so a stale read sees the caller's own write.
// Only Holdfast servers know it; others ignore it.
func MinIndex(index uint64) ReadTxnOption {
	return readTxnOption(func(r *request) { r.setUint("min-index", index) })
}

// AtRevision reads the state as it was at index, which must be above 0. ErrPruned
// when the history does not go back that far. Only Holdfast servers know it; when
// another answers with something newer, Get and List fail.
func AtRevision(index uint64) ReadOption {
	return readOption(func(r *request) {
		r.setUint("revision", index)
		r.revision, r.txn = index, true
	})
}

// AtTime reads the state as it was at t. ErrPruned when the history does not go
// back that far. Only Holdfast servers know it; others answer with the present.
func AtTime(t time.Time) ReadOption {
	return readOption(func(r *request) {
		r.set("at", t.UTC().Format(time.RFC3339Nano))
		r.txn = true
	})
}

// IfNoneMatch makes the call fail with ErrNotModified when etag, a [Meta.ETag] of
// an earlier answer, is still current. Only Holdfast servers know it.
func IfNoneMatch(etag string) ReadOption {
	return readOption(func(r *request) {
		r.header.Set("If-None-Match", etag)
		r.txn = true
	})
}

// WaitIndex makes the call a long poll: it answers when the index of what is read
// is greater than index, or after wait (0 = the server's default of 5 minutes; the
// server adds up to a sixteenth). Whether something changed must be told from the
// answer. [Client.WatchKey] does all of this.
func WaitIndex(index uint64, wait time.Duration) ReadOption {
	return readOption(func(r *request) {
		r.setUint("index", index)
		if wait > 0 {
			r.set("wait", strconv.FormatInt(max(wait.Milliseconds(), 1), 10)+"ms")
		}
		r.txn = true
	})
}

// Separator folds the names of [KV.Keys]: each is cut behind the first separator
// after the prefix, and doubles are dropped.
func Separator(separator string) ReadOption {
	return readOption(func(r *request) { r.set("separator", separator) })
}

// Limit makes a list end after n entries; [Meta.Next] then says where to go on.
// Only Holdfast servers know it; others answer the whole list.
func Limit(n int) ReadOption {
	return readOption(func(r *request) {
		if n < 1 {
			r.err = fmt.Errorf("limit %d is not positive", n)
			return
		}
		r.set("limit", strconv.Itoa(n))
		r.txn = true
	})
}

// After makes a list start behind key, a [Meta.Next] of an earlier answer.
func After(key string) ReadOption {
	return readOption(func(r *request) {
		r.set("after", key)
		r.txn = true
	})
}

// Flags stores a number beside the value. A write without it stores 0.
func Flags(flags uint64) WriteOption {
	return writeOption(func(r *request) { r.setUint("flags", flags) })
}

// Reason is kept in the key's history beside the change. It must fit in a header:
// one line without control characters. Only Holdfast servers know it.
func Reason(reason string) WriteTxnOption {
	return writeTxnOption(func(r *request) {
		if strings.ContainsFunc(reason, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			r.err = fmt.Errorf("reason %q has control characters", reason)
			return
		}
		r.header.Set(headerReason, reason)
	})
}

// Meta is what the headers of a read say.
type Meta struct {
	// Index is what [WaitIndex] takes to wait for the next change; 0 when the
	// server sent none.
	Index uint64

	KnownLeader bool          // the answering server knew a leader
	LastContact time.Duration // since the answering server heard from the leader; 0 on the leader

	ETag string // for IfNoneMatch; "" when the server sent none
	Next string // for After; "" at the end of the list
}

// metaOf reads the headers of an answer. What is missing or malformed stays zero:
// other servers and proxies drop headers.
func metaOf(h http.Header) Meta {
	m := Meta{ETag: h.Get("ETag"), KnownLeader: h.Get(headerKnownLeader) == "true"}
	m.Index, _ = strconv.ParseUint(h.Get(headerIndex), 10, 64)
	if ms, err := strconv.ParseInt(h.Get(headerLastContact), 10, 64); err == nil && ms > 0 {
		m.LastContact = time.Duration(ms) * time.Millisecond
	}
	if next, err := url.QueryUnescape(h.Get(headerNext)); err == nil {
		m.Next = next
	}
	return m
}
