//go:build linux

package http1

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// heads are requests and whether they are read here.
var heads = []struct {
	rule  string
	text  string
	taken bool
}{
	{"a plain GET", "GET /v1/kv/a HTTP/1.1\r\nHost: a:8500\r\n\r\n", true},
	{"a query", "GET /v1/kv/a?index=4&wait=5s&x=a?b#c HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\n\r\n", true},
	{"an escaped path", "GET /v1/kv/a%2Fb%20c HTTP/1.1\r\nHost: a\r\n\r\n", true},
	{"a path with odd characters", "GET /v1/kv/a!(b)[c]|d HTTP/1.1\r\nHost: a\r\n\r\n", true},
	{"an empty query", "GET /v1/kv/a? HTTP/1.1\r\nHost: a\r\n\r\n", true},
	{"names in lower case", "GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\nx-consul-TOKEN: y\r\n\r\n", true},
	{"a field twice", "GET / HTTP/1.1\r\nHost: a\r\nVia: a\r\nvia: b\r\n\r\n", true},
	{"an empty value", "GET / HTTP/1.1\r\nHost: a\r\nX: \t \r\n\r\n", true},
	{"space around a value", "GET / HTTP/1.1\r\nHost:  a\t\r\nX:b c \r\n\r\n", true},
	{"a body", "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", true},
	{"the connection is to be closed", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", true},
	{"the connection is to be kept", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", true},

	{"no host", "GET / HTTP/1.1\r\n\r\n", false},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", false},
	{"an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", false},
	{"a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", false},
	{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", false},
	{"another method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"a method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"an absolute target", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"a target that may be an authority", "GET //a/b HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"the target of the whole server", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"a broken escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"a space behind", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", false},
	{"a byte that is not ASCII", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"a line without CR", "GET / HTTP/1.1\nHost: a\r\n\r\n", false},
	{"a header without CR", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", false},
	{"a CR within a line", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", false},
	{"a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", false},
	{"a folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", false},
	{"a space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", false},
	{"a line without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", false},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", false},
	{"a control character in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", false},
	{"two lengths", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", false},
	{"a list of lengths", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na", false},
	{"a length with a sign", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", false},
	{"an empty length", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", false},
	{"a length too large", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999\r\n\r\n", false},
	{"a length in hex", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na", false},
	{"chunks", "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
	{"chunks and a length", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", false},
	{"another protocol", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", false},
	{"a question before the body", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", false},
	{"an old header for caches", "GET / HTTP/1.1\r\nHost: a\r\nPragma: no-cache\r\n\r\n", false},
	{"an empty line before", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"too many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", maxFields) + "\r\n", false},
}

// cutHead is the head at the beginning of text, as it is cut from what was read.
func cutHead(text string) (head string, ok bool) {
	i := strings.Index(text, "\r\n\r\n")
	if i < 0 {
		return "", false
	}
	return text[:i+4], true
}

func TestHead(t *testing.T) {
	h := &head{header: http.Header{}}
	for _, tc := range heads {
		t.Run(tc.rule, func(t *testing.T) {
			text, ok := cutHead(tc.text)
			if !ok {
				t.Fatal("the case has no head")
			}
			if got := h.parse(text); got != tc.taken {
				t.Fatalf("taken = %v, want %v", got, tc.taken)
			}
			for range 2 { // all of it is as the time before
				if tc.taken {
					sameAsNetHTTP(t, h, tc.text)
					h.url.Path, h.url.RawQuery = "/changed", "by=a-handler"
				}
				if again := h.parse(text); again != tc.taken {
					t.Fatalf("taken again = %v, want %v", again, tc.taken)
				}
			}
		})
	}
}

// sameAsNetHTTP compares what h has found in a request with what net/http finds.
func sameAsNetHTTP(t *testing.T, h *head, text string) {
	t.Helper()
	rest := strings.NewReader(text)
	r, err := http.ReadRequest(bufio.NewReader(rest))
	if err != nil {
		t.Fatalf("taken, but net/http says: %v", err)
	}
	delete(r.Header, "Host") // as its server does
	type request struct {
		Method, Target, Host, Path, RawPath, Query string
		Force, Close                               bool
		Length                                     int64
		Header                                     http.Header
	}
	want := request{
		r.Method, r.RequestURI, r.Host, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.ForceQuery, r.Close, r.ContentLength, r.Header,
	}
	got := request{
		h.method, h.target, h.host, h.url.Path, h.url.RawPath, h.url.RawQuery, h.url.ForceQuery, h.close, h.length, h.header,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-net/http +here):\n%s", diff)
	}
	if r.URL.String() != h.url.String() {
		t.Errorf("URL %q, net/http has %q", h.url.String(), r.URL.String())
	}
	if len(r.TransferEncoding) > 0 || r.Trailer != nil {
		t.Errorf("net/http sees transfer encoding %q, trailer %v", r.TransferEncoding, r.Trailer)
	}
	head, _ := cutHead(text)
	wantBody := text[len(head):]
	if int64(len(wantBody)) < h.length {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != wantBody[:h.length] {
		t.Errorf("net/http sees the body %q (%v), here it is %q", body, err, wantBody[:h.length])
	}
}

// TestHeadersOfTheLastHead are used again only for a head that has the same lines.
func TestHeadersOfTheLastHead(t *testing.T) {
	h := newHead()
	for _, text := range []string{
		"GET /a?b=c HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n",
		"PUT /b HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n",
		"PUT /b HTTP/1.1\r\nHost: a\r\nX: 2\r\nX: 3\r\n\r\n",
		"GET /b HTTP/1.1\r\nHost: a\r\nX: 2\r\nX: 3\r\n\r\n",
		"PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nxy",
		"PUT /c HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nzz",
		"GET /c HTTP/1.1\r\nHost: b\r\n\r\n",
		"GET /d HTTP/1.1\r\nHost: b\r\n\r\n",
	} {
		head, _ := cutHead(text)
		if !h.parse(head) {
			t.Fatalf("%q is not taken", text)
		}
		sameAsNetHTTP(t, h, text)
	}
	if h.parse("GET /d HTTP/1.1\r\nHost: b\r\nExpect: x\r\n\r\n") || h.parse("GET /d HTTP/1.0\r\nHost: b\r\n\r\n") {
		t.Error("what is not taken is taken")
	}
	const last = "GET /d HTTP/1.1\r\nHost: b\r\n\r\n"
	if !h.parse(last) {
		t.Fatal("not taken after one that is not")
	}
	sameAsNetHTTP(t, h, last)
}

// FuzzHead looks for requests that are understood in another way than by net/http: in front of a
// proxy or behind one, that is how requests are smuggled.
func FuzzHead(f *testing.F) {
	for _, tc := range heads {
		f.Add(tc.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		head, ok := cutHead(text)
		if !ok || len(head) > maxHeadBytes {
			return
		}
		h := newHead()
		for range 2 { // the second time the header lines are the same
			if h.parse(head) {
				sameAsNetHTTP(t, h, text)
			}
		}
	})
}

func newHead() *head { return &head{header: http.Header{}} }
