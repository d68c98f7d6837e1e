package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

func TestReadyz(t *testing.T) {
	good := Check{Name: "raft", OK: true, Reason: "leader in term 2"}
	full := Check{Name: "disk", Reason: "disk is low on space"}
	for _, tc := range []struct {
		rule, target string
		checks       []Check
		stopping     bool
		status       int
		body         string
	}{
		{"ready", "/readyz", []Check{good}, false, 200, "ok\n"},
		{"not ready, without details", "/readyz", []Check{good, full}, false, 503, "not ready\n"},
		{"ready, in words", "/readyz?verbose", []Check{good}, false, 200, "[+]serving ok: requests are taken\n[+]raft ok: leader in term 2\nreadyz check passed\n"},
		{"not ready, in words", "/readyz?verbose", []Check{full, good}, false, 503, "[+]serving ok: requests are taken\n[-]disk failed: disk is low on space\n[+]raft ok: leader in term 2\nreadyz check failed\n"},
		{"one check left out", "/readyz?verbose&exclude=disk", []Check{good, full}, false, 200, "[+]serving ok: requests are taken\n[+]raft ok: leader in term 2\n[+]disk excluded: ok\nreadyz check passed\n"},
		{"several left out", "/readyz?exclude=disk&exclude=serving", []Check{full}, true, 200, "ok\n"},
		{"another left out changes nothing", "/readyz?exclude=x", []Check{full}, false, 503, "not ready\n"},
		{"a server that stops is not ready", "/readyz", []Check{good}, true, 503, "not ready\n"},
		{"but it is alive", "/livez", []Check{full}, true, 200, "ok\n"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			s := newAgentServer(t, &fakeAgent{checks: tc.checks})
			if tc.stopping {
				s.Drain()
			}
			w := ask(t, s, http.MethodGet, tc.target, "")
			if w.Code != tc.status || w.Body.String() != tc.body {
				t.Errorf("%d\n%s\nwant %d\n%s", w.Code, w.Body.String(), tc.status, tc.body)
			}
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("cache control is %q", got)
			}
		})
	}
}

func TestIndexPageNamesTheAddressItWasAskedAt(t *testing.T) {
	w := ask(t, newAgentServer(t, &fakeAgent{}), http.MethodGet, "http://hold.example:1234/", "")
	if got := w.Body.String(); !strings.Contains(got, "curl http://hold.example:1234/v1/kv/app/motd?raw\n") {
		t.Errorf("page is\n%s", got)
	}
	if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("content type is %q", got)
	}
}
