package cells

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

const (
	// queryWait is what blocking queries ask to wait: the longest that servers
	// grant, so that none runs out while it is measured.
	queryWait = "10m"

	serveLimit = 60 * time.Second // all watchers are answered by then, or the cell breaks

	settleStep  = 10 * time.Millisecond
	settleQuiet = 3                      // so many steps in a row without work are rest
	settleBusy  = 500 * time.Microsecond // less CPU than this in a step is no work
	settleLimit = 5 * time.Second        // a server that never rests has parked them by then,
	settleEach  = 200 * time.Microsecond // and so much later for each of them
	settleBlind = 200 * time.Millisecond // if nothing can be known; and as much again for each 2,000
)

// crowd is a set of watchers on one server, with what is needed to know when
// they have all been parked.
type crowd struct {
	*load.Watchers
	target target.Target
	n      int
	limit  *target.Limit // that is the target, and says how many are parked; nil: it is none
}

// query is what one of a crowd asks.
type query struct {
	key   string
	token string // "" is none
}

// render is the request that waits for a change of the key above index.
func (q query) render(host string, index uint64) []byte {
	path := fmt.Sprintf("/v1/kv/%s?index=%d&wait=%s", q.key, index, queryWait)
	return rawhttp.RequestAs(q.token, http.MethodGet, path, host, nil)
}

// everybody asks the same.
func everybody(q query) func(id int) query { return func(int) query { return q } }

// gather connects n watchers. ask is what each of them asks. limit is the one that t
// is, if it is one.
func gather(ctx context.Context, t target.Target, limit *target.Limit, n int, index uint64, ask func(id int) query) (*crowd, error) {
	w, err := load.DialWatchers(ctx, t.Addr, n, index, func(id int, index uint64) []byte {
		return ask(id).render(t.Addr, index)
	})
	if err != nil {
		return nil, fmt.Errorf("%d watchers: %w", n, err)
	}
	return &crowd{Watchers: w, target: t, n: n, limit: limit}, nil
}

// park parks everybody and waits until the server has nothing to do any more. It
// returns who was answered although nothing was written.
func (c *crowd) park(ctx context.Context) (early []int, err error) {
	if err := c.Park(); err != nil {
		return nil, err
	}
	rest := c.atRest()
	for start := time.Now(); time.Since(start) < settleLimit+time.Duration(c.n)*settleEach; {
		woken, err := c.Listen(ctx, settleStep)
		early = append(early, woken...)
		if err != nil {
			return early, err
		}
		done, err := rest(len(early))
		if err != nil || done {
			return early, err
		}
	}
	return early, nil
}

// atRest returns a function to be called after each step, with how many were
// answered early, which says when all others must have been parked.
func (c *crowd) atRest() func(early int) (bool, error) {
	if c.limit != nil {
		return func(early int) (bool, error) {
			n, err := c.limit.Parked()
			return n+early >= c.n, err
		}
	}
	cpu := c.target.CPU()
	if cpu == nil {
		until := time.Now().Add(settleBlind * time.Duration(1+c.n/2000))
		return func(int) (bool, error) { return time.Now().After(until), nil }
	}
	quiet, last := 0, time.Duration(0)
	return func(int) (bool, error) {
		now, err := cpu()
		quiet++
		if now-last > settleBusy {
			quiet = 0
		}
		last = now
		return quiet >= settleQuiet, err
	}
}

// mustPark is park for a crowd in which nobody may be answered early.
func (c *crowd) mustPark(ctx context.Context) error {
	early, err := c.park(ctx)
	if err == nil && len(early) > 0 {
		err = fmt.Errorf("%d of %d watchers were answered although nothing had changed", len(early), c.n)
	}
	return err
}

// await listens until watcher id is among the woken and nothing has come for the
// given time. It returns all who were woken.
func (c *crowd) await(ctx context.Context, woken []int, id int, quiet time.Duration) ([]int, error) {
	for start := time.Now(); time.Since(start) < serveLimit; {
		more, err := c.Listen(ctx, quiet)
		woken = append(woken, more...)
		if err != nil {
			return woken, err
		}
		if len(more) == 0 && slices.Contains(woken, id) {
			return woken, nil
		}
	}
	return woken, fmt.Errorf("watcher %d was not answered within %v of a change to its key", id, serveLimit)
}

// doer is what can ask a server something: a target.Target, which connects anew
// each time, or a rawhttp.Client.
type doer interface {
	Do(ctx context.Context, method, path string, body []byte) (rawhttp.Response, error)
}

// indexOf asks for the index that a watcher of key has to wait above.
func indexOf(ctx context.Context, via doer, key string) (uint64, error) {
	r, err := via.Do(ctx, http.MethodGet, "/v1/kv/"+key, nil)
	if err != nil {
		return 0, err
	}
	if r.Status != http.StatusOK && r.Status != http.StatusNotFound {
		return 0, fmt.Errorf("GET %s: %w", key, r.Problem())
	}
	if r.Index == 0 {
		return 0, fmt.Errorf("GET %s: the answer has no X-Consul-Index", key)
	}
	return r.Index, nil
}
