//go:build unix

package testcluster

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestClusterOfOne: the smallest cluster, a server that nobody else knows, has the life
// of the others.
func TestClusterOfOne(t *testing.T) {
	opts := ClusterOptions{Servers: 1, Faults: true}
	if err := CanFault(); err != nil {
		t.Log("without a network of its own: ", err)
		opts.Faults = false
	}
	c := StartCluster(t, opts)
	s := c.Leader()
	if s != c.Server(0) || s.ID() != 0 || len(c.Followers()) != 0 {
		t.Fatalf("the leader is %s", s.Name())
	}
	s.Put("a", "1")
	s.Kill9()
	c.Move(s)
	s.Launch()
	c.AwaitFormed()
	if value, _ := s.Get("a"); value != "1" {
		t.Errorf("after kill -9 and a move it holds %q", value)
	}
	s.Stop()
	if _, err := s.KnownLeader(t.Context()); err == nil {
		t.Error("a frozen server answers")
	}
	s.Cont()
	c.AwaitFormed()
	s.Term()
	if err := c.Formed(t.Context()); err == nil {
		t.Error("a cluster without a process is formed")
	}
	s.Start()
	c.AwaitFormed()
}

// TestClusterConfig: what the members are told of each other.
func TestClusterConfig(t *testing.T) {
	c := NewCluster(t, ClusterOptions{Servers: 3, Each: Options{Config: map[string]any{"log_level": "info"}}})
	read := func(s *Server) map[string]any {
		t.Helper()
		if err := s.writeConfig(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(s.ConfigFile())
		if err != nil {
			t.Fatal(err)
		}
		var config map[string]any
		if err := json.Unmarshal(text, &config); err != nil {
			t.Fatal(err)
		}
		return config
	}
	first := read(c.Server(0))
	if first["bootstrap_expect"] != 3.0 || len(first["retry_join"].([]any)) != 2 || first["bootstrap"] != nil {
		t.Errorf("one of the first three is told %v", first)
	}
	if first["log_level"] != "info" {
		t.Error("what the test asked for is not in the file")
	}
	late := read(c.Add())
	if late["bootstrap_expect"] != nil || late["bootstrap"] != nil || len(late["retry_join"].([]any)) != 3 {
		t.Errorf("one that comes later is told %v: it may start a cluster of its own", late)
	}
	before := c.Server(1).PeerAddr()
	c.Move(c.Server(1))
	if c.Server(1).PeerAddr() == before {
		t.Error("it has moved and is where it was")
	}
	c.Forget(c.Server(2))
	if got := len(read(c.Server(0))["retry_join"].([]any)); got != 2 {
		t.Errorf("after one was added and one removed a member is told of %d others, want 2", got)
	}
}

// TestClusterOfThree: three processes are one store.
func TestClusterOfThree(t *testing.T) {
	c := StartCluster(t, ClusterOptions{})
	leader := c.Leader()
	leader.Put("a", "1")
	for _, s := range c.Followers() {
		if value, _ := s.Get("a"); value != "1" {
			t.Errorf("%s holds %q", s.Name(), value)
		}
		s.Put("b", s.Name())
		if value, _ := leader.Get("b"); value != s.Name() {
			t.Errorf("the leader holds %q, written through %s", value, s.Name())
		}
	}
	added := c.Add()
	added.Launch()
	c.AwaitFormed()
	if value, _ := added.Get("a"); value != "1" {
		t.Errorf("the new server holds %q", value)
	}
	c.Remove(added)
	err := Eventually(t.Context(), time.Minute, func() error { return c.Formed(t.Context()) })
	if err != nil {
		t.Errorf("after one has left: %v", err)
	}
	if resp := leader.Do(http.MethodGet, "/v1/status/peers", nil); strings.Count(string(resp.Body), ":") != 3 {
		t.Errorf("peers are %s", resp.Body)
	}
}
