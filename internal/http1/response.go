//go:build linux

package http1

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// chunkFrom is from how many bytes on an answer of unknown length is sent in chunks. It is
// net/http's, as is the order of all that follows: what is sent is the same.
const chunkFrom = 2 << 10

// Bounds of an answer's buffer.
const (
	// copyBelow is the largest part of a body that is copied behind the head, so that both
	// go out with one call of the system. A larger one is sent from where it is.
	copyBelow = 16 << 10

	// keepBuffer is the largest buffer that is kept for another answer.
	keepBuffer = 64 << 10

	// keepNames is how many names of fields are kept for another answer.
	keepNames = 16
)

// response is the answer to one request: an http.ResponseWriter that sends what net/http's
// would, but for trailers, which it does not have. It offers what http.ResponseController asks
// for, but for Hijack.
type response struct {
	t      *turn
	header http.Header
	status int   // 0 until WriteHeader
	length int64 // announced by the handler or found at the end; -1: unknown
	sent   int64 // bytes of body that the handler has written
	*buffers

	handlerDone bool
	headSent    bool // the head is in out, or beyond
	chunking    bool
	closing     bool // the connection is closed after this answer
	linger      bool // because there is more of the request than was read
	flushed     bool // a part of the answer was written
	fullDuplex  bool
	werr        error // of the first write that did not succeed
}

// buffers are what an answer is made in. A connection has them only while it answers.
type buffers struct {
	fields []field
	names  []string // of the fields of the last answer that was made in it, in their order
	body   []byte   // not yet framed, below chunkFrom
	out    []byte   // not yet written to the connection
}

var spareBuffers = sync.Pool{New: func() any { return new(buffers) }}

// give gives them back, without what a large answer has needed.
func (b *buffers) give() {
	clear(b.fields)
	b.fields, b.body, b.out = b.fields[:0], b.body[:0], b.out[:0]
	if cap(b.out) > keepBuffer {
		b.out = nil
	}
	spareBuffers.Put(b)
}

// field is one of the answer's headers, as they were when WriteHeader was called.
type field struct {
	name   string
	values []string
	drop   bool // not to be sent after all
}

// reset makes the response one to the request of t.
func (w *response) reset(t *turn) {
	header := w.header
	if header == nil {
		header = make(http.Header, 8)
	}
	clear(header)
	*w = response{t: t, header: header, length: -1, closing: t.head.close, buffers: spareBuffers.Get().(*buffers)}
}

// over gives back what the answer was made in.
func (w *response) over() {
	if w.buffers != nil {
		w.give()
		w.buffers = nil
	}
}

// Header is what the handler may change until it writes.
func (w *response) Header() http.Header { return w.header }

// WriteHeader begins the answer.
func (w *response) WriteHeader(code int) {
	switch {
	case w.status != 0:
		w.t.c.s.logf("http: superfluous response.WriteHeader call: %s %s", w.t.head.method, w.t.head.url.Path)
		return
	case code < 100 || code > 999:
		panic("invalid WriteHeader code " + strconv.Itoa(code))
	case code < 200 && code != http.StatusSwitchingProtocols:
		w.inform(code)
		return
	}
	w.status = code
	w.collect()
	if text := w.get("Content-Length"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil && n >= 0 {
			w.length = n
		} else {
			w.t.c.s.logf("http: invalid Content-Length of %q", text)
		}
	}
}

// inform sends an answer that comes before the answer.
func (w *response) inform(code int) {
	w.statusLine(code)
	w.collect()
	w.drop("Content-Length")
	w.drop("Transfer-Encoding")
	w.writeFields()
	w.out = append(w.out, "\r\n"...)
	w.flush(nil)
}

