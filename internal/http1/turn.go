//go:build linux

package http1

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// turn is what a connection needs while it is served, and gives back when it waits: the
// buffers, the request and the answer. All of it is reused, for another connection too, so a
// handler must not keep the request, its headers or the ResponseWriter after it has returned,
// nor change the headers of the request: see head.fields. Strings of them it may keep.
type turn struct {
	c    *conn
	head head
	text string // of the head
	body *body  // nil: the request has none
	res  response

	// req is the request; blank is what it is before it is filled: empty, with the context,
	// which cannot be set in another way.
	ctx   *requestContext
	req   *http.Request
	blank http.Request

	buf  [maxHeadBytes]byte
	r, w int // what was read and not used yet is buf[r:w]

	copyBelow int // see response.emit

	ticket  *ticket // what the handler got from Park; nil if it answers
	resumed Waiting // see Parker
	share   *Share  // to which the answer is offered; may be nil
	ready   []byte  // the whole answer, if it is that to another request; nil if not

	deadlines deadlines
}

var turns = sync.Pool{New: func() any {
	t := &turn{}
	t.head.header = make(http.Header, 8)
	return t
}}

// newTurn takes a turn for a connection.
func newTurn(c *conn) *turn {
	t := turns.Get().(*turn)
	t.c, t.r, t.w = c, 0, 0
	t.offerTo(nil)
	if t.ctx != nil {
		t.ctx.of(c)
	}
	return t
}

// release gives a turn back, if it is one.
func (t *turn) release() {
	if t == nil {
		return
	}
	t.c, t.body, t.text, t.ticket, t.resumed, t.share = nil, nil, "", nil, nil, nil
	if t.ctx != nil {
		t.ctx.of(nil)
	}
	turns.Put(t)
}

// buffered is how many bytes were read and not used yet.
func (t *turn) buffered() int { return t.w - t.r }

// take makes a head of the bytes that were read, if all of one is there.
func (t *turn) take() (s string, ok bool) {
	if t.c.posted && t.buffered() >= minHead {
		t.c.posted = false
		for range minHead { // some clients send the end of a line behind a form
			if b := t.buf[t.r]; b != '\r' && b != '\n' {
				break
			}
			t.r++
			t.c.skipped = true
		}
	}
	if t.head.begins(t.buf[t.r:t.w]) {
		s = t.head.text // which all who wait for the same thing share
	} else {
		i := bytes.Index(t.buf[t.r:t.w], []byte("\r\n\r\n"))
		if i < 0 {
			return "", false
		}
		s = string(t.buf[t.r : t.r+i+4])
	}
	t.r += len(s)
	t.c.skipped = false
	return s, true
}

// promises tells whether what was read may become a head that is read here. What cannot, such
// as the beginning of a TLS handshake, must not be waited for: net/http answers it at once.
func (t *turn) promises() bool {
	read := t.buf[t.r:t.w]
	if len(read) == 0 {
		return true
	}
	if class[read[0]]&isUpper == 0 {
		return false // no method begins so
	}
	i := bytes.IndexByte(read, '\n')
	return i < 0 || bytes.HasSuffix(read[:i], []byte(" HTTP/1.1\r"))
}

// room makes room behind what was read, and tells whether there is any.
func (t *turn) room() bool {
	if t.r > 0 {
		t.w = copy(t.buf[:], t.buf[t.r:t.w])
		t.r = 0
	}
	return t.w < len(t.buf)
}

// fill reads more; it may block.
func (t *turn) fill() error {
	n, err := t.c.io.Read(t.buf[t.w:])
	t.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// readBody reads what is sent behind the head, of which some may be there already.
func (t *turn) readBody(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if t.r < t.w {
		n := copy(p, t.buf[t.r:t.w])
		t.r += n
		return n, nil
	}
	return t.readConn(p)
}

// serve has the request whose head is text answered, and tells what comes next.
func (t *turn) serve(text string) outcome {
	t.text = text
	for {
		t.prepare()
		if !t.call() {
			return t.cutOff()
		}
		tk := t.ticket
		if tk == nil {
			return t.answer()
		}
		t.ticket = nil
		if t.res.status != 0 {
			tk.drop() // it has answered after all
			return t.answer()
		}
		t.over()
		if t.c.park(t, tk) {
			return parked
		}
		// It was resumed before the handler returned.
		t.resumed = tk.waiting
		t.offerTo(tk.share)
		if !t.head.parse(text) { // anew: the handler may have changed what came of it
			return ended
		}
	}
}

// prepare fills the request from the head.
func (t *turn) prepare() {
	if t.ctx == nil {
		t.ctx = &requestContext{c: t.c}
		t.blank = *(&http.Request{}).WithContext(t.ctx)
		t.req = &http.Request{} // somebody may look at the last one's context yet
	}
	r := t.req
	*r = t.blank
	h := &t.head
	r.Method, r.URL, r.Proto, r.ProtoMajor, r.ProtoMinor = h.method, &h.url, "HTTP/1.1", 1, 1
	r.Header, r.ContentLength, r.Close = h.header, h.length, h.close
	r.Host, r.RequestURI, r.RemoteAddr, r.TLS = h.host, h.target, t.c.remote, t.c.tls
	r.Body, t.body = http.NoBody, nil
	if h.length > 0 {
		t.body = &body{t: t, left: h.length, closes: h.close}
		r.Body = t.body
	}
	t.res.reset(t)
}

// call calls the handler, and tells whether it has returned rather than panicked.
func (t *turn) call() (returned bool) {
	defer func() {
		if returned {
			return
		}
		if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
			stack := make([]byte, 64<<10)
			stack = stack[:runtime.Stack(stack, false)]
			t.c.s.logf("http: panic serving %v: %v\n%s", t.c.remote, fault, stack)
		}
	}()
	if t.head.method != http.MethodGet && t.head.method != http.MethodHead {
		t.c.mayWait() // a write waits for the disk, or for other servers
	}
	var w http.ResponseWriter = &t.res
	if t.body == nil && t.c.canPark() {
		w = parker{&t.res}
	}
	t.c.s.std.Handler.ServeHTTP(w, t.req)
	return true
}

