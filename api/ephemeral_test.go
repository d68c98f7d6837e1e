package api_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/api"
)

func TestEphemeralKeyOnTheWire(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		k, err := c.client(t).EphemeralKey(t.Context(), "members/a", []byte("v1"), api.SessionName("member"))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Set(t.Context(), []byte("v2")); err != nil {
			t.Error(err)
		}
		if e := c.entry("members/a"); e == nil || string(e.Value) != "v2" || k.Key() != "members/a" || k.Session() != "s1" {
			t.Errorf("entry = %+v", e)
		}
		if err := k.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if c.entry("members/a") != nil {
			t.Error("the key outlives its owner")
		}
		want := []string{
			`PUT /v1/session/create {"Name":"member","TTL":"15s","Grace":"0s"}`,
			`PUT /v1/kv/members/a?ephemeral=s1 v1`,
			`PUT /v1/kv/members/a?ephemeral=s1 v2`,
			`PUT /v1/session/destroy/s1`,
		}
		if diff := cmp.Diff(want, c.requests()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnEphemeralKeyIsMadeAgain(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		doing func(c *fakeCluster)
		told  []string
	}{
		{"after its session was ended", func(c *fakeCluster) { c.destroy("s1") }, []string{"connected", "lost", "connected"}},
		{"after the servers were out of reach for long", func(c *fakeCluster) {
			from := time.Now()
			c.setFault(func(*http.Request) (*http.Response, error) {
				if time.Since(from) < 5*time.Minute {
					return nil, errors.New("no route")
				}
				return nil, nil
			})
		}, []string{"connected", "suspended", "lost", "connected"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *fakeCluster) {
				var told states
				k, err := c.client(t).EphemeralKey(t.Context(), "k", []byte("v1"), told.option())
				if err != nil {
					t.Fatal(err)
				}
				if err := k.Set(t.Context(), []byte("v2")); err != nil {
					t.Error(err)
				}
				tc.doing(c)
				pass(10 * time.Minute)
				if e := c.entry("k"); e == nil || string(e.Value) != "v2" || k.Err() != nil || k.Session() == "s1" {
					t.Errorf("entry = %+v, session %s, error %v", e, k.Session(), k.Err())
				}
				if c.endOf("s1").IsZero() {
					t.Error("the old session was left behind")
				}
				if err := k.Close(t.Context()); err != nil {
					t.Error(err)
				}
				told.want(t, tc.told...)
				if c.entry("k") != nil || c.endOf(k.Session()).IsZero() {
					t.Error("the key or its session outlives its owner")
				}
			})
		})
	}
}

func TestSetNoticesThatTheSessionIsGone(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		k, err := c.client(t).EphemeralKey(t.Context(), "k", []byte("v1"))
		if err != nil {
			t.Fatal(err)
		}
		c.destroy("s1")
		if err := k.Set(t.Context(), []byte("v2")); err == nil || !strings.Contains(err.Error(), "invalid session") {
			t.Errorf("error = %v", err)
		}
		pass(time.Millisecond) // far below the next renewal
		if e := c.entry("k"); e == nil || string(e.Value) != "v2" {
			t.Errorf("entry = %+v, want it made again with the new value", e)
		}
		if err := k.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAnEphemeralKeyInALease(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		client := c.client(t)
		l := mustLease(t, client)
		k, err := client.EphemeralKey(t.Context(), "k", []byte("v"), api.InLease(l))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Close(t.Context()); err != nil || c.entry("k") != nil || l.Err() != nil {
			t.Errorf("closed with %v; key %+v, lease %v", err, c.entry("k"), l.Err())
		}
		if err := k.Set(t.Context(), nil); err == nil || c.entry("k") != nil {
			t.Error("written after it was closed")
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := client.EphemeralKey(t.Context(), "k", nil, api.InLease(l)); err == nil {
			t.Error("made with a lease that is closed")
		}
	})
}

func TestAnEphemeralKeyThatCannotBeMade(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		c.setFault(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Path, "/v1/kv/") {
				return reply(r, 403, "Permission denied"), nil
			}
			return nil, nil
		})
		if _, err := c.client(t).EphemeralKey(t.Context(), "k", nil); !errors.Is(err, api.ErrDenied) {
			t.Errorf("error = %v, want ErrDenied", err)
		}
		if c.endOf("s1").IsZero() {
			t.Error("the session was left behind")
		}
	})
}
