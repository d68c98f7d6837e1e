package api_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/api"
)

func TestSemaphoreOnTheWire(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		sem := c.client(t).Semaphore("sem/job", 2, api.SessionName("sem-a"), api.SessionLockDelay(time.Millisecond))
		h, err := sem.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second) // the watcher is parked
		if h.Key() != "sem/job/s1" || h.Fence() != 0 {
			t.Errorf("hold = %s, fence %d", h.Key(), h.Fence())
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if err := sem.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		want := []string{
			`PUT /v1/session/create {"Name":"sem-a","TTL":"15s","Grace":"0s","LockDelay":"1ms","Behavior":"delete"}`,
			`PUT /v1/kv/sem/job/s1?acquire=s1&flags=` + semFlags,
			`GET /v1/kv/sem/job?recurse=&wait=15000ms`,
			`PUT /v1/kv/sem/job/.lock?cas=0&flags=` + semFlags + ` {"Limit":2,"Holders":{"s1":true}}`,
			`GET /v1/kv/sem/job?consistent=&recurse=`,
			`GET /v1/kv/sem/job?consistent=&index=13&recurse=`,
			`GET /v1/kv/sem/job/.lock`,
			`PUT /v1/kv/sem/job/.lock?cas=13&flags=` + semFlags + ` {"Limit":2,"Holders":{}}`,
			`DELETE /v1/kv/sem/job/s1`,
			`PUT /v1/session/destroy/s1`,
			`GET /v1/kv/sem/job?recurse=`,
			`DELETE /v1/kv/sem/job/.lock?cas=14`,
		}
		if diff := cmp.Diff(want, c.requests()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestASemaphoreHasSoManyHoldersAndNoMore(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		var mu sync.Mutex
		now, most, done := 0, 0, 0
		var workers sync.WaitGroup
		for range 12 {
			workers.Go(func() {
				h, err := c.client(t).Semaphore("p", 3).Acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				pass(10 * time.Second)
				mu.Lock()
				now--
				done++
				mu.Unlock()
				if err := h.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		workers.Wait()
		if most != 3 || done != 12 {
			t.Errorf("at most %d at a time, %d in all; want 3 and 12", most, done)
		}
	})
}

func TestASlotOfADeadHolderIsFree(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		client := c.client(t)
		first, err := client.Semaphore("p", 1).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { c.destroy(first.Session()) })
		second, err := client.Semaphore("p", 1).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		<-first.Lost()
		if !errors.Is(first.Err(), api.ErrLost) || second.Err() != nil {
			t.Errorf("first: %v, second: %v", first.Err(), second.Err())
		}
		_ = first.Release(t.Context())
		if err := second.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAFullSemaphore(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		client := c.client(t)
		var holds []*api.Hold
		for _, name := range []string{"one", "two"} {
			h, err := client.Semaphore("p", 2, api.SessionName(name)).Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			holds = append(holds, h)
		}
		// A neighbour whose name only begins like it does not disturb.
		if _, err := client.KV().Put(t.Context(), "p2/x", []byte("v")); err != nil {
			t.Fatal(err)
		}
		_, err := client.Semaphore("p", 2).TryAcquire(t.Context(), 3*time.Second)
		want := `"p" is full: all 2 slots are held, by session s1 ("one", on node n1), session s2 ("two", on node n1)`
		if !errors.Is(err, api.ErrHeld) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error = %v\nwant %s", err, want)
		}
		if c.entry("p/s3") != nil {
			t.Error("the contender left its key behind")
		}
		if err := client.Semaphore("p", 2).Destroy(t.Context()); !errors.Is(err, api.ErrInUse) {
			t.Errorf("destroy = %v, want ErrInUse", err)
		}
		for _, h := range holds {
			if err := h.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestASemaphoreOfAnotherKind(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		flags uint64
		value string
		slots int
		says  string
	}{
		{"other flags are a conflict", 7, `{}`, 2, "its flags|flags of"},
		{"so is another size", api.FlagsSemaphore, `{"Limit":3,"Holders":{}}`, 2, "it has 3 slots, and 2 were asked for"},
		{"and a list that cannot be read", api.FlagsSemaphore, `x`, 2, "read list of holders"},
		{"no slots are a fault of the caller", api.FlagsSemaphore, `{"Limit":3,"Holders":{}}`, 0, "0 slots are none"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *fakeCluster) {
				client := c.client(t)
				if _, err := client.KV().Put(t.Context(), "p/.lock", []byte(tc.value), api.Flags(tc.flags)); err != nil {
					t.Fatal(err)
				}
				_, err := client.Semaphore("p", tc.slots).Acquire(t.Context())
				if err == nil || !slices.ContainsFunc(strings.Split(tc.says, "|"), func(s string) bool { return strings.Contains(err.Error(), s) }) {
					t.Errorf("error = %v, want %s", err, tc.says)
				}
				if errors.Is(err, api.ErrConflict) != (tc.slots > 0) {
					t.Errorf("error = %v, want ErrConflict: %v", err, tc.slots > 0)
				}
				if string(c.entry("p/.lock").Value) != tc.value || c.entry("p/s1") != nil {
					t.Error("something was changed or left behind")
				}
			})
		})
	}
}

func TestABrokenWaitForASlotLeavesNothingBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, c *fakeCluster) {
		client := c.client(t)
		l := mustLease(t, client)
		first, err := client.Semaphore("p", 1).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := client.Semaphore("p", 1, api.InLease(l)).Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want the context's", err)
		}
		if c.entry("p/"+l.Session()) != nil || l.Err() != nil {
			t.Error("the contender's key is left, or the lease of the caller was ended")
		}
		_ = first.Release(t.Context())
		_ = l.Close(t.Context())
	})
}
