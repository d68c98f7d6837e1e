package clustertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// quickVotes has autopilot give votes sooner than after ten seconds.
var quickVotes = map[string]any{"server_stabilization_time": "2s"}

// TestMembers is the life of a cluster with members that come and go.
func TestMembers(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Each: testcluster.Options{Config: map[string]any{"autopilot": quickVotes}},
	})
	c.Server(0).Put("a", "1")

	t.Run("a fourth server joins, and gets a vote when it is stable", func(t *testing.T) {
		fourth := c.Add()
		began := time.Now()
		fourth.Launch()
		await(t, func() error { // without a vote first
			if r, there := raftServers(t, c.Server(0))[fourth.Name()]; !there {
				return errors.New("it is not in the Raft configuration")
			} else if r.Voter && time.Since(began) < 2*time.Second {
				return fmt.Errorf("it has a vote after %s", time.Since(began))
			}
			return nil
		})
		c.AwaitFormed()
		if took := time.Since(began); took < 2*time.Second {
			t.Errorf("it had a vote after %s, before it could be stable", took)
		}
		if value, _ := fourth.Get("a"); value != "1" {
			t.Errorf("it holds %q", value)
		}
	})

	t.Run("one that leaves is gone everywhere", func(t *testing.T) {
		leaving := c.Followers()[0]
		c.Remove(leaving)
		awaitGone(t, c, leaving.Name())
		c.AwaitFormed()
	})

	t.Run("the leader leaves, and another leads", func(t *testing.T) {
		late := c.Add() // so that three remain
		late.Launch()
		c.AwaitFormed()
		leaving := c.Leader()
		c.Remove(leaving)
		awaitGone(t, c, leaving.Name())
		c.AwaitFormed()
		c.Server(late.ID()).Put("b", "2")
	})

	t.Run("one that was killed stays until it is made to leave", func(t *testing.T) {
		late := c.Add()
		late.Launch()
		c.AwaitFormed()
		late.Kill9()
		through := c.Followers()[0]
		if through == late {
			through = c.Followers()[1]
		}
		await(t, func() error {
			if status := statusOf(t, through, late.Name()); status != failed {
				return fmt.Errorf("it is a member with status %d", status)
			}
			return nil
		})
		if _, there := raftServers(t, through)[late.Name()]; !there {
			t.Error("it has lost its place in the Raft configuration")
		}
		await(t, func() error { return healthWithout(t, through, late.Name()) })
		c.Forget(late)
		ask(t, through, http.MethodPut, "/v1/agent/force-leave/"+late.Name(), "", nil)
		awaitGone(t, c, late.Name())
		c.AwaitFormed()
	})

	t.Run("leadership is handed over through a follower", func(t *testing.T) {
		old, next := c.Leader(), c.Followers()[0]
		id := raftServers(t, next)[next.Name()].ID
		ask(t, c.Followers()[1], http.MethodPost, "/v1/operator/raft/transfer-leader?id="+id, "", nil)
		if leader := c.Leader(); leader != next {
			t.Errorf("%s leads, want %s", leader.Name(), next.Name())
		}
		old.Put("c", "3")
	})

	t.Run("a dead peer is removed through a follower", func(t *testing.T) {
		late := c.Add()
		late.Launch()
		c.AwaitFormed()
		id := raftServers(t, c.Server(late.ID()))[late.Name()].ID
		late.Kill9()
		c.Forget(late)
		through := c.Followers()[0]
		await(t, func() error {
			if status := statusOf(t, c.Leader(), late.Name()); status != failed {
				return fmt.Errorf("it is a member with status %d", status)
			}
			return nil
		})
		ask(t, through, http.MethodDelete, "/v1/operator/raft/peer?id="+id, "", nil)
		if _, there := raftServers(t, c.Leader())[late.Name()]; there {
			t.Error("it is in the Raft configuration")
		}
		resp := through.Do(http.MethodDelete, "/v1/operator/raft/peer?id="+id, nil)
		if want := fmt.Sprintf("id %q was not found in the Raft configuration", id); resp.Status != 500 || string(resp.Body) != want {
			t.Errorf("removed twice: %d %q", resp.Status, resp.Body)
		}
		c.AwaitFormed()
	})
}

