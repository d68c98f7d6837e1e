package crashtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// sessionTTL is that of the contenders' sessions. They ask for no grace and no
// lock-delay, so that nothing but the TTL keeps two holders apart.
const sessionTTL = time.Second

// A tenure is the time in which one contender could be sure to have a lock: from the
// answer to its acquire until it sent the release, or until its session may have
// ended, which is the TTL after the last renewal that was acknowledged was sent.
type tenure struct {
	lock        string
	contender   int
	fence       uint64
	from, until time.Time
}

func (h tenure) String() string {
	return fmt.Sprintf("contender %d with fence %d from %s for %s", h.contender, h.fence, h.from.Format("05.000"), h.until.Sub(h.from))
}

// checkExclusion returns what in a history cannot be: two who were sure of the same
// lock at the same time, and fencing numbers that do not increase.
func checkExclusion(history []tenure) error {
	sorted := slices.Clone(history)
	slices.SortFunc(sorted, func(a, b tenure) int { return cmp.Or(cmp.Compare(a.lock, b.lock), a.from.Compare(b.from)) })
	var faults []error
	var longest tenure // of those before, the one that ends last
	for i, h := range sorted {
		if i == 0 || sorted[i-1].lock != h.lock {
			longest = h
			continue
		}
		if h.from.Before(longest.until) {
			faults = append(faults, fmt.Errorf("%s was held twice: by %s, and by %s", h.lock, longest, h))
		}
		if before := sorted[i-1]; h.fence <= before.fence {
			faults = append(faults, fmt.Errorf("fence of %s went from that of %s to that of %s", h.lock, before, h))
		}
		if h.until.After(longest.until) {
			longest = h
		}
	}
	return errors.Join(faults...)
}

func TestCheckExclusionFindsBrokenPromises(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	held := func(lock string, fence uint64, from, until time.Duration) tenure {
		return tenure{lock: lock, fence: fence, from: start.Add(from), until: start.Add(until)}
	}
	for _, tc := range []struct {
		rule    string
		history []tenure
		faults  int
	}{
		{"nothing happened", nil, 0},
		{"one after the other", []tenure{held("a", 1, 0, 5), held("a", 2, 5, 9), held("a", 7, 20, 21)}, 0},
		{"in whatever order they are told", []tenure{held("a", 7, 20, 21), held("a", 1, 0, 5), held("a", 2, 5, 9)}, 0},
		{"two locks at a time", []tenure{held("a", 1, 0, 5), held("b", 1, 0, 5)}, 0},
		{"two holders for an instant", []tenure{held("a", 1, 0, 5), held("a", 2, 4, 9)}, 1},
		{"one within another", []tenure{held("a", 1, 0, 9), held("a", 2, 3, 4)}, 1},
		{"one within another that is not the last before it", []tenure{held("a", 1, 0, 9), held("a", 2, 3, 4), held("a", 3, 5, 6)}, 2},
		{"an overlap of the second lock only", []tenure{held("a", 1, 0, 9), held("b", 1, 0, 9), held("b", 2, 8, 10)}, 1},
		{"the same number twice", []tenure{held("a", 3, 0, 5), held("a", 3, 6, 9)}, 1},
		{"a smaller number later", []tenure{held("a", 3, 0, 5), held("a", 2, 6, 9)}, 1},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			err := checkExclusion(tc.history)
			var faults int
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				faults = len(joined.Unwrap())
			}
			if faults != tc.faults {
				t.Errorf("%d faults, want %d: %v", faults, tc.faults, err)
			}
		})
	}
}

// book is what the contenders note.
type book struct {
	mu        sync.Mutex
	history   []tenure            // guarded by mu
	fences    map[string][]uint64 // of each lock, as they were given; guarded by mu
	faults    []error             // guarded by mu
	abandoned int                 // tenures that ended without a release; guarded by mu
	stale     int                 // writes with an old fence that were refused; guarded by mu
}

func (b *book) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, fmt.Errorf(format, args...))
}

// older returns a fence that was given before this one, 0 if there is none.
func (b *book) older(lock string, fence uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	newest := uint64(0)
	for _, f := range b.fences[lock] {
		if f < fence {
			newest = max(newest, f)
		}
	}
	return newest
}

// contender is a client that wants a lock again and again, and does what clients do
// with it: releases it, renews it, or dies.
type contender struct {
	id     int
	lock   string
	rand   *rand.Rand
	client *http.Client
	url    string
	book   *book

	session string
	alive   time.Time // when the last renewal that was acknowledged was sent
}