// collect takes the headers down, in the order in which they are sent.
func (w *response) collect() {
	if w.collectAgain() {
		return
	}
	w.fields, w.names = w.fields[:0], w.names[:0]
	for name, values := range w.header {
		w.fields = append(w.fields, field{name: name, values: values})
	}
	slices.SortFunc(w.fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	if len(w.fields) <= keepNames {
		for i := range w.fields {
			w.names = append(w.names, w.fields[i].name)
		}
	}
}

// collectAgain is collect for an answer that has the fields of the last one, as most have: to look
// them up costs less than to sort them. It tells whether that is so.
func (w *response) collectAgain() bool {
	if len(w.names) != len(w.header) {
		return false
	}
	w.fields = w.fields[:0]
	for _, name := range w.names {
		values, found := w.header[name]
		if !found {
			clear(w.fields)
			return false
		}
		w.fields = append(w.fields, field{name: name, values: values})
	}
	return true
}

func (w *response) find(name string) *field {
	for i := range w.fields {
		if w.fields[i].name == name && !w.fields[i].drop {
			return &w.fields[i]
		}
	}
	return nil
}

func (w *response) get(name string) string {
	if f := w.find(name); f != nil && len(f.values) > 0 {
		return f.values[0]
	}
	return ""
}

func (w *response) has(name string) bool { return w.find(name) != nil }

func (w *response) drop(name string) {
	if f := w.find(name); f != nil {
		f.drop = true
	}
}

// Write adds to the body.
func (w *response) Write(p []byte) (int, error) {
	if err := w.mayWrite(len(p)); err != nil || len(p) == 0 {
		return 0, err
	}
	n := len(p)
	for len(p) > chunkFrom-len(w.body) && w.werr == nil {
		if len(w.body) == 0 {
			w.frame(p)
			return n, w.werr
		}
		room := chunkFrom - len(w.body)
		w.body = append(w.body, p[:room]...)
		p = p[room:]
		w.flushBody()
	}
	if w.werr != nil {
		return 0, w.werr
	}
	w.body = append(w.body, p...)
	return n, nil
}

// WriteString adds to the body. Its chunks are smaller than those of Write.
func (w *response) WriteString(s string) (int, error) {
	if err := w.mayWrite(len(s)); err != nil || s == "" {
		return 0, err
	}
	n := len(s)
	for len(s) > chunkFrom-len(w.body) && w.werr == nil {
		room := chunkFrom - len(w.body)
		w.body = append(w.body, s[:room]...)
		s = s[room:]
		w.flushBody()
	}
	if w.werr != nil {
		return 0, w.werr
	}
	w.body = append(w.body, s...)
	return n, nil
}

// mayWrite begins the answer if that has not happened yet, and tells whether so much more of a body
// belongs to it.
func (w *response) mayWrite(n int) error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if n == 0 {
		return nil
	}
	if !bodyAllowed(w.status) {
		return http.ErrBodyNotAllowed
	}
	w.sent += int64(n)
	if w.length >= 0 && w.sent > w.length {
		return http.ErrContentLength
	}
	return nil
}

func (w *response) flushBody() {
	if len(w.body) > 0 {
		w.frame(w.body)
		w.body = w.body[:0]
	}
}

// frame sends a part of the body, as a chunk if the length is not known, after the head.
func (w *response) frame(p []byte) {
	if !w.headSent {
		w.writeHead(p)
	}
	if w.t.head.method == http.MethodHead {
		return
	}
	if w.chunking {
		w.out = append(strconv.AppendInt(w.out, int64(len(p)), 16), "\r\n"...)
	}
	w.emit(p)
	if w.chunking {
		w.out = append(w.out, "\r\n"...)
	}
}

// emit sends bytes, now or with those that follow.
func (w *response) emit(p []byte) {
	if len(w.out)+len(p) <= w.t.copyBelow {
		w.out = append(w.out, p...)
		return
	}
	w.flush(p)
}

// flush writes what is held back to the connection, and p after it.
func (w *response) flush(p []byte) {
	if w.werr == nil && len(w.out)+len(p) > 0 {
		w.flushed = true
		w.werr = w.t.write(w.out, p)
	}
	w.out = w.out[:0]
}

// Flush sends what there is.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends what there is.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.flushBody()
	if !w.headSent {
		w.writeHead(nil)
	}
	w.flush(nil)
	return w.werr
}

// finish sends what is left of the answer, once its handler has returned.
func (w *response) finish() {
	w.handlerDone = true
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.flushBody()
	if !w.headSent {
		w.writeHead(nil)
	}
	if w.chunking {
		w.out = append(w.out, "0\r\n\r\n"...)
	}
}

// SetReadDeadline bounds the reading of the request's body.
func (w *response) SetReadDeadline(deadline time.Time) error { return w.t.setReadDeadline(deadline) }

// SetWriteDeadline bounds the writing of the answer.
func (w *response) SetWriteDeadline(deadline time.Time) error { return w.t.setWriteDeadline(deadline) }

// EnableFullDuplex lets the handler read the body after it has begun to answer.
func (w *response) EnableFullDuplex() error {
	w.fullDuplex = true
	return nil
}

