package httpapi

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// batch applies several commands as one batch of Raft's.
func (n *localNode) batch(t *testing.T, commands ...*fsm.Command) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	var entries []*raft.Log
	for _, c := range commands {
		n.index++
		n.clock = n.clock.Add(time.Millisecond)
		data, err := fsm.Encode(c, n.clock.UnixNano())
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, &raft.Log{Index: n.index, Type: raft.LogCommand, Data: data})
	}
	for _, answer := range n.machine.ApplyBatch(entries) {
		if res, ok := answer.(fsm.Result); !ok || !res.Applied {
			t.Fatalf("batch: %v", answer)
		}
	}
}

// waitingFor is a connection on which a query waits, and what must come of it.
type waitingFor struct {
	*wireClient
	status int
	body   string // "": whatever
}

// waitWith has a query about keys wait with a token.
func waitWith(t *testing.T, address string, x testToken, target string, status int, body string) waitingFor {
	t.Helper()
	c := dialWire(t, address)
	c.ask(t, target+"&wait=5m", "X-Consul-Token: "+x.secret)
	return waitingFor{c, status, body}
}

func (c waitingFor) mustBeAnswered(t *testing.T) {
	t.Helper()
	if status, _, body := c.read(t); status != c.status || c.body != "" && body != c.body {
		t.Errorf("a client is answered %d %q, want %d %q", status, body, c.status, c.body)
	}
}

func setKey(key, value string) *fsm.Command {
	return &fsm.Command{Write: &kvs.Op{Verb: kvs.Set, Key: key, Value: []byte(value)}}
}

// TestWhoLosesARightWithTheWriteSeesNothing: of many who wait for the same, half lose their token
// together with the write that wakes all. They are refused, also in the same batch, where the
// write may wake first, and in the next one, where whoever wakes them may be overtaken.
func TestWhoLosesARightWithTheWriteSeesNothing(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	address := serveHTTP1(t, g.Server)
	const few, many = 3, 100 // on either side; few are woken by whoever applies the log
	stays := g.token(t, `key_prefix "app/" { policy = "read" }`)
	for _, tc := range []struct {
		n      int
		target string
		apart  bool // the write is a batch of its own
	}{
		{few, "app/a?raw", false},
		{few, "app/?keys", false},
		{many, "app/a?raw", false},
		{many, "app/a?raw", true},
		{many, "app/?recurse", true},
	} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			target := tc.target + "&index=" + g.put(t, "app/a", t.Name())
			goes := g.token(t, ``, func(row *acl.Token) { row.Links.Policies = []string{stays.policy} })
			var clients []waitingFor
			for range tc.n {
				clients = append(clients, waitWith(t, address, stays, target, http.StatusOK, ""), waitWith(t, address, goes, target, http.StatusForbidden, ""))
			}
			eventually(t, "all wait", func() bool { return g.Parked() == len(clients) })
			end := &fsm.Command{ACL: &acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{goes.accessor}}}}
			if tc.apart {
				g.node.batch(t, end)
				g.node.batch(t, setKey("app/a", "news"))
			} else {
				g.node.batch(t, end, setKey("app/a", "news"))
			}
			for _, c := range clients {
				c.mustBeAnswered(t)
			}
		})
	}
}

// TestWhoGainsARightHandsNothingOn: of those who wait for a list with the same rights, one gains
// more with the write that wakes all. The others get theirs.
func TestWhoGainsARightHandsNothingOn(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	address := serveHTTP1(t, g.Server)
	g.put(t, "app/hidden", "secret")
	more := g.token(t, `key_prefix "" { policy = "read" }`)
	for n := range 10 {
		index := g.put(t, "app/a", fmt.Sprint(n))
		target := "app/?keys&index=" + index
		gains := g.token(t, `key "app/a" { policy = "read" }`)
		other := g.token(t, ``, func(row *acl.Token) { row.Links.Policies = []string{gains.policy} })
		clients := []waitingFor{waitWith(t, address, gains, target, http.StatusOK, "")}
		for range 5 {
			clients = append(clients, waitWith(t, address, other, target, http.StatusOK, `["app/a"]`))
		}
		eventually(t, "all wait", func() bool { return g.Parked() == len(clients) })
		row := *g.tables().Token(gains.accessor)
		row.Links.Policies = []string{gains.policy, more.policy}
		g.node.batch(t, setKey("app/a", "news"), &fsm.Command{ACL: &acl.Change{SetToken: &acl.SetToken{Token: &row}}})
		for _, c := range clients {
			c.mustBeAnswered(t)
		}
	}
}
