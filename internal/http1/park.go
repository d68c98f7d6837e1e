package http1

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// Parker is the ResponseWriter of a request that can wait without a goroutine.
//
// A handler that cannot answer yet calls Park and returns without having written
// anything. Ticket.Resume then has the handler called again for the same request, as if
// it had just come, with what was given to Park in Resumed. It may park again.
type Parker interface {
	http.ResponseWriter

	// Park lets the request wait. Resume of the ticket may be called at once, also before
	// the handler has returned.
	Park(w Waiting) Ticket

	// Resumed is what was given to Park when the request waited before; nil the first time.
	Resumed() Waiting

	// AnswerFrom answers the request with the answer to another one of the Share that was the
	// same byte for byte, and tells whether there was one: then the handler must write nothing. If
	// there was none, what the handler answers is offered to the Share. It is for requests that
	// were not resumed with a Share.
	AnswerFrom(share *Share) bool
}

// Waiting is what a handler keeps of a request that waits.
type Waiting interface {
	// Gone is called, once, when the client has left or the server closes the connection
	// while the request waits. After Resume it is called only if the client could not be
	// sent the answer of another request, instead of Shared. It must not block.
	Gone()

	// Shared is called when the request was answered with the answer to another request
	// of the same Share, without its handler being called: its status and length.
	Shared(status, bytes int)
}

// Ticket is one request that waits. Its methods are safe for any goroutine.
type Ticket interface {
	// Resume has a worker call the handler again. It tells whether the request was still
	// waiting: only one of Resume and Gone takes effect, once. share may be nil.
	//
	// The handler must not wait for anything but the CPU then, or park again.
	Resume(share *Share) bool
}

// Share lets requests that wait and are the same byte for byte have one answer, made
// once. Whoever resumes them says that they would all get the same: what is answered, by
// which rights, from which state.
type Share struct {
	last atomic.Pointer[answer] // that was put: most often there is only one

	mu      sync.Mutex
	answers map[string]*answer // by the head of the request; guarded by mu
	bytes   int                // of all of them; guarded by mu
}

// answer is one that was sent, byte for byte.
type answer struct {
	head   string // of the request
	raw    []byte
	status int
	bytes  int // of body
}
