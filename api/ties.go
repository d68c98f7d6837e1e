package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// This file is about what a write can say beside its value: what the key ends with,
// and what the write depends on. Only Holdfast servers know these; others would
// ignore them in silence, so do not use them against a server you do not know.

// Ephemeral makes the key end with a session: when the session ends, for whatever
// reason, the key is deleted in the same step. A key can have one such session, a
// session any number of keys. Unlike [KV.Acquire] it excludes nobody: the last writer
// wins. A session that does not exist is refused.
func Ephemeral(session string) WriteOption {
	return writeOption(func(r *request) {
		if session == "" {
			r.err = errors.New("ephemeral needs the id of a session")
			return
		}
		r.set("ephemeral", session)
		r.txn = true
	})
}

// TTL makes the key end d from now, of at least a second, unless it is written or
// touched ([KV.Touch]) before: each begins the time anew.
func TTL(d time.Duration) WriteOption {
	return writeOption(func(r *request) {
		r.set("ttl", d.String())
		r.txn = true
	})
}

// Fence makes the server refuse the write with [ErrFenced] when the lock key was
// acquired by somebody else since the holder with number n (see [WriteResult.Fence]
// and [Hold.Fence]) acquired it. So a holder that was asleep while it lost the lock
// cannot write into the time of the next.
func Fence(key string, n uint64) WriteOption {
	return writeOption(func(r *request) {
		r.set("fence", key+":"+strconv.FormatUint(n, 10))
		r.txn = true
	})
}

// Explain makes [KV.Acquire] say why it was refused, in [WriteResult.Refused].
func Explain() WriteOption { return writeOption(func(r *request) { r.set("explain", "") }) }

// A Refusal is why a lock was refused. By the time it is read the reason may be over.
type Refusal struct {
	Holder *Holder // nil when nobody holds it, so that it is in its lock-delay

	// LockDelay is how long the lock may not be acquired by anybody, because the
	// session of a holder ended; 0 when that is not the reason.
	LockDelay time.Duration
}

// A Holder is who holds a lock. What the server does not tell is zero.
type Holder struct {
	Session string
	Name    string    // of the session
	Node    string    // of the session
	Since   time.Time // when it acquired the lock
	Fence   uint64    // its number
}

// String names the session, and what else is known of it.
func (h *Holder) String() string {
	var b strings.Builder
	b.WriteString("session " + h.Session)
	var more []string
	if h.Name != "" {
		more = append(more, strconv.Quote(h.Name))
	}
	if h.Node != "" {
		more = append(more, "on node "+h.Node)
	}
	if !h.Since.IsZero() {
		more = append(more, "since "+h.Since.Format(time.RFC3339))
	}
	if len(more) > 0 {
		b.WriteString(" (" + strings.Join(more, ", ") + ")")
	}
	return b.String()
}

// lockRefusal is a Refusal on the wire.
type lockRefusal struct {
	Holder        *Holder
	LockDelayLeft string
}

// refusal is r in our own terms; a delay that cannot be read counts as none.
func (r *lockRefusal) refusal() *Refusal {
	delay, err := time.ParseDuration(r.LockDelayLeft)
	if err != nil {
		delay = 0
	}
	return &Refusal{Holder: r.Holder, LockDelay: delay}
}

// fencedError is what a write gets whose fence is out of date.
func fencedError(res *http.Response) error {
	return fmt.Errorf("%w: %s", ErrFenced, statusError(res).Body)
}
