//go:build linux

package http1

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// Bounds of the heads that are read here. What is beyond them is net/http's, with the
// bounds of its own.
const (
	// maxHeadBytes is the longest head, request line and all: what one read buffer holds.
	maxHeadBytes = 4 << 10

	// maxFields is how many header lines a head may have.
	maxFields = 32

	// maxLengthDigits keeps a Content-Length within an int64.
	maxLengthDigits = 15
)

// head is the head of a request, taken apart. It is reused: its strings are parts of
// the one that was parsed, and whoever keeps one keeps that.
type head struct {
	method string // one of the constants of net/http
	target string // as it was sent
	host   string
	length int64 // of the body
	close  bool  // the client wants the connection closed
	url    url.URL
	header http.Header
	values [maxFields]string // behind the slices of header

	// fields are the header lines that header was made of, to the empty line, and names how many
	// names it had then. A client mostly sends the same ones again, as do others of its kind: they
	// are not taken apart anew.
	fields string
	names  int

	// text is all that was taken apart last, of which found was made: who waits for the same thing
	// sends the same request, line for line.
	text  string
	found url.URL
}

// parse takes a head apart, which ends with its empty line. It accepts only what cannot
// be understood in two ways, and what net/http would understand in the same way; the rest,
// right or wrong, is left to net/http: false.
func (h *head) parse(s string) bool {
	if s == h.text && len(h.header) == h.names && s != "" {
		h.url = h.found // a handler may have changed it
		return true
	}
	h.text = ""
	if !h.parseAnew(s) {
		return false
	}
	h.text, h.found = s, h.url
	return true
}

func (h *head) parseAnew(s string) bool {
	line, rest, ok := cutLine(s)
	if !ok || !h.parseRequestLine(line) {
		return false
	}
	if rest == h.fields && len(h.header) == h.names {
		return true
	}
	fields := rest
	h.fields = ""
	clear(h.header)
	h.host, h.length, h.close = "", 0, false
	for n := 0; ; n++ {
		line, rest, ok = cutLine(rest)
		if !ok {
			return false
		}
		if line == "" {
			break
		}
		if n == maxFields || !h.parseField(line, n) {
			return false
		}
	}
	if rest != "" || h.host == "" {
		return false
	}
	h.fields, h.names = fields, len(h.header)
	return true
}

// begins tells whether a text begins with the head that was taken apart last.
func (h *head) begins(text []byte) bool {
	return h.text != "" && len(text) >= len(h.text) && string(text[:len(h.text)]) == h.text
}

// cutLine cuts after the first line, which must end with CR and LF. A CR or LF within a line
// is found by whoever looks at its characters.
func cutLine(s string) (line, rest string, ok bool) {
	i := strings.IndexByte(s, '\n')
	if i < 1 || s[i-1] != '\r' {
		return "", "", false
	}
	return s[:i-1], s[i+1:], true
}

func (h *head) parseRequestLine(line string) bool {
	method, rest, _ := strings.Cut(line, " ")
	target, proto, _ := strings.Cut(rest, " ")
	if proto != "HTTP/1.1" {
		return false
	}
	switch method {
	case http.MethodGet:
		h.method = http.MethodGet // not the part of the head: it may be kept for long
	case http.MethodPut:
		h.method = http.MethodPut
	case http.MethodPost:
		h.method = http.MethodPost
	case http.MethodDelete:
		h.method = http.MethodDelete
	case http.MethodHead:
		h.method = http.MethodHead
	case http.MethodOptions:
		h.method = http.MethodOptions
	case http.MethodPatch:
		h.method = http.MethodPatch
	default:
		return false
	}
	h.target = target
	return h.parseTarget(target)
}

// parseTarget takes a path and a query apart, or lets net/url do it where a character
// has a meaning of its own.
func (h *head) parseTarget(target string) bool {
	if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
		return false
	}
	path, query, plain := len(target), len(target), true
	for i := range len(target) {
		c := target[i]
		switch {
		case class[c]&visible == 0:
			return false
		case c == '?' && path == len(target):
			path, query = i, i+1
			plain = plain && query < len(target)
		case class[c]&inPath == 0 && path == len(target):
			plain = false
		}
	}
	if plain {
		h.url = url.URL{Path: target[:path], RawQuery: target[query:]}
		return true
	}
	u, err := url.ParseRequestURI(target)
	if err != nil || u.Host != "" || u.Scheme != "" || u.Opaque != "" || u.User != nil {
		return false
	}
	h.url = *u
	return true
}

// parseField takes the n-th header line apart.
func (h *head) parseField(line string, n int) bool {
	colon := strings.IndexByte(line, ':')
	if colon < 1 {
		return false
	}
	name, ok := fieldName(line[:colon])
	if !ok {
		return false
	}
	value := strings.Trim(line[colon+1:], " \t")
	for i := range len(value) {
		if class[value[i]]&inValue == 0 {
			return false
		}
	}
	switch name {
	case "Host":
		if h.host != "" || !validHost(value) {
			return false
		}
		h.host = value
		return true
	case "Content-Length":
		if len(h.header[name]) > 0 {
			return false
		}
		if h.length, ok = contentLength(value); !ok {
			return false
		}
	case "Connection":
		if len(h.header[name]) > 0 {
			return false
		}
		switch {
		case strings.EqualFold(value, "close"):
			h.close = true
		case !strings.EqualFold(value, "keep-alive"):
			return false
		}
	case "Transfer-Encoding", "Upgrade", "Expect", "Trailer", "Http2-Settings", "Pragma":
		return false
	}
	if more := h.header[name]; len(more) > 0 {
		h.header[name] = append(more, value)
		return true
	}
	h.values[n] = value
	h.header[name] = h.values[n : n+1 : n+1]
	return true
}

// fieldName is the canonical form of a name.
func fieldName(s string) (name string, ok bool) {
	upper, canonical := true, true
	for i := range len(s) {
		c := class[s[i]]
		if c&inToken == 0 {
			return "", false
		}
		if c&isLower != 0 && upper || c&isUpper != 0 && !upper {
			canonical = false
		}
		upper = s[i] == '-'
	}
	if canonical {
		return s, true
	}
	return textproto.CanonicalMIMEHeaderKey(s), true
}

func validHost(s string) bool {
	for i := range len(s) {
		if class[s[i]]&inHost == 0 {
			return false
		}
	}
	return s != ""
}

func contentLength(s string) (n int64, ok bool) {
	if s == "" || len(s) > maxLengthDigits {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// Classes of characters.
const (
	inToken = 1 << iota // of a header's name
	inValue             // of a header's value
	inHost              // of a name or address and a port
	inPath              // of a path, standing for itself whether escaped or not
	visible
	isLower
	isUpper
)

var class = classes()

func classes() (t [256]uint8) {
	mark := func(chars string, as uint8) {
		for i := range len(chars) {
			t[chars[i]] |= as
		}
	}
	const (
		lower = "abcdefghijklmnopqrstuvwxyz"
		upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		digit = "0123456789"
	)
	mark(lower, isLower)
	mark(upper, isUpper)
	mark(lower+upper+digit+"!#$%&'*+-.^_`|~", inToken)
	mark(lower+upper+digit+"-._:[]", inHost)
	mark(lower+upper+digit+"/-._~$&+,:;=@", inPath)
	for c := ' '; c < 0x7f; c++ {
		t[c] |= inValue
		if c != ' ' {
			t[c] |= visible
		}
	}
	t['\t'] |= inValue
	return t
}
