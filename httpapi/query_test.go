package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestQuery: how a query string is read.
//
// Source: contract, README, section 5.
func TestQuery(t *testing.T) {
	for _, tc := range []struct {
		rule, raw string
		p         param
		has       bool
		value     string
	}{
		{"absent", "", pRaw, false, ""},
		{"present without a value", "raw", pRaw, true, ""},
		{"present with an empty value", "raw=", pRaw, true, ""},
		{"present as soon as it is named, whatever the value", "raw=false", pRaw, true, "false"},
		{"names are case sensitive", "RAW", pRaw, false, ""},
		{"names may be percent-encoded", "r%61w=1", pRaw, true, "1"},
		{"the first of a repeated one counts", "cas=1&cas=2", pCAS, true, "1"},
		{"the first counts when it is empty", "cas=&cas=2", pCAS, true, ""},
		{"plus is a space in a value", "separator=+", pSeparator, true, " "},
		{"values are percent-decoded", "separator=%2F%2f%3B", pSeparator, true, "//;"},
		{"a value may have an equals sign", "separator=a=b", pSeparator, true, "a=b"},
		{"empty pairs are skipped", "&&raw&&", pRaw, true, ""},
		{"unknown names are ignored", "nope=1&raw", pRaw, true, ""},
		{"an empty name is ignored", "=1&raw", pRaw, true, ""},
		{"the misspelling is a name of its own", "seperator=x", pSeparator, false, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var q query
			if err := q.parse(tc.raw); err != nil {
				t.Fatal(err)
			}
			if q.has(tc.p) != tc.has || q.get(tc.p) != tc.value {
				t.Errorf("%q: present %v, value %q, want %v, %q", tc.raw, q.has(tc.p), q.get(tc.p), tc.has, tc.value)
			}
		})
	}
}

// TestUndecodableQuery: 400 with a sentence, before any work, whoever asks what.
//
// Source: contract, README, section 2, step 6, and "Where Holdfast should differ" 3.
func TestUndecodableQuery(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	for _, raw := range []string{"raw;x=1", "ra%zzw", "a=%", "a=%1", "unknown=%zz", "%zz=unknown", "a;b"} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPost} {
			w := ask(t, s, method, "/v1/kv/a?"+raw, "1")
			if w.Code != http.StatusBadRequest || !strings.HasPrefix(w.Body.String(), "query string has a ") {
				t.Errorf("%s with ?%s is answered %d %q", method, raw, w.Code, w.Body)
			}
		}
	}
	if index := s.node.Store().View().Applied(); index != 0 {
		t.Errorf("something was written at index %d", index)
	}
}

// TestParamNames: every parameter has exactly one name.
func TestParamNames(t *testing.T) {
	if paramCount > 64 {
		t.Fatalf("%d parameters do not fit the set", paramCount)
	}
	names := strings.Fields(`stale consistent leader cached max_stale index wait min-index dc datacenter ns partition token
		pretty recurse keys raw separator seperator cas flags acquire release revision at history limit after exact`)
	seen := map[param]string{}
	for _, name := range names {
		p, ok := paramOf(name)
		if !ok {
			t.Errorf("%s is no parameter", name)
		}
		if other, twice := seen[p]; twice {
			t.Errorf("%s and %s are the same parameter", name, other)
		}
		seen[p] = name
	}
}

// FuzzQuery holds the parser against that of net/url.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "raw", "raw=false&recurse", "cas=1&cas=2", "a=%2F+b&keys", "a;b", "a=%", "%61t=x", "&&=&=1", "separator=a%3Bb", "k\x00=\xff", "raw=%zz&raw",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if strings.Count(raw, "&") > 1000 {
			t.Skip("net/url has a bound on the number of parameters, ours is that of the headers")
		}
		var q query
		err := q.parse(raw)
		want, wantErr := url.ParseQuery(raw)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%q: error is %v, net/url has %v", raw, err, wantErr)
		}
		if err != nil {
			return
		}
		for name, values := range want {
			if p, known := paramOf(name); known && (!q.has(p) || q.get(p) != values[0]) {
				t.Errorf("%q: %s is present %v with %q, net/url has %q", raw, name, q.has(p), q.get(p), values)
			}
		}
		for p := range paramCount {
			if q.has(p) && !nameIn(want, p) {
				t.Errorf("%q: parameter %d is present, net/url has %v", raw, p, want)
			}
		}
	})
}

func nameIn(values url.Values, p param) bool {
	for name := range values {
		if got, ok := paramOf(name); ok && got == p {
			return true
		}
	}
	return false
}

// TestClearedQuery: a query that is used again knows nothing of before.
func TestClearedQuery(t *testing.T) {
	var q query
	if err := q.parse("keys&separator=/&dc=x&access=y&stale"); err != nil {
		t.Fatal(err)
	}
	if q.clear(); q != (query{}) {
		t.Errorf("after clear the query is %+v", q)
	}
}
