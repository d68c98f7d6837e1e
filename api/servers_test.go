package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/api"
)

// hosts is an http.RoundTripper in which each host answers in its own way.
type hosts struct {
	mu     sync.Mutex
	answer map[string]func(*http.Request) (*http.Response, error)
	asked  []string    // guarded by mu
	at     []time.Time // guarded by mu
}

func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	h.asked = append(h.asked, r.URL.Hostname())
	h.at = append(h.at, time.Now())
	answer := h.answer[r.URL.Hostname()]
	h.mu.Unlock()
	if r.Body != nil { // as a connection does: what is sent cannot be read again
		_, _ = io.Copy(io.Discard, r.Body)
	}
	return answer(r)
}

func (h *hosts) client(t *testing.T, opts ...api.Option) *api.Client {
	t.Helper()
	opts = append([]api.Option{api.WithoutEnvironment(), api.WithHTTPClient(&http.Client{Transport: h})}, opts...)
	client, err := api.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func says(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return reply(r, status, body, "X-Consul-Index", "3"), nil
	}
}

// breaks is a connection that was made, or not, and broke.
func breaks(sent bool) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		if sent {
			wroteHeaders(r)
		}
		return nil, errors.New("broken")
	}
}

func TestSeveralServers(t *testing.T) {
	get := func(ctx context.Context, c *api.Client) error {
		_, _, err := c.KV().Keys(ctx, "")
		return err
	}
	put := func(ctx context.Context, c *api.Client) error {
		_, err := c.KV().Put(ctx, "k", []byte("v"))
		return err
	}
	stream := func(ctx context.Context, c *api.Client) error {
		_, err := c.KV().PutReader(ctx, "k", io.MultiReader(strings.NewReader("v")), 1)
		return err
	}
	renew := func(ctx context.Context, c *api.Client) error {
		_, err := c.Sessions().Renew(ctx, "s")
		return err
	}
	for _, tc := range []struct {
		rule  string
		a, b  func(*http.Request) (*http.Response, error)
		call  func(context.Context, *api.Client) error
		asked string // in order, by letter
		ok    bool
	}{
		{"the first is asked first", says(200, `["k"]`), says(200, `["k"]`), get, "a", true},
		{"the next when it cannot be reached", breaks(false), says(200, `["k"]`), get, "ab", true},
		{"a write too, since nothing was sent", breaks(false), says(200, "true"), put, "ab", true},
		{"a read when the connection broke", breaks(true), says(200, `["k"]`), get, "ab", true},
		{"but no write, whose outcome is unknown", breaks(true), says(200, "true"), put, "a", false},
		{"a renewal, which does no harm twice", breaks(true), says(200, `[{"ID":"s"}]`), renew, "ab", true},
		{"a read when it has trouble", says(500, "boom"), says(200, `["k"]`), get, "ab", true},
		{"but no write", says(500, "boom"), says(200, "true"), put, "a", false},
		{"a write when there was no leader", says(500, "No cluster leader"), says(200, "true"), put, "ab", true},
		{"a write when it was refused for the load", says(429, "too many"), says(200, "true"), put, "ab", true},
		{"but no stream, which is used up", says(500, "No cluster leader"), says(200, "true"), stream, "a", false},
		{"nothing that was refused", says(403, "Permission denied"), says(200, `["k"]`), get, "a", false},
		{"all of them three times when nobody answers", breaks(false), says(500, "x"), get, "ababab", false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hosts{answer: map[string]func(*http.Request) (*http.Response, error){"a": tc.a, "b": tc.b}}
				client := h.client(t, api.WithAddress("http://a:1, http://b:1"))
				err := tc.call(t.Context(), client)
				if (err == nil) != tc.ok || strings.Join(h.asked, "") != tc.asked {
					t.Errorf("asked %v, error %v; want %s, %v", h.asked, err, tc.asked, tc.ok)
				}
				if n := len(tc.asked); !tc.ok && n > 1 && !strings.Contains(err.Error(), "after 6 tries on 2 servers") {
					t.Errorf("error %v does not tell how often it was tried", err)
				}
			})
		})
	}
}

func TestTheServerThatAnsweredIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{answer: map[string]func(*http.Request) (*http.Response, error){
			"a": breaks(false), "b": says(200, `"x"`), "c": says(200, `"x"`),
		}}
		client := h.client(t, api.WithAddress("a:1,b:1,c:1"))
		ask := func() {
			if _, err := client.Status().Leader(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if client.Address() != "http://a:1" {
			t.Errorf("address = %s before anything was asked", client.Address())
		}
		ask()
		ask()
		h.mu.Lock()
		h.answer["b"], h.answer["a"] = breaks(false), says(200, `"x"`)
		h.mu.Unlock()
		ask()
		if want := []string{"a", "b", "b", "b", "c"}; !slices.Equal(h.asked, want) {
			t.Errorf("asked %v, want %v", h.asked, want)
		}
		if client.Address() != "http://c:1" {
			t.Errorf("address = %s, want that of the one that answered", client.Address())
		}
	})
}

func TestPausesBetweenTriesGrowAndDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{answer: map[string]func(*http.Request) (*http.Response, error){"a": breaks(false)}}
		client := h.client(t, api.WithAddress("a:1"), api.WithRetries(12))
		if _, err := client.Status().Leader(t.Context()); !errors.Is(err, api.ErrUnreachable) {
			t.Errorf("error = %v", err)
		}
		if len(h.at) != 13 {
			t.Fatalf("asked %d times, want 13", len(h.at))
		}
		for i := range 12 {
			d, most := h.at[i+1].Sub(h.at[i]), min(250*time.Millisecond<<i, 30*time.Second)
			if d < most/2 || d > most {
				t.Errorf("pause %d is %s, want %s to %s", i, d, most/2, most)
			}
		}
	})
}

func TestAServerMayAskForALongerPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := func(r *http.Request) (*http.Response, error) { return reply(r, 429, "", "Retry-After", "7"), nil }
		h := &hosts{answer: map[string]func(*http.Request) (*http.Response, error){"a": busy}}
		if _, err := h.client(t, api.WithAddress("a:1"), api.WithRetries(1)).Status().Leader(t.Context()); !errors.Is(err, api.ErrTooMany) {
			t.Errorf("error = %v", err)
		}
		if d := h.at[1].Sub(h.at[0]); d != 7*time.Second {
			t.Errorf("tried again after %s, want 7s", d)
		}
	})
}

func TestOneServerIsAskedOnce(t *testing.T) {
	for _, opts := range [][]api.Option{{api.WithAddress("a:1")}, {api.WithAddress("a:1,b:1"), api.WithRetries(0)}} {
		h := &hosts{answer: map[string]func(*http.Request) (*http.Response, error){"a": breaks(false), "b": breaks(false)}}
		if _, err := h.client(t, opts...).Status().Leader(t.Context()); err == nil || len(h.asked) != len(opts) {
			t.Errorf("asked %v, error %v", h.asked, err)
		}
	}
}

func TestTheEndOfAContextEndsTheTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{answer: map[string]func(*http.Request) (*http.Response, error){"a": breaks(false), "b": breaks(false)}}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := h.client(t, api.WithAddress("a:1,b:1")).Status().Leader(ctx); err == nil || len(h.asked) != 2 {
			t.Errorf("asked %v, error %v", h.asked, err)
		}
	})
}

func TestAddressesThatAreNone(t *testing.T) {
	for _, address := range []string{"a:1,", ",a:1", "a:1,ftp://b", strings.Repeat("a:1,", 64) + "a:1"} {
		if _, err := api.New(api.WithoutEnvironment(), api.WithAddress(address)); err == nil {
			t.Errorf("%.40q was accepted", address)
		}
	}
}

func TestAddressesOfTheEnvironment(t *testing.T) {
	lookup := func(name string) (string, bool) { return "a:1,b:1", name == "CONSUL_HTTP_ADDR" }
	h := &hosts{answer: map[string]func(*http.Request) (*http.Response, error){"a": breaks(false), "b": says(200, `"x"`)}}
	client := h.client(t, api.WithEnvironment(lookup))
	if _, err := client.Status().Leader(t.Context()); err != nil || strings.Join(h.asked, "") != "ab" {
		t.Errorf("asked %v, error %v", h.asked, err)
	}
}
