package rawhttp

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParser(t *testing.T) {
	for _, tc := range []struct {
		rule string
		wire string
		want []Response
	}{
		{
			"a body of announced length",
			"HTTP/1.1 200 OK\r\nX-Consul-Index: 42\r\nContent-Length: 5\r\n\r\nhello",
			[]Response{{Status: 200, Index: 42, Length: 5, Body: []byte("hello")}},
		},
		{
			"names of headers in any case, values with blanks around",
			"HTTP/1.1 200 OK\r\nx-CONSUL-index:7\r\ncontent-LENGTH: \t2 \r\n\r\nok",
			[]Response{{Status: 200, Index: 7, Length: 2, Body: []byte("ok")}},
		},
		{
			"chunks with an extension and a trailer",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
			[]Response{{Status: 200, Length: 13, Body: []byte("abc0123456789")}},
		},
		{
			"an empty chunked body",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			[]Response{{Status: 200}},
		},
		{
			"a 404 without a body ends at its head",
			"HTTP/1.1 404 Not Found\r\nX-Consul-Index: 9\r\nContent-Length: 0\r\n\r\n",
			[]Response{{Status: 404, Index: 9}},
		},
		{
			"a 204 has no body even without a length",
			"HTTP/1.1 204 No Content\r\n\r\n",
			[]Response{{Status: 204}},
		},
		{
			"an interim answer is skipped",
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
			[]Response{{Status: 200, Length: 1, Body: []byte("x")}},
		},
		{
			"a server that will close says so",
			"HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
			[]Response{{Status: 500, Close: true}},
		},
		{
			"two answers in one piece are told apart",
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nbc",
			[]Response{{Status: 200, Length: 1, Body: []byte("a")}, {Status: 404, Length: 2, Body: []byte("bc")}},
		},
		{
			"a status line may lack its reason",
			"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
			[]Response{{Status: 200}},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			// Every way of cutting the bytes into pieces of one size must give
			// the same answers.
			for size := 1; size <= len(tc.wire); size++ {
				got, err := parseInPieces([]byte(tc.wire), size)
				if err != nil {
					t.Fatalf("pieces of %d bytes: %v", size, err)
				}
				for i := range got {
					got[i].Head = nil
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Fatalf("pieces of %d bytes (-want +got):\n%s", size, diff)
				}
			}
		})
	}
}

func parseInPieces(wire []byte, size int) ([]Response, error) {
	p := Parser{Keep: true}
	var out []Response
	for len(wire) > 0 {
		piece := wire[:min(size, len(wire))]
		wire = wire[len(piece):]
		for len(piece) > 0 {
			r, n, done, err := p.Feed(piece)
			if err != nil {
				return out, err
			}
			piece = piece[n:]
			if done {
				out = append(out, r)
			}
		}
	}
	if p.Busy() {
		return out, errors.New("the last answer is not finished")
	}
	return out, nil
}

func TestParserRefuses(t *testing.T) {
	for _, tc := range []struct{ rule, wire, want string }{
		{"another protocol", "SSH-2.0-OpenSSH_9.6\r\n\r\n", "is not HTTP/1"},
		{"a status that is no number", "HTTP/1.1 2x0 OK\r\n\r\n", "no status code"},
		{"a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "no status code"},
		{"a body without a length", "HTTP/1.1 200 OK\r\n\r\nx", "neither Content-Length nor chunks"},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "is not a length"},
		{"another transfer encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "not supported"},
		{"a header without a colon", "HTTP/1.1 200 OK\r\nfoo\r\n\r\n", "no colon"},
		{"a chunk size that is no number", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not a hexadecimal"},
		{"a chunk longer than announced", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "chunk is followed by"},
		{"an endless head", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 2*maxHeadBytes), "head is longer"},
		{"an endless chunk line", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 2*maxLineBytes), "framing line is longer"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			for _, size := range []int{1, len(tc.wire)} {
				_, err := parseInPieces([]byte(tc.wire), size)
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("pieces of %d bytes: error %v, want one with %q", size, err, tc.want)
				}
			}
		})
	}
}

func TestParserWithoutKeepCountsOnly(t *testing.T) {
	var p Parser
	r, _, done, err := p.Feed([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	if err != nil || !done {
		t.Fatalf("done = %v, error %v", done, err)
	}
	if r.Length != 5 || r.Body != nil || r.Head != nil {
		t.Errorf("length %d, body %q, head %q; want 5 and nothing kept", r.Length, r.Body, r.Head)
	}
}

func TestParserKeepsErrorsWhenAsked(t *testing.T) {
	p := Parser{KeepErrors: true}
	for _, tc := range []struct{ rule, wire, body, problem string }{
		{"a good answer is not kept", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "", "answered with status 200"},
		{"a bad one is", "HTTP/1.1 500 Oops\r\nContent-Length: 10\r\n\r\nno leader\n", "no leader\n", "answered with status 500: no leader"},
	} {
		r, _, _, err := p.Feed([]byte(tc.wire))
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Body) != tc.body || r.Problem().Error() != tc.problem {
			t.Errorf("%s: body %q, problem %q", tc.rule, r.Body, r.Problem())
		}
	}
}

func TestParserAllocatesNothingPerAnswer(t *testing.T) {
	wire := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Consul-Index: 42\r\nContent-Length: 5\r\n\r\nhello")
	var p Parser
	allocs := testing.AllocsPerRun(100, func() {
		if _, _, done, err := p.Feed(wire); !done || err != nil {
			t.Fatal(done, err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations an answer, want 0", allocs)
	}
}

func TestFieldsKeepSpellingAndOrder(t *testing.T) {
	p := Parser{Keep: true}
	r, _, _, err := p.Feed([]byte("HTTP/1.1 200 OK\r\nX-Consul-Knownleader: true\r\nvary: a\r\nVary:b\r\nContent-Length: 0\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Field{{"X-Consul-Knownleader", "true"}, {"vary", "a"}, {"Vary", "b"}, {"Content-Length", "0"}}
	if diff := cmp.Diff(want, r.Fields()); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func FuzzParser(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), 3)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), 1)
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), 7)
	f.Fuzz(func(t *testing.T, wire []byte, size int) {
		if size < 1 {
			return
		}
		whole, errWhole := parseInPieces(wire, max(1, len(wire)))
		pieces, errPieces := parseInPieces(wire, size)
		if (errWhole == nil) != (errPieces == nil) {
			t.Fatalf("in one piece: %v; in pieces of %d: %v", errWhole, size, errPieces)
		}
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Fatalf("pieces of %d differ:\n%s", size, diff)
		}
	})
}
