package httpapi

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/http1"
	"github.com/holdfast-kv/holdfast/kvs"
)

// Whoever waits for a key and asks again may come when it has changed once more, and is answered
// at once. Where a thousand do so for a key that is written all the time it is half of them. They
// have mostly sent the same bytes, and get the answer that was made for one of them, if all is the
// same that it depends on beside these. Their rights are looked at one by one, as always.

// Bounds of these answers: they are for so many keys at a time, with values up to a size, and
// forgotten soon: what was sent has a token in it. With the bound of a Share that is 16 MiB at most.
const (
	lateAnswers    = 16
	lateValueBytes = 4 << 10
	lateKept       = 2 * time.Second
)

// latecomers keeps the answers of a moment.
type latecomers [lateAnswers]atomic.Pointer[lateAnswer]

// lateAnswer is the answer to a question about one key that somebody has asked who knew an earlier
// version of it.
type lateAnswer struct {
	depends
	share *http1.Share // nil until a second one asks
}

// depends is what the answer depends on, beside the bytes of the request.
type depends struct {
	of       *kvs.Version
	shape    shape
	restored uint64        // index of the last restore, which is in the tag
	leader   bool          // whether one is known
	contact  time.Duration // with it, in whole milliseconds
	settings *Settings
	second   int64 // in which the request came, in Unix time: the answer has a date
}

// answeredAsOthers answers a question about one key, of somebody who knew an earlier version of it,
// as that of another was answered. It tells whether it has.
func (c *call) answeredAsOthers(q *question, o readOptions, contact Contact, view *fsm.View) bool {
	if o.index == 0 || q.tree() || q.revision > 0 || c.parker == nil || c.waiting != nil || c.audit.kind != "" {
		return false
	}
	of, _ := view.Get(q.key)
	if of == nil || of.ModifyIndex <= o.index || len(of.Value) > lateValueBytes {
		return false
	}
	now := depends{
		of: of, shape: q.shape, restored: view.RestoredAt(), leader: contact.KnownLeader,
		contact: contact.LastContact.Truncate(time.Millisecond), settings: c.settings, second: c.start.Unix(),
	}
	place := &c.s.late[maphash.String(answerSeed, q.key)%lateAnswers]
	last := place.Load()
	switch {
	case last == nil || last.depends != now:
		place.Store(&lateAnswer{depends: now})
		return false
	case last.share == nil: // there may be more of them
		last = &lateAnswer{depends: now, share: new(http1.Share)}
		place.Store(last)
		time.AfterFunc(lateKept, func() { place.CompareAndSwap(last, nil) })
	}
	return c.parker.AnswerFrom(last.share)
}
