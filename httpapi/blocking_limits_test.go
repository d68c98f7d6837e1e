package httpapi

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// watchFrom is watch for a client at the given address.
func watchFrom(t *testing.T, s *Server, client, target string) *watcher {
	t.Helper()
	return watch(WithClient(t.Context(), netip.MustParseAddr(client)), t, s, target)
}

const (
	tooManyOfOne = "Your IP has too many blocking queries waiting, please reuse them or raise limits.parked_queries_per_client"
	tooManyOfAll = "Too many blocking queries are waiting on this server, ask another one or raise limits.parked_queries_total"
)

// TestParkedLimits: so many for one client and so many altogether, 429 beyond, and
// whoever is answered makes room.
func TestParkedLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ParkedPerClient, s.ParkedTotal = 2, 3 })
		mustPut(t, s, "k", "1")
		refused := func(client, text string) {
			t.Helper()
			w := watchFrom(t, s, client, "never?index=4&wait=1m")
			if w.waits() {
				t.Fatal("one too many waits")
			}
			expect(t, w.answer, http.StatusTooManyRequests, text)
			expectHeader(t, w.answer, "X-Consul-Index", "")
		}
		watchFrom(t, s, "192.0.2.1", "k?index=4&wait=10s").mustWait(t)
		long := watchFrom(t, s, "192.0.2.1", "none?index=4&wait=1m")
		long.mustWait(t)
		refused("192.0.2.1", tooManyOfOne)
		watchFrom(t, s, "192.0.2.1", "k?index=3").mustBe(t, 200, "4") // what need not wait is not counted
		watchFrom(t, s, "192.0.2.2", "k?index=4&wait=1m").mustWait(t)
		refused("192.0.2.2", tooManyOfAll)
		refused("192.0.2.3", tooManyOfAll)
		if got := s.Parked(); got != 3 {
			t.Errorf("%d wait, want 3", got)
		}
		mustPut(t, s, "k", "2") // answers two of them
		synctest.Wait()
		if got := s.Parked(); got != 1 {
			t.Errorf("%d wait, want 1", got)
		}
		watchFrom(t, s, "192.0.2.1", "k?index=5&wait=1s").mustWait(t)
		refused("192.0.2.1", tooManyOfOne)
		<-long.done
		mustBeEmpty(t, s)
		watchFrom(t, s, "192.0.2.1", "k?index=5&wait=1s").mustTimeOut(t, time.Second, 200, "5")
		mustBeEmpty(t, s)
	})
}

// TestParkedLimitsOff: 0 or below is no limit; a limit can be changed at any time.
func TestParkedLimitsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ParkedPerClient, s.ParkedTotal = 0, -1 })
		for range 300 {
			watch(t.Context(), t, s, "k?index=1&wait=1m").mustWait(t)
		}
		settings := testSettings()
		settings.ParkedPerClient = 300
		settings.ParkedTotal = 0
		s.Configure(settings)
		w := watch(t.Context(), t, s, "k?index=1&wait=1m")
		expect(t, w.answer, http.StatusTooManyRequests, tooManyOfOne)
		s.Drain()
		synctest.Wait()
		mustBeEmpty(t, s)
	})
}

// TestParkedIsGivenBackAfterErrors: a query that ends with an error leaves nothing.
func TestParkedIsGivenBackAfterErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newLocalNode(t)
		s := newTestServer(t, node)
		mustPut(t, s, "k", "1")
		w := watch(t.Context(), t, s, "k?index=4&consistent")
		w.mustWait(t)
		node.setContact(Contact{}, ErrNoLeader)
		mustPut(t, s, "k", "2")
		w.mustBe(t, 500, "")
		mustBeEmpty(t, s)
	})
}

// TestClientGone: with the client its query, its place and its registration go.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.ParkedPerClient = 3 })
		ctx, leave := context.WithCancel(t.Context())
		var all []*watcher
		for _, target := range []string{"k?index=1", "p/?keys&index=1", "k?raw&index=1"} {
			all = append(all, watch(ctx, t, s, target))
			all[len(all)-1].mustWait(t)
		}
		if w := watch(t.Context(), t, s, "k?index=1"); w.answer.Code != http.StatusTooManyRequests {
			t.Fatalf("one too many is answered %d", w.answer.Code)
		}
		leave()
		for _, w := range all {
			w.mustBe(t, statusClientGone, "")
			if w.took > 0 {
				t.Errorf("it left after %v", w.took)
			}
		}
		mustBeEmpty(t, s)
	})
}

// TestClientGoneOnTheWire: a connection that is closed while its query waits frees
// its place, also when the request had a body that nobody reads.
func TestClientGoneOnTheWire(t *testing.T) {
	for rule, body := range map[string]string{"no body": "", "a body": "what is this?"} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestServer(t, newLocalNode(t))
				l := newPipes()
				stop := serveOn(t, s, l)
				c := l.dial(t)
				if err := send(c, http.MethodGet, "/v1/kv/k?index=1", body); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if s.Parked() != 1 {
					t.Fatalf("%d wait, want 1", s.Parked())
				}
				_ = c.Close()
				synctest.Wait()
				mustBeEmpty(t, s)
				stop()
			})
		})
	}
}

// TestHalfClosedConnection: a client that has closed only the side on which it
// sends is never told 200 without a body.
func TestHalfClosedConnection(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	c := dialTCP(t, s)
	if err := send(c, http.MethodGet, "/v1/kv/k?index=1&wait=1m", ""); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return // cut off: that is honest too
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != statusClientGone || !strings.HasPrefix(string(text), "Client closed its connection") {
		t.Errorf("answer is %s %q, %v", resp.Status, text, err)
	}
	eventually(t, "the query is gone", func() bool { return s.Parked() == 0 })
}
