package httpapi

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/holdfast-kv/holdfast/acl"
)

// TestTokensOfOneConnection: what is known of a connection is never another token's, nor what was
// true of a token once.
func TestTokensOfOneConnection(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.put(t, "k", "1")
	ctx := WithClient(t.Context(), netip.MustParseAddr("192.0.2.7"))
	x, y := g.token(t, `key "k" { policy = "read" }`), g.token(t, `key "l" { policy = "read" }`)
	asks := func(what, secret string, want int) {
		t.Helper()
		for range 3 {
			if w := askIn(ctx, t, g.Server, http.MethodGet, "/v1/kv/k", "", "X-Consul-Token", secret); w.Code != want {
				t.Errorf("%s gets %d %q, want %d", what, w.Code, w.Body, want)
			}
		}
	}
	for range 2 {
		asks("who may read", x.secret, http.StatusOK)
		asks("who may not", y.secret, http.StatusForbidden)
		asks("nobody", "", http.StatusForbidden)
		asks("who has a token that there is not", "c0ffee00-0000-0000-0000-000000000000", http.StatusForbidden)
	}
	asks("who may read", x.secret, http.StatusOK)
	g.rule(t, x, `key "l" { policy = "read" }`)
	asks("who may not any more", x.secret, http.StatusForbidden)
	g.rule(t, x, `key "k" { policy = "read" }`)
	asks("who may again", x.secret, http.StatusOK)
	g.delete(t, x)
	asks("whose token is gone", x.secret, http.StatusForbidden)
}

func TestAddressOfAConnection(t *testing.T) {
	for _, c := range []struct {
		client netip.Addr
		want   string
	}{
		{netip.MustParseAddr("192.0.2.7"), "192.0.2.7"},
		{netip.MustParseAddr("2001:db8::1"), "2001:db8::1"},
		{netip.Addr{}, ""},
	} {
		r, err := http.NewRequestWithContext(WithClient(t.Context(), c.client), http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		x := &call{one: one{r: r}}
		if got := x.address(); got != c.want || x.client() != c.client {
			t.Errorf("%v has the address %q, want %q", c.client, got, c.want)
		}
	}
}
