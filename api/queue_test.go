package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/api"
)

// TestRequestsOfTheServersRecipes: what each call sends.
func TestRequestsOfTheServersRecipes(t *testing.T) {
	held := `{"Name":"l","Key":"_holdfast/lock/l","Held":true,"Session":"s","Fence":7,"Place":7}`
	wait, delay := 2*time.Second, time.Duration(0)
	for _, tc := range []struct {
		rule, answer, method, uri, body string
		call                            func(*api.Client) error
	}{
		{"a lock for a session", held, "POST", "/v1/lock/jobs/a%20b?session=s", "", func(c *api.Client) error {
			p, err := c.ServerLock("jobs/a b").Acquire(t.Context(), api.Claim{Session: "s"})
			if err == nil && (!p.Held || p.Fence != 7 || p.Key != "_holdfast/lock/l") {
				err = fmt.Errorf("place is %+v", p)
			}
			return err
		}},
		{"a lock for a session that is made", held, "POST", "/v1/lock/l?lock-delay=0s&ttl=30s&wait=2000ms", "me", func(c *api.Client) error {
			_, err := c.ServerLock("l").Acquire(t.Context(), api.Claim{TTL: 30 * time.Second, LockDelay: &delay, Wait: &wait, Value: []byte("me")})
			return err
		}},
		{"a lock that is shared", held, "POST", "/v1/lock/l?mode=shared&session=s", "", func(c *api.Client) error {
			_, err := c.ServerLock("l").Acquire(t.Context(), api.Claim{Session: "s", Shared: true})
			return err
		}},
		{"one of three slots", held, "POST", "/v1/lock/l?session=s&slots=3", "", func(c *api.Client) error {
			_, err := c.ServerLock("l").Acquire(t.Context(), api.Claim{Session: "s", Slots: 3})
			return err
		}},
		{"a release", "true", "DELETE", "/v1/lock/l?session=s", "", func(c *api.Client) error {
			return truly(c.ServerLock("l").Release(t.Context(), "s"))
		}},
		{"a look", `{"Holders":[{"Session":"s"}]}`, "GET", "/v1/lock/l?limit=5", "", func(c *api.Client) error {
			info, _, err := c.ServerLock("l").Info(t.Context(), api.Limit(5))
			if err == nil && (len(info.Holders) != 1 || info.Holders[0].Session != "s") {
				err = fmt.Errorf("lock is %+v", info)
			}
			return err
		}},
		{"a candidate", held, "POST", "/v1/election/e/campaign?session=s", "x", func(c *api.Client) error {
			_, err := c.ServerElection("e").Campaign(t.Context(), api.Claim{Session: "s", Value: []byte("x")})
			return err
		}},
		{"a leader that resigns", "true", "POST", "/v1/election/e/resign?session=s", "", func(c *api.Client) error {
			return truly(c.ServerElection("e").Resign(t.Context(), "s"))
		}},
		{"an observer", `{"Leader":null,"Candidates":2}`, "GET", "/v1/election/e/observe?index=5", "", func(c *api.Client) error {
			got, _, err := c.ServerElection("e").Observe(t.Context(), api.WaitIndex(5, 0))
			if err == nil && (got.Leader != nil || got.Candidates != 2) {
				err = fmt.Errorf("election is %+v", got)
			}
			return err
		}},
		{"who joins", `{"Session":"s"}`, "PUT", "/v1/group/g/1?session=s", "v", func(c *api.Client) error {
			s, err := c.Group("g").Join(t.Context(), "1", api.Claim{Session: "s", Value: []byte("v")})
			if err == nil && s != "s" {
				err = fmt.Errorf("session is %s", s)
			}
			return err
		}},
		{"who leaves", "true", "DELETE", "/v1/group/g/1?session=s", "", func(c *api.Client) error {
			return truly(c.Group("g").Leave(t.Context(), "1", "s"))
		}},
		{"who is removed", "true", "DELETE", "/v1/group/g/1", "", func(c *api.Client) error {
			return truly(c.Group("g").Leave(t.Context(), "1", ""))
		}},
		{"the members", `{"Members":[{"Member":"1"}]}`, "GET", "/v1/group/g", "", func(c *api.Client) error {
			got, _, err := c.Group("g").Members(t.Context())
			if err == nil && (len(got) != 1 || got[0].Member != "1") {
				err = fmt.Errorf("members are %+v", got)
			}
			return err
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client, rec := record(t, answer(200, tc.answer, "Content-Type", "application/json"))
			if err := tc.call(client); err != nil {
				t.Fatal(err)
			}
			if got := rec.last(t); got.method != tc.method || got.uri != tc.uri || got.body != tc.body {
				t.Errorf("sent %s %s %q, want %s %s %q", got.method, got.uri, got.body, tc.method, tc.uri, tc.body)
			}
		})
	}
}

func truly(done bool, err error) error {
	if err == nil && !done {
		err = errors.New("answer is false")
	}
	return err
}

// TestAnswersToAClaim: what the statuses mean.
func TestAnswersToAClaim(t *testing.T) {
	once := time.Duration(0)
	for _, tc := range []struct {
		rule, answer, kind string
		status             int
		ok                 func(p *api.Place, err error) bool
	}{
		{"200 holds", `{"Held":true}`, "application/json", 200, func(p *api.Place, err error) bool { return err == nil && p.Held }},
		{"202 waits", `{"Held":false,"Ahead":3}`, "application/json", 202, func(p *api.Place, err error) bool { return err == nil && !p.Held && p.Ahead == 3 }},
		{"409 with an answer is not free", `{"Held":false,"Holders":[{"Session":"o"}]}`, "application/json", 409, func(p *api.Place, err error) bool {
			return err == nil && !p.Held && p.Holders[0].Session == "o"
		}},
		{"409 with a sentence is an error", `"l": all who contend must name the same number of slots`, "text/plain", 409, func(_ *api.Place, err error) bool {
			var status *api.StatusError
			return errors.As(err, &status) && status.Code == 409 && strings.Contains(status.Body, "slots")
		}},
		{"404 is no session", `Session id 's' not found`, "text/plain", 404, func(_ *api.Place, err error) bool { return errors.Is(err, api.ErrNoSession) }},
		{"404 of a server without locks is not", `Invalid URL path`, "text/plain", 404, func(_ *api.Place, err error) bool {
			return err != nil && !errors.Is(err, api.ErrNoSession)
		}},
		{"429 is too many", `Too many`, "text/plain", 429, func(_ *api.Place, err error) bool { return errors.Is(err, api.ErrTooMany) }},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client, _ := record(t, answer(tc.status, tc.answer, "Content-Type", tc.kind))
			if p, err := client.ServerLock("l").Acquire(t.Context(), api.Claim{Session: "s", Wait: &once}); !tc.ok(p, err) {
				t.Errorf("answer is %+v, %v", p, err)
			}
		})
	}
}

// TestAClaimAsksAgain: without a bound on the wait the call goes on, with the session
// that it was given.
func TestAClaimAsksAgain(t *testing.T) {
	var n atomic.Int64
	client, rec := record(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if n.Add(1) < 3 {
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"Held":false,"Session":"made"}`)
			return
		}
		fmt.Fprint(w, `{"Held":true,"Session":"made"}`)
	})
	p, err := client.ServerLock("l").Acquire(t.Context(), api.Claim{TTL: 30 * time.Second})
	if err != nil || !p.Held {
		t.Fatalf("place is %+v, %v", p, err)
	}
	if got := rec.last(t); n.Load() != 3 || got.uri != "/v1/lock/l?session=made" {
		t.Errorf("asked %d times, at last %s", n.Load(), got.uri)
	}
}