func newContenders(url string, locks, each int, b *book) []*contender {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: locks * each}}
	var cs []*contender
	for id := range locks * each {
		cs = append(cs, &contender{
			id: id, lock: fmt.Sprintf("exclusion/%d", id%locks), rand: rand.New(rand.NewPCG(3, uint64(id))),
			client: client, url: url, book: b,
		})
	}
	return cs
}

// run contends until ctx ends. A request that fails says nothing: the server may be
// down.
func (c *contender) run(ctx context.Context) {
	for ctx.Err() == nil {
		if fence, ok := c.acquire(ctx); ok {
			c.hold(ctx, fence)
		} else {
			pause(ctx, 10*time.Millisecond)
		}
	}
}

// sure is until when the session lives at least.
func (c *contender) sure() time.Time { return c.alive.Add(sessionTTL) }

// acquire makes a session and waits for the lock with it. It gives up when anything
// goes wrong, so that nobody ever acts upon an acquire whose answer was lost.
func (c *contender) acquire(ctx context.Context) (fence uint64, ok bool) {
	sent := time.Now()
	body := fmt.Sprintf(`{"TTL":"%s","Grace":"0s","LockDelay":"0s","NodeChecks":[],"Behavior":"%s"}`,
		sessionTTL, []string{"release", "delete"}[c.rand.IntN(2)])
	status, _, answer, err := c.do(ctx, http.MethodPut, "/v1/session/create", body)
	var made struct{ ID string }
	if err != nil || status != http.StatusOK || json.Unmarshal(answer, &made) != nil {
		return 0, false
	}
	c.session, c.alive = made.ID, sent
	for ctx.Err() == nil {
		if time.Since(c.alive) > sessionTTL/3 && !c.renew(ctx) {
			return 0, false
		}
		status, header, answer, err := c.do(ctx, http.MethodPut, "/v1/kv/"+c.lock+"?acquire="+c.session, fmt.Sprint(c.id))
		if err != nil || status != http.StatusOK {
			return 0, false
		}
		if string(answer) == "true" {
			fence, err := strconv.ParseUint(header.Get("X-Holdfast-Fence"), 10, 64)
			if err != nil || fence == 0 {
				c.book.fault("an acquire has the fence %q", header.Get("X-Holdfast-Fence"))
			}
			return fence, err == nil
		}
		if !c.waitForChange(ctx) {
			return 0, false
		}
	}
	return 0, false
}

// waitForChange waits a moment for the lock to change.
func (c *contender) waitForChange(ctx context.Context) bool {
	status, header, answer, err := c.do(ctx, http.MethodGet, "/v1/kv/"+c.lock, "")
	if err != nil || status != http.StatusOK && status != http.StatusNotFound {
		return false
	}
	if status == http.StatusNotFound || !bytes.Contains(answer, []byte(`"Session"`)) {
		return true // free by now
	}
	_, _, _, err = c.do(ctx, http.MethodGet, "/v1/kv/"+c.lock+"?wait=200ms&index="+header.Get("X-Consul-Index"), "")
	return err == nil
}

// renew asks for another TTL, and tells whether it was given.
func (c *contender) renew(ctx context.Context) bool {
	sent := time.Now()
	status, _, _, err := c.do(ctx, http.MethodPut, "/v1/session/renew/"+c.session, "")
	if err != nil {
		return false
	}
	if status == http.StatusNotFound && time.Now().Before(c.sure()) {
		c.book.fault("session of contender %d ended %s before its time", c.id, time.Until(c.sure()))
	}
	if status != http.StatusOK {
		return false
	}
	c.alive = sent
	return true
}

