package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// body reads the request body, of at most most bytes as they arrive, whatever
// was announced. setting names the configuration key of the bound.
//
// Source: contract, README, section 11, and "Where Holdfast should differ" 6.
func (c *call) body(most int64, setting string) ([]byte, error) {
	return c.bodyInto(nil, most, setting)
}

// bodyInto is body with room for what was announced, which may be too little.
func (c *call) bodyInto(room []byte, most int64, setting string) ([]byte, error) {
	n := c.r.ContentLength
	if n == 0 {
		return nil, nil
	}
	r := &c.sent
	*r = steadyReader{r: c.r.Body, deadline: *http.NewResponseController(c.w), pause: c.s.settings.Load().BodyTimeout}
	if n > most {
		if c.r.Header.Get("Expect") == "" { // who asked first does not send
			c.refused = r
		}
		c.w.Header()["Connection"] = []string{"close"}
		return nil, tooLarge(fmt.Sprintf("Request body(%d bytes) too large, max size: %d bytes. See limits.%s.", n, most, setting))
	}
	if n > 0 {
		body := room
		if int64(cap(body)) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, bodyError(err)
		}
		r.disarm()
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, bodyError(err)
	}
	if int64(len(body)) > most {
		c.refused = r
		c.w.Header()["Connection"] = []string{"close"}
		return nil, tooLarge(fmt.Sprintf("Request body too large, max size: %d bytes. See limits.%s.", most, setting))
	}
	r.disarm()
	return body, nil
}

// mostDiscarded is how much of a body that is refused is read all the same: many
// clients read the answer only when they have sent everything, and one whose
// connection is closed meanwhile sees a reset instead of the answer. Whoever sends
// more than this is cut off.
const mostDiscarded = 16 << 20

// discard reads what is left of a refused body, once the answer is on its way. How
// that ends does not matter: the connection is closed after it.
func (c *call) discard() {
	if http.NewResponseController(c.w).Flush() == nil {
		_, _ = io.CopyN(io.Discard, c.refused, mostDiscarded)
	}
}

func bodyError(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return &statusError{http.StatusRequestTimeout, "Request body did not arrive in time"}
	}
	return badRequest("Request body ended early")
}

// steadyReader reads a request body from a client that must keep sending: each
// read has its own deadline. So a slow client cannot hold a connection for ever,
// and a large body on a slow link still arrives.
type steadyReader struct {
	r        io.Reader
	deadline http.ResponseController
	pause    time.Duration // longest pause between two reads; 0: any
	armed    bool

	mu   sync.Mutex
	over bool // it was interrupted; guarded by mu
}

func (s *steadyReader) Read(p []byte) (int, error) {
	if err := s.arm(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

func (s *steadyReader) arm() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return os.ErrDeadlineExceeded
	}
	if s.pause > 0 {
		// Not every ResponseWriter has deadlines; then there is no bound to set.
		s.armed = s.deadline.SetReadDeadline(time.Now().Add(s.pause)) == nil
	}
	return nil
}

// interrupt ends a read that is under way in another goroutine, and all further ones:
// nothing more of this body is wanted.
func (s *steadyReader) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	_ = s.deadline.SetReadDeadline(time.Now()) // without deadlines a read ends when the client goes on or goes
}

// disarm takes the deadline off the connection, which serves on. Only after the
// whole body was read: net/http waits for what is left of one that was not.
func (s *steadyReader) disarm() {
	if s.armed {
		_ = s.deadline.SetReadDeadline(time.Time{})
	}
}
