package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// exchange writes bytes to a connection, whatever they are, and reads one answer.
func exchange(t *testing.T, c net.Conn, r *bufio.Reader, raw string) (*http.Response, string) {
	t.Helper()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(c, raw) // the server may close before it has read everything
	}()
	resp, err := http.ReadResponse(r, &http.Request{Method: strings.SplitN(raw, " ", 2)[0]})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("no whole answer: %v", err)
	}
	_ = resp.Body.Close()
	if resp.Close {
		_ = c.Close()
	}
	<-sent
	return resp, string(body)
}

// TestMalformedRequests over a connection of their own: a 4xx with one sentence,
// and the connection either serves on or is closed as announced.
//
// Source: contract, README, section 2; issue 2, section 4.
func TestMalformedRequests(t *testing.T) {
	s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ValueBytes, s.TxnBytes = 1000, 1000 })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(serveOn(t, s, l))
	request := func(line string, more ...string) string {
		return line + " HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(more, ""), "\r\n") + "\r\n"
	}
	put := func(target, body string) string {
		return request("PUT "+target, fmt.Sprintf("Content-Length: %d", len(body))) + body
	}
	chunked := func(target, chunks string) string {
		return request("PUT "+target, "Transfer-Encoding: chunked") + chunks
	}
	for _, tc := range []struct {
		rule, raw string
		status    int
		text      string // the body begins with it
		open      bool   // the connection serves on
	}{
		{"null in a transaction", put("/v1/txn", "[null]"), 400, "Failed to parse body: an operation must be an object, not null", true},
		{"a transaction that is no JSON", put("/v1/txn", "\xff\xfe"), 400, "Failed to parse body: want a list of operations", true},
		{"very deep JSON", put("/v1/txn", `[{"Node":`+strings.Repeat("[", 900)), 400, "Failed to parse body: nested too deeply", true},
		{"a huge number", put("/v1/txn", `[{"KV":{"Index":`+strings.Repeat("9", 900)+`}}]`), 400, "Failed to parse body: json: cannot unmarshal number", true},
		{"a huge number in the query", request("GET /v1/kv/a?index=" + strings.Repeat("9", 900)), 400, "Invalid index", true},
		{"a bad escape in the path", request("GET /v1/kv/a%zz"), 400, "400 Bad Request", false},
		{"a cut off escape in the path", request("GET /v1/kv/a%2"), 400, "400 Bad Request", false},
		{"a bad escape in the query", request("GET /v1/kv/a?raw=%zz"), 400, "query string has a broken percent escape", true},
		{"a semicolon in the query", request("GET /v1/kv/a?raw;x"), 400, "query string has a semicolon", true},
		{"a control character in the path", request("GET /v1/kv/a%01"), 400, "The path has a character that cannot be printed", true},
		{"a control character itself in the path", request("GET /v1/kv/a\x01"), 400, "400 Bad Request", false},
		{"a space in the path", request("GET /v1/kv/a b"), 400, "400 Bad Request", false},
		{"no version", "GET /v1/kv/a\r\n\r\n", 400, "400 Bad Request", false},
		{"another protocol", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 HTTP/1.1\r\n\r\n", 400, "400 Bad Request", false},
		{"no host", "GET /v1/kv/a HTTP/1.1\r\n\r\n", 400, "400 Bad Request", false},
		{"two hosts", request("GET /v1/kv/a", "Host: i"), 400, "400 Bad Request", false},
		{"a header without a colon", request("GET /v1/kv/a", "Nonsense"), 400, "400 Bad Request", false},
		{"a negative length", request("PUT /v1/kv/a", "Content-Length: -1"), 400, "400 Bad Request", false},
		{"two lengths", request("PUT /v1/kv/a", "Content-Length: 1", "Content-Length: 2"), 400, "400 Bad Request", false},
		{"an unknown transfer coding", request("PUT /v1/kv/a", "Transfer-Encoding: x"), 501, "Unsupported transfer encoding", false},
		{"a header block without end", request("GET /v1/kv/a", "X: "+strings.Repeat("x", limit.HeaderBytes+8192)), 431, "431 Request Header Fields Too Large", false},
		{"a key without end", request("GET /v1/kv/" + strings.Repeat("k", limit.HeaderBytes+8192)), 431, "431 Request Header Fields Too Large", false},
		{"a body that is announced too large", request("PUT /v1/kv/a", "Content-Length: 1001"), 413, "Request body(1001 bytes) too large", false},
		{"the same with Expect", request("PUT /v1/kv/a", "Content-Length: 1001", "Expect: 100-continue"), 413, "Request body(1001 bytes) too large", false},
		{"a chunked body that is too large", chunked("/v1/kv/a", "400\r\n"+strings.Repeat("x", 1024)+"\r\n0\r\n\r\n"), 413, "Request body too large, max size: 1000 bytes", false},
		{"a chunk that says it is enormous", chunked("/v1/kv/a", "7fffffffffffffff\r\n"+strings.Repeat("x", 2000)), 413, "Request body too large", false},
		{"a chunk of a length that is no number", chunked("/v1/kv/a", "zz\r\n"), 400, "Request body ended early", false},
		{"chunk lengths without end", chunked("/v1/kv/a", "1;"+strings.Repeat("x", 5000)+"\r\n"), 400, "Request body ended early", false},
		{"chunks without their line ends", chunked("/v1/kv/a", "1\r\nxx\r\n"), 400, "Request body ended early", false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c := redial(t, l.Addr())
			r := bufio.NewReader(c)
			resp, body := exchange(t, c, r, tc.raw)
			if resp.StatusCode != tc.status || !strings.HasPrefix(body, tc.text) || strings.Count(strings.TrimSpace(body), "\n") > 0 {
				t.Errorf("answer is %d %q, want %d and one sentence that begins with %q", resp.StatusCode, shortened(body), tc.status, tc.text)
			}
			if resp.Close == tc.open {
				t.Errorf("the connection is said to be closed: %v", resp.Close)
			}
			if !resp.Close {
				resp, body := exchange(t, c, r, put("/v1/kv/next", "1"))
				if resp.StatusCode != 200 || body != "true" {
					t.Errorf("the next request on the connection is answered %d %q", resp.StatusCode, body)
				}
			}
		})
	}
	if v, _ := s.node.Store().View().Get("a"); v != nil {
		t.Errorf("one of them was written: %+v", v)
	}
}

