//go:build linux

package http1

import (
	"io"
	"net/http"
	"sync"
)

// maxDiscarded is how much of a body that nobody has read is read so that the connection
// can go on. It is net/http's.
const maxDiscarded = 256 << 10

// body is a request's body of known length. There is one for each request that has a body,
// never reused: a handler may have left a goroutine behind that still reads it.
type body struct {
	mu     sync.Mutex
	t      *turn
	closes bool  // the client wants the connection closed: nothing is worth reading for the next request
	left   int64 // not yet read; guarded by mu
	closed bool  // guarded by mu
	lost   int64 // what was left when the client ended its side; guarded by mu
	failed bool  // the connection broke or was too slow; guarded by mu
	early  bool  // closed with too much left; guarded by mu
}

// Read reads as net/http's bodies do: the end comes with the last bytes.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.readLocked(p)
}

func (b *body) readLocked(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.t.readBody(p)
	b.left -= int64(n)
	switch {
	case err == io.EOF && b.left > 0:
		b.lost, b.left, err = b.left, 0, io.ErrUnexpectedEOF // nothing more can come
	case err != nil && err != io.EOF:
		b.failed = true
	case b.left == 0 && n > 0:
		err = io.EOF
	}
	return n, err
}

// Close reads what is left, within bounds, so that the connection can go on.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	if b.left == 0 || b.closes {
		return nil
	}
	if b.left > maxDiscarded {
		b.early = true
		return nil
	}
	b.early = b.left == maxDiscarded // as net/http does, which reads it all the same
	return b.discardLocked()
}

func (b *body) discardLocked() error {
	if b.failed {
		return io.ErrUnexpectedEOF
	}
	_, err := io.Copy(io.Discard, bodyLocked{b})
	return err
}

// bodyLocked reads a body whose mutex is held.
type bodyLocked struct{ b *body }

func (l bodyLocked) Read(p []byte) (int, error) { return l.b.readLocked(p) }

// settle comes before the head of the answer is sent: many clients do not read before they
// have sent everything. It tells what net/http would do with the connection then.
func (b *body) settle() (tooBig, broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return false, b.left > 0
	case max(b.left, b.lost) >= maxDiscarded:
		return true, false
	}
	if err := b.discardLocked(); err != nil {
		return false, true
	}
	b.closed = true
	return false, false
}

// end closes the body for good when its request is over, and tells whether the
// connection is at the beginning of the next request.
func (b *body) end() (clean bool) {
	_ = b.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t = nil
	return b.left == 0 && !b.early
}