// answer sends the answer.
func (t *turn) answer() outcome {
	w := &t.res
	if t.ready != nil {
		w.werr = t.write(t.ready, nil)
	} else {
		w.finish()
		t.offer()
		w.flush(nil)
	}
	lingers := w.linger
	clean := true
	if t.body != nil {
		clean = t.body.end()
		lingers = lingers || t.body.early
	}
	if t.req.MultipartForm != nil {
		_ = t.req.MultipartForm.RemoveAll() // temporary files, which the system removes too
	}
	t.over()
	switch {
	case w.closing, w.werr != nil, !clean, !t.c.s.keepAlives(),
		w.length >= 0 && w.length != w.sent && t.head.method != http.MethodHead && bodyAllowed(w.status):
		if lingers {
			return lingering
		}
		return ended
	}
	return goesOn
}

// cutOff ends a request whose handler has panicked: the connection is closed in the middle of
// whatever was sent.
func (t *turn) cutOff() outcome {
	if t.ticket != nil {
		t.ticket.drop()
		t.ticket = nil
	}
	if len(t.res.out) > 0 && t.res.headSent {
		t.res.flush(nil) // as far as it was written
	}
	if t.body != nil {
		_ = t.body.end()
	}
	t.over()
	return ended
}

// over is the end of a request, or of its handler's part until it is resumed.
func (t *turn) over() {
	t.res.over()
	if t.ctx.end() {
		t.c.forget(t.ctx)
		t.ctx = nil
	}
	t.resumed, t.ready = nil, nil
	t.offerTo(nil)
	t.deadlines.clear(t.c)
}

// outcome is what comes after a request.
type outcome uint8

const (
	goesOn    outcome = iota // the next request may come
	ended                    // the connection is to be closed
	lingering                // so is it, once the client has read the answer
	parked                   // the request waits
)

// write writes an answer, or a part of it.
func (t *turn) write(head, rest []byte) error {
	if lane := t.c.onLane(); lane || t.c.owned.Load() {
		var done bool
		if head, rest, done = t.c.tryWrite(head, rest); done {
			return nil
		}
		if !lane {
			return t.writeConn(head, rest)
		}
		// The client is slow. Others must not wait for it.
		t.c.mayWait()
		t.deadlines.bound(slowWrite)
	}
	return t.writeConn(head, rest)
}

// slowWrite is how long a client may take to read an answer that a lane could not write at once, if
// the handler has not set a deadline.
const slowWrite = 2 * time.Minute

// deadlines are those that a handler sets. They reach the connection only when it is read or
// written: a request that came in one piece, with its body, never needs them.
type deadlines struct {
	mu          sync.Mutex
	read, write deadline // guarded by mu
}

type deadline struct {
	at   time.Time
	set  bool // the connection has one
	busy bool // the connection is being read or written
}

func (t *turn) setReadDeadline(at time.Time) error {
	d := &t.deadlines
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read.change(at, func(at time.Time) error { return t.c.io.SetReadDeadline(at) })
}

func (t *turn) setWriteDeadline(at time.Time) error {
	d := &t.deadlines
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write.change(at, func(at time.Time) error { return t.c.io.SetWriteDeadline(at) })
}

// change sets a deadline. apply is called only while the connection is in use for it: until
// then it may be another one yet, see giveBack.
func (d *deadline) change(at time.Time, apply func(time.Time) error) error {
	d.at = at
	if !d.busy {
		return nil
	}
	d.set = true
	return apply(at)
}

// readConn reads from the connection, within the deadline.
func (t *turn) readConn(p []byte) (int, error) {
	t.c.mayWait()
	t.c.giveBack()
	d := &t.deadlines
	d.begin(&d.read, t.c.io.SetReadDeadline)
	defer d.end(&d.read)
	return t.c.io.Read(p)
}

// writeConn writes to the connection, within the deadline.
func (t *turn) writeConn(head, rest []byte) error {
	t.c.giveBack()
	d := &t.deadlines
	d.begin(&d.write, t.c.io.SetWriteDeadline)
	defer d.end(&d.write)
	return t.c.writeAll(head, rest)
}

func (d *deadlines) begin(which *deadline, apply func(time.Time) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	which.busy = true
	if which.set || !which.at.IsZero() {
		which.set = !which.at.IsZero()
		_ = apply(which.at) // if the connection is closed, what follows says so
	}
}

func (d *deadlines) end(which *deadline) {
	d.mu.Lock()
	defer d.mu.Unlock()
	which.busy = false
}

// bound sets a deadline for writing where the handler has not.
func (d *deadlines) bound(within time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.write.at.IsZero() {
		d.write.at = time.Now().Add(within)
	}
}

// clear takes the deadlines off the connection.
func (d *deadlines) clear(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.read.set {
		_ = c.io.SetReadDeadline(time.Time{}) // if it is closed, the next read says so
	}
	if d.write.set {
		_ = c.io.SetWriteDeadline(time.Time{})
	}
	d.read, d.write = deadline{}, deadline{}
}
