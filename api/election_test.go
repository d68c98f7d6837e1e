package api_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/api"
)

func TestElectionOnTheWire(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		e := c.client(t).Election("service/db/leader", api.SessionName("db"), api.SessionTTL(30*time.Second), api.SessionLockDelay(5*time.Second))
		term, err := e.Campaign(t.Context(), []byte("node-1"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := term.Proclaim(t.Context(), []byte("node-1 again")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if err := term.Resign(t.Context()); err != nil {
			t.Error(err)
		}
		want := []string{
			`PUT /v1/session/create {"Name":"db","TTL":"30s","Grace":"0s","LockDelay":"5s"}`,
			`GET /v1/kv/service/db/leader?wait=15000ms`,
			`PUT /v1/kv/service/db/leader?acquire=s1&explain= node-1`,
			`GET /v1/kv/service/db/leader?consistent=`,
			`GET /v1/kv/service/db/leader?consistent=&index=12`,
			`PUT /v1/kv/service/db/leader?acquire=s1 node-1 again`,
			`GET /v1/kv/service/db/leader?consistent=&index=13`,
			`PUT /v1/kv/service/db/leader?release=s1 node-1 again`,
			`PUT /v1/session/destroy/s1`,
		}
		if diff := cmp.Diff(want, c.requests()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestObserveSeesEveryLeader(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		client := c.client(t)
		e := client.Election("k")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var seen []string
		ended := make(chan error)
		go func() {
			for l, err := range client.Election("k").Observe(ctx) {
				if err != nil {
					ended <- err
					return
				}
				who := "nobody"
				if l.Elected() {
					who = string(l.Value) + " with " + l.Session
				}
				seen = append(seen, who)
			}
			ended <- nil
		}()
		synctest.Wait()
		for _, name := range []string{"a", "b"} {
			term, err := e.Campaign(t.Context(), []byte(name))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if now, err := e.Leader(t.Context()); err != nil || string(now.Value) != name || !now.Elected() {
				t.Errorf("leader = %+v, %v; want %s", now, err, name)
			}
			if err := term.Resign(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		if now, err := e.Leader(t.Context()); err != nil || now.Elected() || now.Term != 2 {
			t.Errorf("leader = %+v, %v; want nobody after term 2", now, err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		if want := []string{"nobody", "a with s1", "nobody", "b with s2", "nobody"}; !slices.Equal(seen, want) {
			t.Errorf("saw %q, want %q", seen, want)
		}
	})
}

func TestAnElectionWithoutAKeyHasNoLeader(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		if l, err := c.client(t).Election("k").Leader(t.Context()); err != nil || l.Elected() || l.Index == 0 {
			t.Errorf("leader = %+v, %v", l, err)
		}
	})
}

func TestProclaimAfterTheTerm(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		doing func(c *fakeCluster, term *api.Term)
	}{
		{"somebody deleted the key, and it is not ours to take again", func(c *fakeCluster, _ *api.Term) { c.remove("k") }},
		{"the session ended", func(c *fakeCluster, _ *api.Term) { c.destroy("s1") }},
		{"the leader has resigned", func(_ *fakeCluster, term *api.Term) { _ = term.Resign(context.Background()) }},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *fakeCluster) {
				term, err := c.client(t).Election("k").Campaign(t.Context(), []byte("a"))
				if err != nil {
					t.Fatal(err)
				}
				tc.doing(c, term)
				if err := term.Proclaim(t.Context(), []byte("b")); !errors.Is(err, api.ErrLost) {
					t.Errorf("error = %v, want ErrLost", err)
				}
				_ = term.Resign(t.Context())
				if e := c.entry("k"); e != nil && e.Session != "" {
					t.Errorf("the key is still held by %s", e.Session)
				}
			})
		})
	}
}

func TestTryCampaign(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		e := c.client(t).Election("k")
		term, err := e.TryCampaign(t.Context(), []byte("a"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.TryCampaign(t.Context(), []byte("b"), time.Second); !errors.Is(err, api.ErrHeld) {
			t.Errorf("error = %v, want ErrHeld", err)
		}
		_ = term.Resign(t.Context())
	})
}
