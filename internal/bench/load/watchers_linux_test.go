package load

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
)

// board is a server of blocking queries on single keys, as small as can be.
type board struct {
	mu      sync.Mutex
	index   uint64
	changed map[string]uint64
	wake    chan struct{}
	arrived chan struct{} // one token for each query that parks
	also    string        // a key that every write wakes without need
}

func newBoard() *board {
	return &board{index: 10, changed: map[string]uint64{}, wake: make(chan struct{}), arrived: make(chan struct{}, 1000)}
}

func (b *board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	if r.Method == http.MethodPut {
		b.index++
		b.changed[r.URL.Path] = b.index
		if b.also != "" {
			b.changed[b.also] = b.index
		}
		close(b.wake)
		b.wake = make(chan struct{})
		b.mu.Unlock()
		return
	}
	after, err := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	if err != nil {
		b.mu.Unlock()
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for first := true; b.changed[r.URL.Path] <= after; first = false {
		wake := b.wake
		b.mu.Unlock()
		if first {
			b.arrived <- struct{}{}
		}
		select {
		case <-wake:
		case <-r.Context().Done():
			return
		}
		b.mu.Lock()
	}
	w.Header().Set("X-Consul-Index", strconv.FormatUint(b.changed[r.URL.Path], 10))
	b.mu.Unlock()
}

func watch(t *testing.T, b *board, n int, key func(id int) string) (*Watchers, string) {
	t.Helper()
	addr := serve(t, b.ServeHTTP)
	w, err := DialWatchers(t.Context(), addr, n, 10, func(id int, index uint64) []byte {
		return rawhttp.Request("GET", fmt.Sprintf("%s?index=%d", key(id), index), addr, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w, addr
}

func park(t *testing.T, b *board, w *Watchers, n int) {
	t.Helper()
	if err := w.Park(); err != nil {
		t.Fatal(err)
	}
	for range n {
		<-b.arrived
	}
}

func TestFireServesEverybodyOnOneKeyAgainAndAgain(t *testing.T) {
	const n = 50
	b := newBoard()
	w, addr := watch(t, b, n, func(int) string { return "/k" })
	for round := range 3 {
		park(t, b, w, n)
		shot, err := w.Fire(t.Context(), rawhttp.Request("PUT", "/k", addr, []byte{}), n, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(shot.Woken)
		if len(slices.Compact(shot.Woken)) != n || shot.Delivered.Count() != n {
			t.Errorf("round %d: %d answers, %d timed; want %d", round, len(shot.Woken), shot.Delivered.Count(), n)
		}
		if shot.Write <= 0 || shot.Last <= 0 {
			t.Errorf("round %d: write took %v, last served after %v", round, shot.Write, shot.Last)
		}
	}
}

// TestNoConnectionIsLeftSilent: what a server closes for its silence is never among those that a
// crowd holds while others have their turn.
func TestNoConnectionIsLeftSilent(t *testing.T) {
	const n = 3
	b := newBoard()
	w, addr := watch(t, b, n, func(int) string { return "/k" })
	park(t, b, w, n)
	if got := len(w.loop.Conns()); got != n {
		t.Errorf("before the first write %d connections are open, want those of %d watchers", got, n)
	}
	for range 2 {
		if _, err := w.Fire(t.Context(), rawhttp.Request("PUT", "/k", addr, []byte{}), n, time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := len(w.loop.Conns()); got != n+1 {
			t.Errorf("%d connections are open, want %d and one to write through", got, n)
		}
		park(t, b, w, n)
	}
}

func TestListenSeesWhoIsWokenForNothing(t *testing.T) {
	const n = 5
	for _, tc := range []struct {
		rule  string
		also  string
		false []int
	}{
		{"nobody", "", nil},
		{"a watcher of another key", "/k4", []int{4}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			b := newBoard()
			b.also = tc.also
			w, addr := watch(t, b, n, func(id int) string { return fmt.Sprintf("/k%d", id) })
			park(t, b, w, n)
			shot, err := w.Fire(t.Context(), rawhttp.Request("PUT", "/k2", addr, []byte{}), 1+len(tc.false), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			more, err := w.Listen(t.Context(), time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			got := slices.DeleteFunc(append(shot.Woken, more...), func(id int) bool { return id == 2 })
			if !slices.Equal(got, tc.false) {
				t.Errorf("woken for nothing: %v, want %v", got, tc.false)
			}
		})
	}
}

func TestFireSaysHowManyWereNotServed(t *testing.T) {
	b := newBoard()
	w, addr := watch(t, b, 3, func(id int) string { return fmt.Sprintf("/k%d", id) })
	park(t, b, w, 3)
	_, err := w.Fire(t.Context(), rawhttp.Request("PUT", "/k0", addr, []byte{}), 3, 200*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "of 3 watchers were answered") {
		t.Errorf("error %v", err)
	}
}

func TestWatchersRefuseABadAnswer(t *testing.T) {
	for _, tc := range []struct {
		rule string
		h    http.HandlerFunc
		want string
	}{
		{"a status that is neither 200 nor 404", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "too many", http.StatusTooManyRequests)
		}, "status 429: too many"},
		{"no index", func(http.ResponseWriter, *http.Request) {}, "no X-Consul-Index"},
		{"a connection that ends", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "3")
			w.Header().Set("Connection", "close")
		}, "closes the connection"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			addr := serve(t, tc.h)
			w, err := DialWatchers(t.Context(), addr, 1, 1, func(int, uint64) []byte {
				return rawhttp.Request("GET", "/", addr, nil)
			})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := w.Park(); err != nil {
				t.Fatal(err)
			}
			_, err = w.Listen(t.Context(), time.Minute)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestWeatherOfAStormOfWrites(t *testing.T) {
	const n, writes = 10, 20
	for _, tc := range []struct {
		rule   string
		mute   bool // the last write is told to nobody
		most   time.Duration
		missed int
		all    bool // all writes are made
	}{
		{"everybody has what was written last", false, time.Minute, 0, true},
		{"who has not heard of it has missed it", true, time.Minute, n, true},
		{"a storm ends when its time is over", false, 5 * time.Millisecond, 0, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			b := newBoard()
			w, addr := watch(t, b, n, func(int) string { return "/key" })
			res, err := w.Weather(t.Context(), Storm{
				Writes: writes, Every: time.Millisecond, Most: tc.most, Grace: 30 * time.Millisecond,
				Write: func(int) []byte { return rawhttp.Request("PUT", "/key", addr, []byte("x")) },
				Latest: func() (uint64, error) {
					b.mu.Lock()
					defer b.mu.Unlock()
					if tc.mute {
						return b.index + 1, nil
					}
					return b.index, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if res.Missed != tc.missed || (res.Written == writes) != tc.all || res.Answers < n {
				t.Errorf("%+v", res)
			}
			// All wait again: the next write reaches everybody.
			if shot, err := w.Fire(t.Context(), rawhttp.Request("PUT", "/key", addr, []byte("x")), n, time.Minute); err != nil || len(shot.Woken) != n {
				t.Errorf("%d woken afterwards, error %v", len(shot.Woken), err)
			}
		})
	}
}
