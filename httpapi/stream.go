package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxStreams bounds the log and metrics streams that are open together. Each log
// stream formats every line once more and may keep half a mebibyte.
const maxStreams = 32

// streamPatience is how long a client may take to read a part of a stream.
const streamPatience = 10 * time.Second

// stream is an answer without an end, sent in parts.
type stream struct {
	c      *call
	w      io.Writer
	packer *packer // nil when the client does not take gzip
	conn   *http.ResponseController
	from   time.Time
}

// stream begins an answer without an end. Its headers are sent at once. It is
// compressed from the first byte if the client takes that. It must be closed.
//
// Source: contract, README, section 10; agent, section 3.
func (c *call) stream(contentType string) (*stream, error) {
	if c.s.streams.Add(1) > maxStreams {
		c.s.streams.Add(-1)
		return nil, tooMany(causeStreams, "Too many log and metrics streams are open on this server, close one first")
	}
	s := &stream{c: c, w: c.w, conn: http.NewResponseController(c.w), from: time.Now()}
	h := c.w.Header()
	h["Content-Type"] = []string{contentType}
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	if takesGzip(c.r.Header) {
		h["Content-Encoding"] = gzipCoding
		s.packer = packers.Get().(*packer)
		s.packer.zip.Reset(c.w)
		s.w = s.packer.zip
	}
	c.status = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		s.send(nil)
	}
	return s, nil
}

// untilDue waits for the next part of a stream. It tells whether that is due, or else
// whether only the rights have to be looked at again; and whether the stream goes on.
func (c *call) untilDue(next <-chan struct{}) (due, again bool) {
	rights := c.watchRights()
	defer rights.stop()
	if c.still() != nil { // before the registration; whoever calls finds it again
		return false, true
	}
	rights.until(c.ended())
	select {
	case <-next:
		return true, true
	case <-rights.token.C:
		return false, true
	case <-rights.rules.C:
		return false, true
	case <-rights.rules.Reset: // the whole state was replaced
		return false, true
	case <-rights.expired():
		return false, true
	case <-c.r.Context().Done():
	case <-c.s.draining:
	}
	return false, false
}

// refuse ends the stream of somebody who has lost the right to it: with an object, or
// with a line of text.
func (s *stream) refuse(err error, object bool) {
	s.c.denied(err)
	status := statusOf(err)
	line := fmt.Appendf(nil, "%d %s: %s\n", status, http.StatusText(status), err)
	if object {
		text, failed := json.Marshal(struct {
			Error  string
			Status int
		}{err.Error(), status})
		if failed != nil {
			return // texts and numbers: there is nothing that cannot be encoded
		}
		line = append(text, '\n')
	}
	s.send(line)
}

// send sends one part, and tells whether the client is still there. Once the
// headers are out there is no other way to answer than to end.
func (s *stream) send(part []byte) bool {
	// Not every ResponseWriter has deadlines; then there is no bound to set.
	_ = s.conn.SetWriteDeadline(time.Now().Add(streamPatience))
	if len(part) > 0 {
		if _, err := s.w.Write(part); err != nil {
			return false
		}
	}
	if s.packer != nil && s.packer.zip.Flush() != nil {
		return false
	}
	return s.conn.Flush() == nil
}

// close ends the answer. How long the stream was open is not counted as the time
// of an answer. Nothing may be sent afterwards.
func (s *stream) close() {
	if s.packer != nil {
		if s.c.r.Method != http.MethodHead {
			_ = s.packer.zip.Close() // the client may be gone
		}
		s.packer.zip.Reset(io.Discard) // the pool is to keep nothing of the connection
		packers.Put(s.packer)
	}
	_ = s.conn.SetWriteDeadline(time.Time{}) // the connection may serve on
	s.c.waited += time.Since(s.from)
	s.c.s.streams.Add(-1)
}

// Streams is how many log and metrics streams are open.
func (s *Server) Streams() int { return int(s.streams.Load()) }
