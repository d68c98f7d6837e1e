//go:build linux

package http1

import (
	"bytes"
	"time"
)

// parker is the ResponseWriter of a request that can be parked.
type parker struct{ *response }

// Park lets the request wait.
func (p parker) Park(w Waiting) Ticket {
	t := p.t
	if t.ticket != nil {
		panic("http1: Park was called twice")
	}
	t.ticket = &ticket{c: t.c, waiting: w}
	return t.ticket
}

// Resumed is what was given to Park when the request waited before.
func (p parker) Resumed() Waiting { return p.t.resumed }

// AnswerFrom answers the request as another one was, or has its answer offered.
func (p parker) AnswerFrom(share *Share) bool {
	t := p.t
	if same, ok := share.get(t.text); ok && t.res.status == 0 && !t.head.close && t.c.s.keepAlives() {
		t.ready, t.res.status = same.raw, same.status
		return true
	}
	t.offerTo(share)
	return false
}

// ticket is a parked request, also while its handler has not returned yet.
type ticket struct {
	c       *conn
	waiting Waiting
	share   *Share // guarded by conn.mu
	over    bool   // resumed or gone; guarded by conn.mu
}

// Resume has the handler called again.
func (k *ticket) Resume(share *Share) bool {
	c := k.c
	c.mu.Lock()
	if k.over {
		c.mu.Unlock()
		return false
	}
	k.over, k.share = true, share
	parked := c.ticket == k // if not, the handler has not returned yet
	if parked {
		c.state = active
	}
	c.mu.Unlock()
	if parked {
		c.s.ready.push(chain{c, c, 1})
	}
	return true
}

// drop ends a ticket of which nothing came.
func (k *ticket) drop() {
	k.c.mu.Lock()
	over := k.over
	k.over = true
	k.c.mu.Unlock()
	if !over {
		k.waiting.Gone()
	}
}

// park lets the request of t wait, whose handler has returned, and takes the turn back. It
// tells whether that was needed: the request may have been resumed already.
func (c *conn) park(t *turn, k *ticket) bool {
	c.mu.Lock()
	if k.over {
		c.mu.Unlock()
		return false
	}
	want := watchAll
	if c.tls != nil {
		want = watchHangUp // what can be read of the socket does not tell what there is to read
	}
	if c.state != closed {
		c.disownLocked()
	}
	if c.state == closed || c.gone || !c.watchLocked(want) {
		k.over = true
		c.mu.Unlock()
		t.release()
		c.close()
		k.waiting.Gone()
		return true
	}
	c.state, c.ticket, c.text = waiting, k, t.text
	c.parks = true
	if t.buffered() > 0 {
		c.rest = bytes.Clone(t.buf[t.r:t.w])
	}
	c.mu.Unlock()
	t.release()
	return true
}

// goOn serves a connection that was in the queue: whoever put it there has made it active.
func (c *conn) goOn() {
	c.inside = true
	c.mu.Lock()
	k, text, rest := c.ticket, c.text, c.rest
	c.ticket, c.text, c.rest = nil, "", nil
	var share *Share
	if k != nil {
		share = k.share
	}
	c.mu.Unlock()
	if k == nil { // it can be read
		c.run(nil)
		return
	}
	if same, ok := share.get(text); ok && c.s.keepAlives() {
		if !c.writeShared(same) {
			c.close()
			k.waiting.Gone()
			return
		}
		k.waiting.Shared(same.status, same.bytes)
		c.served = true
		var t *turn
		if len(rest) > 0 {
			t = newTurn(c)
			t.w = copy(t.buf[:], rest)
		}
		c.run(t)
		return
	}
	t := newTurn(c)
	t.w = copy(t.buf[:], rest)
	t.resumed = k.waiting
	t.offerTo(share)
	if !t.head.parse(text) { // it was parsed before
		t.release()
		c.close()
		return
	}
	if c.after(t, t.serve(text)) {
		c.run(t)
	}
}

// writeShared writes the answer to another request that was the same.
func (c *conn) writeShared(same *answer) bool {
	left, _, done := c.tryWrite(same.raw, nil)
	if done {
		return true
	}
	c.mayWait()
	c.giveBack()
	if c.io.SetWriteDeadline(time.Now().Add(slowWrite)) != nil || c.writeAll(left, nil) != nil {
		return false
	}
	return c.io.SetWriteDeadline(time.Time{}) == nil
}
