package clustertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// TestAnyServer: to a client each server is the whole store.
func TestAnyServer(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{})
	leader, one, two := c.Leader(), c.Followers()[0], c.Followers()[1]

	t.Run("a read on another server sees a write that was acknowledged", func(t *testing.T) {
		all := []*testcluster.Server{leader, one, two}
		for i := range 200 {
			value := strconv.Itoa(i)
			writer, reader := all[i%3], all[(i+1+i/3%2)%3]
			writer.Put("fresh", value)
			path := "/v1/kv/fresh?raw"
			if i%2 == 0 {
				path += "&consistent"
			}
			if got := ask(t, reader, http.MethodGet, path, "", nil); string(got.Body) != value {
				t.Fatalf("%s answers %q; %s was told before that %q is written", reader.Name(), got.Body, writer.Name(), value)
			}
		}
	})

	t.Run("a blocking query on another server answers a write that was acknowledged", func(t *testing.T) {
		index := ask(t, one, http.MethodGet, "/v1/kv/fresh", "", nil).Index()
		for i := range 50 {
			value := "watched " + strconv.Itoa(i)
			two.Put("fresh", value)
			resp := ask(t, one, http.MethodGet, fmt.Sprintf("/v1/kv/fresh?raw&wait=30s&index=%d", index), "", nil)
			if string(resp.Body) != value || resp.Index() <= index {
				t.Fatalf("with index %d it answers %q with index %d, want %q", index, resp.Body, resp.Index(), value)
			}
			index = resp.Index()
		}
	})

	t.Run("a session made on one follower holds and is renewed on another", func(t *testing.T) {
		var created struct{ ID string }
		ask(t, one, http.MethodPut, "/v1/session/create", `{"TTL":"10s","LockDelay":"0s"}`, &created)
		acquire := func(s *testcluster.Server, id string) string {
			return string(ask(t, s, http.MethodPut, "/v1/kv/lock?acquire="+id, "x", nil).Body)
		}
		if got := acquire(two, created.ID); got != "true" {
			t.Fatalf("acquire says %s", got)
		}
		var renewed []struct{ ID, Node string }
		ask(t, two, http.MethodPut, "/v1/session/renew/"+created.ID, "", &renewed)
		if len(renewed) != 1 || renewed[0].ID != created.ID || renewed[0].Node != one.Name() {
			t.Errorf("renewed is %+v, want %s of %s", renewed, created.ID, one.Name())
		}
		var other struct{ ID string }
		ask(t, leader, http.MethodPut, "/v1/session/create", `{}`, &other)
		if got := acquire(one, other.ID); got != "false" {
			t.Errorf("another acquires what is held: %s", got)
		}
		ask(t, one, http.MethodPut, "/v1/session/destroy/"+created.ID, "", nil)
		if got := acquire(leader, other.ID); got != "true" {
			t.Errorf("after the end of its holder's session acquire says %s", got)
		}
		if resp := two.Do(http.MethodPut, "/v1/session/renew/"+created.ID, nil); resp.Status != http.StatusNotFound {
			t.Errorf("renewed after its end: %d %s", resp.Status, resp.Body)
		}
	})

	t.Run("each server tells how far all logs reach, and the leader's furthest", func(t *testing.T) {
		for _, s := range c.Servers() {
			await(t, func() error { // the leader asks them once in a second
				var config struct {
					Servers []struct {
						Node      string
						Leader    bool
						LastIndex uint64
					}
				}
				ask(t, s, http.MethodGet, "/v1/operator/raft/configuration", "", &config)
				var most, lead uint64
				for _, r := range config.Servers {
					if r.LastIndex == 0 {
						return fmt.Errorf("%s does not know how far %s is", s.Name(), r.Node)
					}
					most = max(most, r.LastIndex)
					if r.Leader {
						lead = r.LastIndex
					}
				}
				if lead < most {
					t.Errorf("%s has the leader at %d, and somebody at %d", s.Name(), lead, most)
				}
				return nil
			})
		}
	})

	t.Run("contenders for a lock on different servers hold one after the other", func(t *testing.T) {
		lockInTurn(t, []*testcluster.Server{leader, one, two})
	})

	t.Run("a restore through a follower is on every server, and wakes watchers", func(t *testing.T) {
		one.Put("restored", "before")
		archive := one.Snapshot()
		one.Put("restored", "after")
		index := ask(t, two, http.MethodGet, "/v1/kv/restored", "", nil).Index()
		woken := make(chan string, 1)
		go func() {
			resp, err := two.TryDo(t.Context(), http.MethodGet, fmt.Sprintf("/v1/kv/restored?raw&wait=30s&index=%d", index), nil)
			woken <- fmt.Sprint(string(resp.Body), err)
		}()
		one.Restore(archive)
		for _, s := range c.Servers() {
			if got, _ := s.Get("restored"); got != "before" {
				t.Errorf("%s holds %q", s.Name(), got)
			}
		}
		if got := <-woken; got != "before<nil>" {
			t.Errorf("a watcher on another server was told %s", got)
		}
		c.AwaitFormed()
		two.Put("restored", "later")
	})
}

// grant is what is told to who asks for a lock.
type grant struct {
	Session string
	Held    bool
	Fence   uint64
}

// lockInTurn has contenders on all servers take one lock, each once.
func lockInTurn(t *testing.T, servers []*testcluster.Server) {
	t.Helper()
	const each = 3
	type turn struct {
		grant
		err error
	}
	turns := make(chan turn)
	for _, s := range servers {
		for range each {
			go func() {
				var g grant
				resp, err := s.TryDo(t.Context(), http.MethodPost, "/v1/lock/turns?ttl=30s&lock-delay=0s&wait=60s", nil)
				if err == nil && resp.Status != http.StatusOK {
					err = fmt.Errorf("%s: %d %s", s.Name(), resp.Status, resp.Body)
				}
				if err == nil {
					err = json.Unmarshal(resp.Body, &g)
				}
				select {
				case turns <- turn{g, err}:
				case <-t.Context().Done():
				}
			}()
		}
	}
	last := uint64(0)
	for i := range each * len(servers) {
		got := <-turns
		if got.err != nil {
			t.Fatal(got.err)
		}
		if got.Fence <= last {
			t.Errorf("the fencing number %d comes after %d", got.Fence, last)
		}
		last = got.Fence
		select {
		case second := <-turns:
			t.Fatalf("%+v while %+v holds", second, got)
		default:
		}
		var standing struct{ Holders []struct{ Session string } }
		through := servers[i%len(servers)]
		ask(t, through, http.MethodGet, "/v1/lock/turns", "", &standing)
		if len(standing.Holders) != 1 || standing.Holders[0].Session != got.Session {
			t.Errorf("%s names the holders %+v, want %s", through.Name(), standing.Holders, got.Session)
		}
		if body := string(ask(t, through, http.MethodDelete, "/v1/lock/turns?session="+got.Session, "", nil).Body); body != "true\n" && body != "true" {
			t.Errorf("released: %q", body)
		}
	}
}
