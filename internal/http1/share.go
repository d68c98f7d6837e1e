//go:build linux

package http1

import (
	"bytes"
	"net/http"
)

// Bounds of a Share.
const (
	maxShared      = 64 << 10 // bytes of an answer, head and all
	maxShareBytes  = 1 << 20  // of the answers and of the heads of their requests
	maxShareAnswer = 64       // different heads
)

// get finds the answer to a request with this head.
func (s *Share) get(text string) (*answer, bool) {
	if s == nil {
		return nil, false
	}
	if a := s.last.Load(); a != nil && a.head == text {
		return a, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.answers[text]
	return a, ok
}

// put keeps a copy of an answer.
func (s *Share) put(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) == maxShareAnswer || s.bytes+len(a.head)+len(a.raw) > maxShareBytes {
		return
	}
	if s.answers == nil {
		s.answers = map[string]*answer{}
	}
	if _, known := s.answers[a.head]; !known { // two lanes may have made it at a time
		a.raw = bytes.Clone(a.raw)
		s.answers[a.head] = &a
		s.last.Store(&a)
		s.bytes += len(a.head) + len(a.raw)
	}
}

// offerTo has the answer of t offered to a Share; nil: to none.
func (t *turn) offerTo(s *Share) {
	t.share, t.copyBelow = s, copyBelow
	if s != nil {
		t.copyBelow = maxShared // or a part of it would be sent before all of it is there
	}
}

// offer gives the answer of t to the others of its Share, if all of it is there and it says
// nothing of this connection.
func (t *turn) offer() {
	w := &t.res
	if t.share == nil || w.status != http.StatusOK || w.flushed || w.closing || len(w.out) > maxShared ||
		t.head.method == http.MethodGet && w.length >= 0 && w.length != w.sent {
		return
	}
	t.share.put(answer{head: t.text, raw: w.out, status: w.status, bytes: int(w.sent)})
}