// hold is a tenure: what is done with the lock, and how it ends.
func (c *contender) hold(ctx context.Context, fence uint64) {
	h := tenure{lock: c.lock, contender: c.id, fence: fence, from: time.Now()}
	if !h.from.Before(c.sure()) {
		return // the answer came too late to be worth anything
	}
	c.book.mu.Lock()
	c.book.fences[c.lock] = append(c.book.fences[c.lock], fence)
	c.book.mu.Unlock()

	dies := c.rand.IntN(3) == 0 // without a release
	leave := time.Now().Add(time.Duration(c.rand.IntN(500)) * time.Millisecond)
	for ctx.Err() == nil && time.Now().Before(c.sure()) && (dies || time.Now().Before(leave)) {
		c.write(ctx, fence)
		if !dies && time.Since(c.alive) > sessionTTL/3 {
			c.renew(ctx) // if not, the session may end earlier than it was to be left
		}
		pause(ctx, time.Duration(1+c.rand.IntN(50))*time.Millisecond)
	}
	h.until = time.Now()
	if c.sure().Before(h.until) {
		h.until = c.sure()
	}
	if !dies {
		// In case of an error it ends with its session, which nobody renews any more.
		_, _, _, _ = c.do(ctx, http.MethodPut, "/v1/kv/"+c.lock+"?release="+c.session, "")
	}
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	c.book.history = append(c.book.history, h)
	if dies {
		c.book.abandoned++
	}
}

// write does what a lock is for: with the fence of the holder, which must be taken as
// long as that can be sure, and with one of somebody before, which must not.
func (c *contender) write(ctx context.Context, fence uint64) {
	path := "/v1/kv/guarded/" + c.lock + "?fence=" + c.lock + ":"
	status, _, answer, err := c.do(ctx, http.MethodPut, path+fmt.Sprint(fence), fmt.Sprint(fence))
	if err == nil && status == http.StatusConflict && time.Now().Before(c.sure()) {
		c.book.fault("contender %d is fenced off with %d although it holds %s: %s", c.id, fence, c.lock, answer)
	}
	older := c.book.older(c.lock, fence)
	if older == 0 {
		return
	}
	status, _, answer, err = c.do(ctx, http.MethodPut, path+fmt.Sprint(older), fmt.Sprint(older))
	if err != nil || status >= http.StatusInternalServerError {
		return
	}
	if status != http.StatusConflict {
		c.book.fault("a write with fence %d of %s was answered %d %s after %d was given", older, c.lock, status, answer, fence)
		return
	}
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	c.book.stale++
}

func (c *contender) do(ctx context.Context, method, path, body string) (int, http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, bytes.TrimSpace(answer), err
}

// pause waits as a client does that has something else to do.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// TestMutualExclusion kills a server again and again while clients contend for locks,
// renew, release and die, and others write: no two of them are ever sure of the same
// lock at a time, fencing numbers increase, and who has lost a lock cannot write.
func TestMutualExclusion(t *testing.T) {
	const locks, each, minimum = 3, 4, 1
	kills := 4
	if testing.Short() {
		kills = 2
	}
	s := testcluster.Start(t, testcluster.Options{Config: map[string]any{
		"log_level":               "info",
		"session_ttl_min":         "500ms",
		"raft_snapshot_threshold": 100,
		"raft_snapshot_interval":  "250ms",
		"raft_trailing_logs":      50,
	}})
	b := &book{fences: map[string][]uint64{}}
	contenders := newContenders(s.URL(), locks, each, b)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, c := range contenders {
		wg.Go(func() { c.run(ctx) })
	}
	ws := newWriters(3)
	var down []time.Time
	for round := range kills {
		more := 5 + rand.New(rand.NewPCG(4, uint64(round))).IntN(10)
		load(t, s, ws, 1, func() {
			b.await(t, more)
			down = append(down, time.Now())
			s.Kill9()
		})
		s.Launch()
		settleAll(t, ws, held(t, s))
	}
	b.await(t, len(contenders)) // so that what came back after the last kill is seen too
	stop()
	wg.Wait()
	contenders[0].client.CloseIdleConnections()

	if err := errors.Join(append(b.faults, checkExclusion(b.history))...); err != nil {
		t.Error(err)
	}
	across := 0 // tenures during which the server was killed
	for _, h := range b.history {
		for _, at := range down {
			if h.from.Before(at) && h.until.After(at) {
				across++
			}
		}
	}
	t.Logf("%d tenures, %d of them left without a release, %d across the end of a server; %d writes with an old fence were refused",
		len(b.history), b.abandoned, across, b.stale)
	if b.abandoned < minimum || across < minimum || b.stale < minimum {
		t.Error("too little happened for this to show anything")
	}
}

// await returns when so many more tenures are over.
func (b *book) await(t *testing.T, more int) {
	t.Helper()
	before := b.tenures()
	err := testcluster.Eventually(t.Context(), time.Minute, func() error {
		if n := b.tenures() - before; n < more {
			return fmt.Errorf("only %d tenures of %d", n, more)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func (b *book) tenures() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.history)
}