// TestLongAndOddKeys over a connection: what fits the header block is a key like
// any other.
func TestLongAndOddKeys(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	c := dialTCP(t, s)
	r := bufio.NewReader(c)
	for rule, path := range map[string]string{
		"long":                                strings.Repeat("k", 200_000),
		"long, escaped":                       strings.Repeat("%C3%A9", 50_000),
		"not UTF-8":                           "a%FF%FEb",
		"bytes of UTF-8 as they are":          "é€😀",
		"bytes that are no UTF-8 as they are": "a\xff\xfe",
	} {
		resp, body := exchange(t, c, r, "PUT /v1/kv/"+path+" HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nv")
		if resp.StatusCode != 200 || body != "true" {
			t.Errorf("%s: answer is %d %q", rule, resp.StatusCode, shortened(body))
		}
		if resp, body = exchange(t, c, r, "GET /v1/kv/"+path+"?raw HTTP/1.1\r\nHost: h\r\n\r\n"); resp.StatusCode != 200 || body != "v" {
			t.Errorf("%s: read back it is %d %q", rule, resp.StatusCode, shortened(body))
		}
	}
}

// TestSlowClients: who does not send on in time is let go, in whatever part of a
// request and whether or not somebody reads it; who sends slowly but steadily is
// served.
func TestSlowClients(t *testing.T) {
	const pause = 30 * time.Second // of bodies; headers have 10 s
	for _, tc := range []struct {
		rule, raw string
		after     time.Duration
		status    int // 0: cut off
		text      string
	}{
		{"headers", "GET /v1/kv/a HTTP/1.1\r\nHost: h\r\n", 10 * time.Second, 0, ""},
		{"request line", "GET /v1/k", 10 * time.Second, 400, "400 Bad Request"},
		{"body of a put", "PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nsome", pause, 408, "Request body did not arrive in time"},
		{"chunked body of a put", "PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome", pause, 408, "Request body did not arrive in time"},
		{"body of a transaction", "PUT /v1/txn HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n[", pause, 408, "Request body did not arrive in time"},
		{"body of an archive", "PUT /v1/snapshot HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n\x1f\x8b", pause, 500, "failed to decompress snapshot: "},
		{"body of a GET", "GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nsome", pause, 408, "Request body did not arrive in time"},
		{"body of a refused put", "PUT /v1/kv/a?index=x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nsome", pause, 400, "Invalid index"},
		{"body on an unknown path", "PUT /v1/nope HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nsome", pause, 404, "Invalid URL path"},
		{"body on a path that is redirected", "PUT /v1/kv/a//b HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nsome", pause, 307, ""},
		{"body of another method", "POST /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nsome", pause, 405, "method POST not allowed"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestServer(t, newLocalNode(t))
				l := newPipes()
				stop := serveOn(t, s, l)
				c := l.dial(t)
				began := time.Now()
				if _, err := io.WriteString(c, tc.raw); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if took := time.Since(began); took < tc.after || took > tc.after+time.Second {
					t.Errorf("answered after %v, want %v", took, tc.after)
				}
				if err != nil {
					if tc.status != 0 {
						t.Errorf("no answer: %v", err)
					}
				} else {
					body, err := io.ReadAll(resp.Body)
					if err != nil || resp.StatusCode != tc.status || !strings.HasPrefix(string(body), tc.text) || !resp.Close {
						t.Errorf("answer is %d %q, %v; to be closed: %v", resp.StatusCode, body, err, resp.Close)
					}
				}
				_ = c.Close()
				stop()
				if v, _ := s.node.Store().View().Get("a"); v != nil {
					t.Errorf("it was written: %+v", v)
				}
			})
		})
	}
	t.Run("steady", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newTestServer(t, newLocalNode(t))
			l := newPipes()
			stop := serveOn(t, s, l)
			c := l.dial(t)
			for _, part := range append([]string{"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"}, strings.Split("0123456789", "")...) {
				if _, err := io.WriteString(c, part); err != nil {
					t.Fatal(err)
				}
				time.Sleep(pause - time.Second) // fake time
			}
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("answer is %v, %v", resp, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			// The deadline is off: the next request may wait.
			if err := send(c, http.MethodGet, "/v1/kv/a?index=4&wait=5m", ""); err != nil {
				t.Fatal(err)
			}
			if resp, err = http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
				t.Errorf("a blocking query on the same connection is answered %v, %v", resp, err)
			}
			_ = c.Close()
			stop()
		})
	})
}

// TestBlockingQueryWithBody: the deadline of a body does not end the wait.
func TestBlockingQueryWithBody(t *testing.T) {
	for _, body := range []string{"Content-Length: 6\r\n\r\na body", "Transfer-Encoding: chunked\r\n\r\n6\r\na body\r\n0\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			s := newTestServer(t, newLocalNode(t))
			l := newPipes()
			stop := serveOn(t, s, l)
			c := l.dial(t)
			began := time.Now()
			if _, err := io.WriteString(c, "GET /v1/kv/a?index=1&wait=5m HTTP/1.1\r\nHost: h\r\n"+body); err != nil {
				t.Fatal(err)
			}
			answer, err := receive(c, http.MethodGet)
			if took := time.Since(began); err != nil || answer.status != "404 Not Found" || took < 5*time.Minute {
				t.Errorf("answer is %s after %v, %v", answer.status, took, err)
			}
			_ = c.Close()
			stop()
		})
	}
}
