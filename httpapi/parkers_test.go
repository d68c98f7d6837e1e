package httpapi

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"

	"github.com/holdfast-kv/holdfast/internal/http1"
)

// canPark says whether requests of tests are served by a ResponseWriter that can park them.
var canPark atomic.Bool

// serveTo serves a request in the way that canPark says, and returns when it is answered.
func serveTo(s http.Handler, w *httptest.ResponseRecorder, r *http.Request) {
	if !canPark.Load() || r.ContentLength != 0 { // as package http1 has it
		s.ServeHTTP(w, r)
		return
	}
	(&parkedRequest{s: s, w: w, r: r, head: headOf(r)}).serve()
}

// headOf is all of a request that an answer may depend on.
func headOf(r *http.Request) string {
	var b bytes.Buffer
	_ = r.Header.Write(&b) // it never fails
	return fmt.Sprint(r.Method, r.URL, b.String(), r.TLS)
}

// parkedRequest is a request that is served as package http1 does it: when it has parked its
// goroutine only stands for the connection.
type parkedRequest struct {
	s    http.Handler
	w    *httptest.ResponseRecorder
	r    *http.Request
	head string

	resumed http1.Waiting
}

func (p *parkedRequest) serve() {
	var share *http1.Share
	for {
		if shares.get(share, p) {
			return
		}
		clear(p.w.Header())
		x := &parker{ResponseRecorder: p.w, resumed: p.resumed, of: p, share: share}
		p.s.ServeHTTP(x, p.r)
		if x.ticket == nil {
			if !x.answered {
				shares.put(x.share, p)
			}
			return
		}
		select {
		case share = <-x.ticket.c:
		case <-p.r.Context().Done():
			if x.ticket.take() {
				x.ticket.waiting.Gone()
				p.w.WriteHeader(statusClientGone)
				return
			}
			share = <-x.ticket.c
		}
		p.resumed = x.ticket.waiting
	}
}

// parker is an http1.Parker.
type parker struct {
	*httptest.ResponseRecorder
	resumed  http1.Waiting
	ticket   *ticket
	of       *parkedRequest
	share    *http1.Share // that the answer is offered to; nil: to none
	answered bool         // from a Share
}

func (p *parker) Park(w http1.Waiting) http1.Ticket {
	if p.ticket != nil {
		panic("Park was called twice")
	}
	p.ticket = &ticket{waiting: w, c: make(chan *http1.Share, 1)}
	return p.ticket
}

func (p *parker) AnswerFrom(share *http1.Share) bool {
	p.share, p.answered = share, shares.send(share, p.of)
	return p.answered
}

func (p *parker) Resumed() http1.Waiting { return p.resumed }

type ticket struct {
	waiting http1.Waiting
	over    atomic.Bool
	c       chan *http1.Share
}

func (t *ticket) take() bool { return t.over.CompareAndSwap(false, true) }

func (t *ticket) Resume(share *http1.Share) bool {
	if !t.take() {
		return false
	}
	t.c <- share
	return true
}

// shares are the answers that others may have.
var shares = sharedAnswers{by: map[*http1.Share]map[string]*httptest.ResponseRecorder{}}

type sharedAnswers struct {
	shared atomic.Int64 // how often an answer was one to another request

	mu sync.Mutex
	by map[*http1.Share]map[string]*httptest.ResponseRecorder // guarded by mu
}

// get answers a request that was resumed with the answer to another.
func (x *sharedAnswers) get(share *http1.Share, p *parkedRequest) bool {
	if !x.send(share, p) {
		return false
	}
	p.resumed.Shared(p.w.Code, p.w.Body.Len())
	return true
}

// send answers a request with the answer to another.
func (x *sharedAnswers) send(share *http1.Share, p *parkedRequest) bool {
	x.mu.Lock()
	same := x.by[share][p.head]
	x.mu.Unlock()
	if same == nil {
		return false
	}
	clear(p.w.Header())
	maps.Copy(p.w.Header(), same.Header())
	p.w.WriteHeader(same.Code)
	_, _ = p.w.Write(same.Body.Bytes()) // it never fails
	x.shared.Add(1)
	return true
}

func (x *sharedAnswers) put(share *http1.Share, p *parkedRequest) {
	if share == nil || p.w.Code != http.StatusOK {
		return
	}
	made := httptest.NewRecorder()
	maps.Copy(made.Header(), p.w.Header())
	made.Code = p.w.Code
	_, _ = made.Body.Write(p.w.Body.Bytes()) // it never fails
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.by[share] == nil {
		x.by[share] = map[string]*httptest.ResponseRecorder{}
	}
	x.by[share][p.head] = made
}