// writeHead decides what the head has to say, given the first bytes of the body. Each step is
// one of net/http's, in its order.
func (w *response) writeHead(first []byte) {
	w.headSent = true
	keepAlives := w.t.c.s.keepAlives()
	isHead := w.t.head.method == http.MethodHead
	te := w.get("Transfer-Encoding")
	foundLength, contentType, connection := false, "", ""

	if w.handlerDone && te == "" && bodyAllowed(w.status) && !w.has("Content-Length") && (!isHead || len(first) > 0) {
		w.length, foundLength = int64(len(first)), true
	}
	hasLength := w.length >= 0
	if w.get("Connection") == "close" || !keepAlives {
		w.closing = true
	}
	if b := w.t.body; b != nil && !w.closing && !w.fullDuplex {
		tooBig, broken := b.settle()
		if tooBig {
			w.closing, w.linger = true, true
			w.drop("Connection")
			connection = "close"
		}
		w.closing = w.closing || broken
	}
	switch {
	case bodyAllowed(w.status):
		if w.get("Content-Encoding") == "" && !w.has("Content-Type") && te == "" && len(first) > 0 {
			contentType = http.DetectContentType(first)
		}
	case w.status == http.StatusNotModified:
		w.drop("Content-Type")
		fallthrough
	default:
		w.drop("Content-Length")
		w.drop("Transfer-Encoding")
	}
	hasDate := w.has("Date")
	if hasLength && te != "" && te != "identity" {
		w.t.c.s.logf("http: WriteHeader called with both Transfer-Encoding of %q and a Content-Length of %d", te, w.length)
		w.drop("Content-Length")
		hasLength = false
	}
	switch {
	case isHead || !bodyAllowed(w.status) || hasLength:
		w.drop("Transfer-Encoding")
	case te == "identity":
		w.closing = true
		w.drop("Transfer-Encoding")
	default:
		w.chunking = true
		if te == "chunked" {
			w.drop("Transfer-Encoding")
		}
		w.drop("Content-Length")
	}
	if w.closing && (!keepAlives || !hasClose(w.get("Connection"))) && w.status != http.StatusSwitchingProtocols {
		w.drop("Connection")
		connection = "close"
	}

	w.statusLine(w.status)
	w.writeFields()
	if !hasDate {
		w.out = append(w.t.c.s.date.append(append(w.out, "Date: "...)), "\r\n"...)
	}
	if foundLength {
		w.out = append(strconv.AppendInt(append(w.out, "Content-Length: "...), w.length, 10), "\r\n"...)
	}
	w.line("Content-Type: ", contentType)
	w.line("Connection: ", connection)
	if w.chunking {
		w.line("Transfer-Encoding: ", "chunked")
	}
	w.out = append(w.out, "\r\n"...)
}

// line writes a header of the server's own.
func (w *response) line(name, value string) {
	if value != "" {
		w.out = append(append(append(w.out, name...), value...), "\r\n"...)
	}
}

func (w *response) statusLine(code int) {
	if code == http.StatusOK {
		w.out = append(w.out, "HTTP/1.1 200 OK\r\n"...)
		return
	}
	w.out = strconv.AppendInt(append(w.out, "HTTP/1.1 "...), int64(code), 10)
	text := http.StatusText(code)
	if text == "" {
		text = "status code " + strconv.Itoa(code)
	}
	w.out = append(append(append(w.out, ' '), text...), "\r\n"...)
}

// writeFields writes the handler's headers.
func (w *response) writeFields() {
	for i := range w.fields {
		f := &w.fields[i]
		if f.drop || !isToken(f.name) {
			continue
		}
		for _, v := range f.values {
			w.out = append(append(w.out, f.name...), ": "...)
			w.out = appendValue(w.out, v)
			w.out = append(w.out, "\r\n"...)
		}
	}
}

// appendValue appends a header's value as net/http does: no line ends in it, no space around it.
func appendValue(out []byte, v string) []byte {
	if strings.IndexByte(v, '\n') >= 0 || strings.IndexByte(v, '\r') >= 0 { // at half the cost of ContainsAny
		v = newlines.Replace(v)
	}
	return append(out, textproto.TrimString(v)...)
}

var newlines = strings.NewReplacer("\n", " ", "\r", " ")

func isToken(name string) bool {
	for i := range len(name) {
		if class[name[i]]&inToken == 0 {
			return false
		}
	}
	return name != ""
}

// hasClose tells whether a Connection header has the token close.
func hasClose(value string) bool {
	for part := range strings.SplitSeq(value, ",") {
		if strings.EqualFold(strings.Trim(part, " \t"), "close") {
			return true
		}
	}
	return false
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