// healthWithout is an error unless autopilot says that all servers are well but this one.
func healthWithout(t *testing.T, s *testcluster.Server, dead string) error {
	t.Helper()
	var health struct {
		Healthy          bool
		FailureTolerance int
		Servers          []struct {
			Name, SerfStatus string
			Healthy          bool
		}
	}
	resp := s.Do(http.MethodGet, "/v1/operator/autopilot/health", nil)
	if err := json.Unmarshal(resp.Body, &health); err != nil {
		t.Fatal(err)
	}
	if resp.Status != http.StatusTooManyRequests || health.Healthy {
		return fmt.Errorf("all are healthy: %d %s", resp.Status, resp.Body)
	}
	for _, server := range health.Servers {
		if server.Healthy == (server.Name == dead) || (server.SerfStatus == "failed") != (server.Name == dead) {
			return fmt.Errorf("%s: healthy %t, %s", server.Name, server.Healthy, server.SerfStatus)
		}
	}
	if alive, quorum := len(health.Servers)-1, len(health.Servers)/2+1; health.FailureTolerance != alive-quorum {
		return fmt.Errorf("%d of %d may fail with one dead", health.FailureTolerance, len(health.Servers))
	}
	return nil
}

// TestReadReplica: a server without a vote serves reads and watches, hands writes on,
// and never gets one.
func TestReadReplica(t *testing.T) {
	slow(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Each: testcluster.Options{Config: map[string]any{"autopilot": quickVotes}},
	})
	leader := c.Leader()
	leader.Put("a", "1")
	replica := c.Add()
	replica.SetConfig("read_replica", true)
	replica.Start()
	if value, _ := replica.Get("a"); value != "1" {
		t.Errorf("it holds %q", value)
	}
	replica.Put("b", "2")
	if value, _ := leader.Get("b"); value != "2" {
		t.Errorf("the leader holds %q, written through the replica", value)
	}
	index := ask(t, replica, http.MethodGet, "/v1/kv/a", "", nil).Index()
	woken := make(chan string, 1)
	go func() {
		resp, err := replica.TryDo(t.Context(), http.MethodGet, fmt.Sprintf("/v1/kv/a?raw&wait=30s&index=%d", index), nil)
		woken <- fmt.Sprint(string(resp.Body), err)
	}()
	leader.Put("a", "3")
	if got := <-woken; got != "3<nil>" {
		t.Errorf("a watcher on the replica was told %s", got)
	}
	before := leader.Log()
	id := raftServers(t, leader)[replica.Name()].ID
	for _, s := range []*testcluster.Server{leader, replica} {
		resp := s.Do(http.MethodPost, "/v1/operator/raft/transfer-leader?id="+id, nil)
		if resp.Status != http.StatusInternalServerError || string(resp.Body) != "cannot transfer leadership to a server without a vote" {
			t.Errorf("it is to lead: %d %s", resp.Status, resp.Body)
		}
	}
	if strings.Contains(leader.Log()[len(before):], "entering follower state") {
		t.Error("the leader has given up for nothing")
	}
	// Autopilot looks every second, and has found it stable for long by now.
	var state struct {
		Healthy      bool
		ReadReplicas []string
		Servers      map[string]struct {
			Name        string
			Healthy     bool
			StableSince time.Time
		}
	}
	await(t, func() error {
		ask(t, replica, http.MethodGet, "/v1/operator/autopilot/state", "", &state)
		if s := state.Servers[id]; !s.Healthy || time.Since(s.StableSince) < 4*time.Second {
			return fmt.Errorf("it is not stable yet: %+v", s)
		}
		return nil
	})
	if raftServers(t, leader)[replica.Name()].Voter {
		t.Error("it has a vote")
	}
	if len(state.ReadReplicas) != 1 || state.ReadReplicas[0] != id {
		t.Errorf("the replicas are %v, want %s", state.ReadReplicas, id)
	}
	// It does not count: three voters do without it and one of their own.
	replica.Term()
	for _, s := range c.Servers() {
		if s != leader && s != replica {
			s.Kill9()
			break
		}
	}
	leader.Put("c", "4")
}
