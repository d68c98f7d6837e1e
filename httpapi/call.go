package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-kv/holdfast/internal/http1"
)

// call is one request on its way through a handler. It is used again for others.
type call struct {
	one
	q     query       // empty between two requests
	asked keyQuestion // of a request for keys, as well
}

// one is what a call knows of its request beside the parameters.
type one struct {
	s        *Server
	w        http.ResponseWriter
	r        *http.Request
	endpoint *endpoint
	arg      string // what follows the endpoint's prefix in the decoded path
	start    time.Time
	settings *Settings   // that it began with
	conn     *connection // see connection; nil: not looked up yet, or nothing is known
	status   int         // of the answer, for the metrics

	// waited is how long the client let the request wait, which is not counted as
	// the time of an answer.
	waited time.Duration

	// parker is for requests that can wait without a goroutine; nil for the others.
	parker http1.Parker

	waiting   *waiting // what is known of a request that waits so, or has; nil for the others
	parked    bool     // it goes on waiting, and this call of its handler is over
	returning bool     // it comes back from its wait: what was checked before it is not checked again

	sent    steadyReader  // the body
	refused *steadyReader // a body that was refused and is still being sent

	rights rights
	audit  audited
}

var calls = sync.Pool{New: func() any { return new(call) }}

// release makes c free for another request.
func (c *call) release() {
	c.one = one{}
	c.q.clear()
	c.asked = keyQuestion{}
	calls.Put(c)
}

// route names the endpoint for logs and metrics; never the key.
func (c *call) route() string {
	if c.endpoint == nil {
		return "none"
	}
	return c.endpoint.path
}

// write answers 200 with a body of the given type, compressed if it is large
// enough and the client takes it.
func (c *call) write(body []byte, contentType []string) {
	if len(body) >= gzipFrom && takesGzip(c.r.Header) {
		buf := getBuffer()
		defer putBuffer(buf)
		*buf = appendCompressed((*buf)[:0], body)
		c.writeCompressed(*buf, contentType)
		return
	}
	c.writeAsIs(body, contentType)
}

// writeCompressed answers 200 with a body that is in gzip form already.
func (c *call) writeCompressed(body []byte, contentType []string) {
	c.w.Header()["Content-Encoding"] = gzipCoding
	c.writeAsIs(body, contentType)
}

func (c *call) writeAsIs(body []byte, contentType []string) {
	h := c.w.Header()
	h["Content-Type"] = contentType
	if c.status == 0 {
		c.status = http.StatusOK
	}
	if len(body) >= lengthFrom || c.status != http.StatusOK || c.r.Method != http.MethodGet {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if c.status != http.StatusOK {
		c.w.WriteHeader(c.status)
	}
	if c.r.Method == http.MethodHead {
		return
	}
	if len(body) > writeAtOnce {
		c.writeSlowly(body)
		return
	}
	_, _ = c.w.Write(body) // the client may be gone; there is nobody to tell
}

// lengthFrom is from how many bytes on a good answer to a GET is told its length. Below,
// net/http finds it by itself; and the answer to a read of one key has eight headers
// then, which is what a map holds before it becomes a table at several times the cost.
const lengthFrom = 2 << 10

// writeTimeout is how long a client may take to read an answer of more than
// writeAtOnce bytes, which no socket buffer holds.
const (
	writeTimeout = 2 * time.Minute
	writeAtOnce  = 64 << 10
)

// writeSlowly writes a large answer, which may block on a client that does not
// read, with a bound on the time. It is cut off if its rights end meanwhile.
func (c *call) writeSlowly(body []byte) {
	l := c.leash(nil)
	err := l.bound(writeTimeout)
	if err == nil {
		_, err = c.w.Write(body) // the client may be gone; there is nobody to tell
	}
	if refused, _ := l.release(); refused != nil && err != nil {
		c.cutOff(refused)
	}
}

// json answers with JSON that is ready, indented if the client asked for that.
//
// Source: contract, README, section 7.
func (c *call) json(body []byte) {
	if c.q.has(pPretty) {
		body = indent(body)
	}
	c.write(body, typeJSON)
}

func indent(body []byte) []byte {
	var out bytes.Buffer
	if err := json.Indent(&out, body, "", "    "); err != nil {
		return body // it is ours and so it is valid; if not, better as it is than none
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// encode answers with v as JSON. For answers that are not asked for often.
func (c *call) encode(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.json(body)
	return nil
}

// bool answers true or false.
func (c *call) bool(v bool) {
	if v {
		c.json([]byte("true"))
	} else {
		c.json([]byte("false"))
	}
}

// empty answers 200 without a body, as actions do.
func (c *call) empty() {
	h := c.w.Header()
	h["Content-Type"] = typeJSON
	h["Content-Length"] = headerZero
	c.status = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
}
