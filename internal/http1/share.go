//go:build linux

package http1

import (
	"bytes"
	"net/http"
	"strings"
)

// Bounds of a Share.
const (
	maxShared      = 64 << 10 // bytes of an answer, head and all
	maxShareBytes  = 1 << 20  // of the answers and of the heads of their requests
	maxShareAnswer = 64       // different questions
	maxQuestion    = 1 << 10  // bytes of a head without the fields that say who asks
)

// get finds the answer to a request with this head.
func (s *Share) get(text string) (*answer, bool) {
	if s == nil {
		return nil, false
	}
	if a := s.last.Load(); a != nil && a.head == text {
		return a, true
	}
	var room [maxQuestion]byte
	question, ok := s.question(room[:0], text)
	if !ok {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.answers[string(question)]
	return a, ok
}

// question appends a head without the fields that say who asks, if there is room for it.
func (s *Share) question(room []byte, head string) ([]byte, bool) {
	for rest := head; rest != ""; {
		line := rest
		if i := strings.IndexByte(rest, '\n'); i >= 0 {
			line = rest[:i+1]
		}
		rest = rest[len(line):]
		if s.saysWho(line) {
			continue
		}
		if len(room)+len(line) > cap(room) {
			return nil, false
		}
		room = append(room, line...)
	}
	return room, true
}

func (s *Share) saysWho(line string) bool {
	for _, name := range s.Whoever {
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(line[:len(name)], name) {
			return true
		}
	}
	return false
}

// put keeps a copy of an answer.
func (s *Share) put(a answer) {
	var room [maxQuestion]byte
	question, ok := s.question(room[:0], a.head)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) == maxShareAnswer || s.bytes+len(a.head)+len(a.raw) > maxShareBytes {
		return
	}
	if s.answers == nil {
		s.answers = map[string]*answer{}
	}
	if _, known := s.answers[string(question)]; !known { // two lanes may have made it at a time
		a.raw = bytes.Clone(a.raw)
		s.answers[string(question)] = &a
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
