//go:build unix

package api_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/api"
	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// TestTheServersRecipesInEveryMode: places, leaders and members outlast what happens to
// a server, and go on from where they were.
func TestTheServersRecipesInEveryMode(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	testcluster.EachMode(t, testcluster.Options{}, func(t *testing.T, s *testcluster.Server) {
		client := connectTo(t, s.URL())
		ctx, none, moment := t.Context(), time.Duration(0), time.Millisecond
		var sessions []string
		for range 4 {
			id, err := client.Sessions().Create(ctx, api.SessionSpec{TTL: time.Hour, Grace: &none, LockDelay: &moment})
			if err != nil {
				t.Fatal(err)
			}
			sessions = append(sessions, id)
		}
		lock, election, group := client.ServerLock("jobs/nightly"), client.ServerElection("db"), client.Group("web")
		for i, id := range sessions[:3] {
			p, err := lock.Acquire(ctx, api.Claim{Session: id, Wait: &moment})
			if err != nil || p.Held != (i == 0) || p.Ahead != i {
				t.Fatalf("claim %d: %+v, %v", i, p, err)
			}
		}
		if p, err := election.Campaign(ctx, api.Claim{Session: sessions[0], Value: []byte("one")}); err != nil || !p.Held {
			t.Fatalf("campaign: %+v, %v", p, err)
		}
		if _, err := group.Join(ctx, "1", api.Claim{Session: sessions[0]}); err != nil {
			t.Fatal(err)
		}
		s.Turn()
		// All who wait at once hold one after the other, in the order of their places.
		var mu sync.Mutex
		var order []string
		var fences []uint64
		var wg sync.WaitGroup
		for _, id := range sessions {
			wg.Go(func() {
				p, err := lock.Acquire(ctx, api.Claim{Session: id})
				if err != nil || !p.Held {
					t.Errorf("claim of %s: %+v, %v", id, p, err)
					return
				}
				mu.Lock()
				order, fences = append(order, id), append(fences, p.Fence)
				mu.Unlock()
				if _, err := client.KV().Put(ctx, "result", []byte(id), api.Fence(p.Key, p.Fence)); err != nil {
					t.Errorf("write of a holder: %v", err)
				}
				if err := truly(lock.Release(ctx, id)); err != nil {
					t.Errorf("release of %s: %v", id, err)
				}
			})
		}
		wg.Wait()
		if !slices.Equal(order, sessions) || !slices.IsSorted(fences) || len(slices.Compact(fences)) != len(sessions) {
			t.Errorf("order is %v with numbers %v, want %v", order, fences, sessions)
		}
		lead, meta, err := election.Observe(ctx)
		if err != nil || lead.Leader == nil || lead.Leader.Session != sessions[0] || string(lead.Leader.Value) != "one" {
			t.Fatalf("leader is %+v, %v", lead, err)
		}
		if err := client.Sessions().Destroy(ctx, sessions[0]); err != nil {
			t.Fatal(err)
		}
		if lead, _, err = election.Observe(ctx, api.WaitIndex(meta.Index, time.Minute)); err != nil || lead.Leader != nil {
			t.Errorf("leader after the end of its session is %+v, %v", lead, err)
		}
		if members, _, err := group.Members(ctx); err != nil || len(members) > 0 {
			t.Errorf("members after the end of their session are %v, %v", members, err)
		}
	})
}

// TestALockGoesOnAfterTheDelay: the leader lets the next hold when the lock-delay is
// over, and one that was made for the wait ends on time.
func TestALockGoesOnAfterTheDelay(t *testing.T) {
	_, client := startServer(t)
	ctx, delay := t.Context(), 2*time.Second
	lock := client.ServerLock("l")
	first, err := lock.Acquire(ctx, api.Claim{TTL: 10 * time.Second, LockDelay: &delay})
	if err != nil || !first.Held {
		t.Fatalf("%+v, %v", first, err)
	}
	began := time.Now() // from here on nobody renews it
	second, err := lock.Acquire(ctx, api.Claim{TTL: 10 * time.Second})
	if err != nil || !second.Held || second.Fence <= first.Fence {
		t.Fatalf("%+v after %+v, %v", second, first, err)
	}
	if took := time.Since(began); took < 12*time.Second {
		t.Errorf("the next holds after %s, before TTL and lock-delay are over", took)
	}
	if info, _, err := lock.Info(ctx); err != nil || len(info.Holders) != 1 || info.Holders[0].Name != "lock l" {
		t.Errorf("lock is %+v, %v", info, err)
	}
	if err := truly(lock.Release(ctx, second.Session)); err != nil {
		t.Error(err)
	}
	if list, _, err := client.Sessions().List(ctx); err != nil || len(list) > 0 {
		t.Errorf("sessions are %v, %v", fmt.Sprint(list), err)
	}
}
