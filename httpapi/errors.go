package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/kvs"
)

// statusError is an error with the answer it must give.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

// badRequest is an answer 400.
func badRequest(text string) error { return &statusError{http.StatusBadRequest, text} }

// serverError is an answer 500 whose text the contract fixes.
func serverError(text string) error { return &statusError{http.StatusInternalServerError, text} }

// tooLarge is an answer 413.
func tooLarge(text string) error { return &statusError{http.StatusRequestEntityTooLarge, text} }

// tooManyError is an answer 429.
type tooManyError struct {
	cause cause
	text  string
	after time.Duration // that it says shall pass before the next attempt; 0: nothing is said
}

func (e *tooManyError) Error() string { return e.text }

func tooMany(why cause, text string) error { return &tooManyError{cause: why, text: text} }

var (
	errNoDatacenter = serverError("No path to datacenter")
	errMissingKey   = badRequest("Missing key name")

	// errClientGone ends a request whose client has left.
	errClientGone = errors.New("client is gone")
)

// statusClientGone is what servers commonly count such a request as; the protocol
// has no code for it.
const statusClientGone = 499

// statusOf is the only place where an error becomes a status code. What is not
// named here is our fault: 500.
func statusOf(err error) int {
	var status *statusError
	var pruned *kvs.PrunedError
	var denied *DeniedError
	switch {
	case errors.As(err, &status): // contract, README, section 9
		return status.status
	case errors.As(err, new(*tooManyError)): // the same
		return http.StatusTooManyRequests
	case isRefusal(err), errors.As(err, &denied): // contract, ACL enforcement, section 3
		return http.StatusForbidden
	case errors.Is(err, acl.ErrDisabled): // the same
		return http.StatusUnauthorized
	case errors.As(err, &pruned): // ours: what is no longer kept is gone for good
		return http.StatusGone
	}
	// ErrNoLeader, ErrNotReady, ErrUnknownOutcome and ReadOnlyError too: existing
	// clients retry on 500 and on nothing else.
	return http.StatusInternalServerError
}

// fail answers with an error.
func (c *call) fail(err error) {
	if errors.Is(err, errClientGone) || errors.Is(err, context.Canceled) && c.r.Context().Err() != nil {
		// It may have closed only the side on which it sends. To say nothing would
		// be to let net/http say 200.
		c.w.Header()["Connection"] = []string{"close"}
		c.text(statusClientGone, "Client closed its connection before the answer was ready")
		return
	}
	status := statusOf(err)
	text := err.Error()
	var known *statusError
	var readOnly *ReadOnlyError // told once, where it is found out, not for every write
	if status == http.StatusInternalServerError && !errors.As(err, &known) && !errors.As(err, &readOnly) &&
		!errors.Is(err, acl.ErrRoot) { // the client's mistake, whatever the wire calls it
		c.s.log.Warn("request failed", "method", c.r.Method, "route", c.route(), "error", err)
	}
	var pruned *kvs.PrunedError
	if errors.As(err, &pruned) {
		c.w.Header()["X-Holdfast-Oldest-Index"] = []string{strconv.FormatUint(pruned.Oldest, 10)}
	}
	var many *tooManyError
	if errors.As(err, &many) {
		c.s.refusals.tooMany[many.cause].Add(1)
		if many.after > 0 {
			seconds := (many.after + time.Second - 1) / time.Second
			c.w.Header()["Retry-After"] = []string{strconv.Itoa(int(seconds))}
		}
	}
	if status == http.StatusForbidden && c.guarded() && (isRefusal(err) || errors.As(err, new(*DeniedError))) {
		c.refuse(status, err)
		return
	}
	c.text(status, text)
}

// text answers with a sentence.
func (c *call) text(status int, text string) {
	h := c.w.Header()
	h["Content-Type"] = typeText
	h["X-Content-Type-Options"] = noSniff
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	c.status = status
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write([]byte(text)) // the client may be gone; there is nobody to tell
	}
}
