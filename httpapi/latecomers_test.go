package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
)

// alike fails unless two answers are the same.
func alike(t *testing.T, what string, a, b *httptest.ResponseRecorder) {
	t.Helper()
	if a.Code != b.Code || a.Body.String() != b.Body.String() || fmt.Sprint(a.Header()) != fmt.Sprint(b.Header()) {
		t.Errorf("%s: %d %v %q is not %d %v %q", what, b.Code, b.Header(), b.Body, a.Code, a.Header(), a.Body)
	}
}

// TestLatecomersShareAnAnswer: who asks for news of a key that are there already gets the answer of
// the others, until something is different that it depends on. Then all get a new one, which is
// the same as that of a server that has seen nobody before.
func TestLatecomersShareAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newLocalNode(t)
		s := newTestServer(t, node)
		mustPut(t, s, "k", "1")
		const often = 5
		// several asks often, and tells how many answers were those to another.
		several := func(what, target string, headers ...string) int64 {
			t.Helper()
			want := ask(t, newTestServer(t, node), http.MethodGet, target, "", headers...) // what is made anew
			before := shares.shared.Load()
			for range often {
				alike(t, what, want, ask(t, s, http.MethodGet, target, "", headers...))
			}
			return shares.shared.Load() - before
		}
		for _, step := range []struct {
			what   string
			change func()
			target string
			shared int64 // of the answers, if requests can park
			header string
		}{
			{"news", func() {}, "k?index=1&wait=1m", often - 2, ""},
			{"the same news", func() {}, "k?index=1&wait=1m", often, ""},
			{"other bytes", func() {}, "k?index=2&wait=1m", often - 1, ""},
			{"a header", func() {}, "k?index=2&wait=1m", often - 1, "en"},
			{"a new value", func() { mustPut(t, s, "k", "2") }, "k?index=1&wait=1m", often - 2, ""},
			{"raw", func() {}, "k?index=1&wait=1m&raw", often - 2, ""},
			{"a second later", func() { time.Sleep(time.Second) }, "k?index=1&wait=1m&raw", often - 2, ""},
			{"other settings", func() {
				settings := testSettings()
				s.Configure(settings)
			}, "k?index=1&wait=1m&raw", often - 2, ""},
			{"another key", func() { mustPut(t, s, "other", "2") }, "other?index=1&wait=1m", often - 2, ""},
			{"no index", func() {}, "k", 0, ""},
			{"a prefix", func() {}, "?recurse&index=1&wait=1m", 0, ""},
			{"an earlier state", func() {}, "k?index=1&revision=5", 0, ""},
			{"a value that is too large", func() { mustPut(t, s, "k", strings.Repeat("x", lateValueBytes+1)) }, "k?index=1&wait=1m", 0, ""},
			{"a key that is gone", func() { mustDelete(t, s, "k") }, "k?index=1&wait=1m", 0, ""},
		} {
			step.change()
			got := several(step.what, "/v1/kv/"+step.target, "Accept-Language", step.header)
			if !canPark.Load() {
				step.shared = 0
			}
			if got != step.shared {
				t.Errorf("%s: %d of %d answers were those to another, want %d", step.what, got, often, step.shared)
			}
		}
	})
}

// TestLatecomersAreRefused: whoever may not read the key does not get the answer of who may, nor
// when the same token could before.
func TestLatecomersAreRefused(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "k", "1")
	x, y := g.token(t, `key "k" { policy = "read" }`), g.token(t, `key "l" { policy = "read" }`)
	const news = "/v1/kv/k?index=1&wait=1m"
	for range 4 {
		if w := g.as(t, x, http.MethodGet, news, ""); w.Code != http.StatusOK {
			t.Fatalf("who may read gets %d %q", w.Code, w.Body)
		}
		if w := g.as(t, y, http.MethodGet, news, ""); w.Code != http.StatusForbidden {
			t.Fatalf("who may not read gets %d %q", w.Code, w.Body)
		}
	}
	g.rule(t, x, `key "k" { policy = "deny" }`)
	if w := g.as(t, x, http.MethodGet, news, ""); w.Code != http.StatusForbidden {
		t.Errorf("who may not read any more gets %d %q", w.Code, w.Body)
	}
	g.delete(t, x)
	if w := g.as(t, x, http.MethodGet, news, ""); w.Code != http.StatusForbidden {
		t.Errorf("who has no token any more gets %d %q", w.Code, w.Body)
	}
}
