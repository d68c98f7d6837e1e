package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// watcher is a blocking query under way, in a bubble of fake time.
type watcher struct {
	target string
	began  time.Time
	done   chan struct{} // closed when it is answered
	answer *httptest.ResponseRecorder
	took   time.Duration
}

// watch sends a blocking query and returns when it waits or is answered.
func watch(ctx context.Context, t *testing.T, s *Server, target string) *watcher {
	t.Helper()
	w := &watcher{target: target, began: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.answer = askIn(ctx, t, s, http.MethodGet, "/v1/kv/"+target, "")
		w.took = time.Since(w.began)
	}()
	synctest.Wait()
	return w
}

func (w *watcher) waits() bool {
	synctest.Wait()
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

func (w *watcher) mustWait(t *testing.T) {
	t.Helper()
	if !w.waits() {
		t.Fatalf("%s is answered %d %q with index %s, and should wait", w.target, w.answer.Code, w.answer.Body, w.answer.Header().Get("X-Consul-Index"))
	}
}

// mustBe checks the answer, which must be there.
func (w *watcher) mustBe(t *testing.T, status int, index string) {
	t.Helper()
	if w.waits() {
		t.Fatalf("%s waits, and should be answered", w.target)
	}
	if got := w.answer.Header().Get("X-Consul-Index"); w.answer.Code != status || got != index {
		t.Errorf("%s is answered %d %q with index %s, want %d with index %s", w.target, w.answer.Code, w.answer.Body, got, status, index)
	}
}

// mustTimeOut lets the time of the query pass and checks that it is answered then
// and not before.
func (w *watcher) mustTimeOut(t *testing.T, wait time.Duration, status int, index string) {
	t.Helper()
	w.mustWait(t)
	<-w.done
	if w.took < wait || w.took > wait*17/16 {
		t.Errorf("%s is answered after %v, want %v and up to a sixteenth", w.target, w.took, wait)
	}
	w.mustBe(t, status, index)
}

// change is one write.
type change struct{ method, target, body string }

func put(key string) change { return change{http.MethodPut, key, "new"} }
func del(key string) change { return change{http.MethodDelete, key, ""} }

func (c change) do(t *testing.T, s *Server) {
	t.Helper()
	w := ask(t, s, c.method, "/v1/kv/"+c.target, c.body)
	if w.Code != http.StatusOK {
		t.Fatalf("%s %s answered %d %q", c.method, c.target, w.Code, w.Body)
	}
}

// TestWhatWakesWhat: each row of the contract's table, and how the query that is
// not woken is answered when its time is over. The store has k (index 4), p/a (5),
// p/d/x (6); e/x was put (7) and deleted (8); the next write is 9.
//
// Source: contract, blocking queries, section 2 and "Where Holdfast should differ"
// 2 and 8; KV, "Where Holdfast should differ" 7.
func TestWhatWakesWhat(t *testing.T) {
	txn := func(body string) change { return change{http.MethodPut, "../txn?", body} }
	for _, tc := range []struct {
		rule, target string
		at           int // index the query waits with
		change       change
		woken        int // status of the answer; 0: not woken
		index        int // of the answer
	}{
		{"existing key: value", "k", 4, put("k"), 200, 9},
		{"existing key: flags", "k", 4, change{http.MethodPut, "k?flags=1", "old"}, 200, 9},
		{"existing key: deletion", "k", 4, del("k"), 404, 9},
		{"existing key: recursive deletion", "k", 4, del("?recurse"), 404, 9},
		{"existing key: in a transaction", "k", 4, txn(`[{"KV":{"Verb":"set","Key":"x"}},{"KV":{"Verb":"delete","Key":"k"}}]`), 404, 9},
		{"existing key: not another one", "k", 4, put("kk"), 0, 4},
		{"existing key: not a prefix of it", "p/a", 5, put("p/"), 0, 5},
		{"existing key: not a put that changes nothing", "k", 4, change{http.MethodPut, "k", "old"}, 0, 4},
		{"existing key: not a lost check-and-set", "k", 4, change{http.MethodPut, "k?cas=1", "new"}, 0, 4},
		{"existing key: raw", "k?raw", 4, put("k"), 200, 9},

		{"missing key: creation", "none", 8, put("none"), 200, 9},
		{"missing key: not another one", "none", 8, put("nonee"), 0, 8},
		{"missing key: not its own deletion, which is none", "none", 8, del("none"), 0, 8},
		{"deleted key: creation", "e/x", 8, put("e/x"), 200, 9},
		{"deleted key: not another one", "e/x", 8, put("e/y"), 0, 8},
		{"missing key: other writes since", "none", 5, put("other"), 0, 5},
		{"deleted key: its deletion since", "e/x", 7, put("other"), 404, 8},

		{"prefix: create", "p/?recurse", 6, put("p/b"), 200, 9},
		{"prefix: change", "p/?recurse", 6, put("p/a"), 200, 9},
		{"prefix: change of a value, for names", "p/?keys", 6, put("p/a"), 200, 9},
		{"prefix: change below the fold", "p/?keys&separator=/", 6, put("p/d/x"), 200, 9},
		{"prefix: deletion", "p/?recurse", 6, del("p/a"), 200, 9},
		{"prefix: deletion of the last", "p/d/?recurse", 6, del("p/d/x"), 404, 9},
		{"prefix: recursive deletion of it", "p/?recurse", 6, del("p/?recurse"), 404, 9},
		{"prefix: recursive deletion of a part", "p/?keys", 6, del("p/d?recurse"), 200, 9},
		{"prefix: recursive deletion of a parent", "p/d/?keys", 6, del("p?recurse"), 404, 9},
		{"prefix: recursive deletion of everything", "p/d/?keys", 6, del("?recurse"), 404, 9},
		{"prefix: not keys outside", "p/?recurse", 6, put("p"), 0, 6},
		{"prefix: not its neighbour", "p/?recurse", 6, put("p0"), 0, 6},
		{"prefix: not a deletion of nothing", "p/?recurse", 6, del("p/none?recurse"), 0, 6},
		{"prefix: the key of that very name", "p/a?recurse", 5, put("p/a"), 200, 9},
		{"prefix: a page of it wakes on all of it", "p/?keys&limit=1", 6, put("p/z"), 200, 9},

		{"emptied prefix: creation", "e/?recurse", 8, put("e/new"), 200, 9},
		{"emptied prefix: not keys outside", "e/?recurse", 8, put("f"), 0, 8},
		{"never used prefix: creation", "p/q/?recurse", 8, put("p/q/new"), 200, 9},
		{"never used prefix: not its neighbours", "p/q/?recurse", 8, put("p/r"), 0, 8},
		{"never used prefix: other writes since", "p/q/?keys", 4, put("p/r"), 0, 4},

		{"root: every write", "?keys", 8, put("z"), 200, 9},
		{"root: every deletion", "?recurse", 8, del("k"), 200, 9},
		{"root: not a put that changes nothing", "?keys", 8, change{http.MethodPut, "k", "old"}, 0, 8},
		{"root: deletion of everything", "?keys", 8, del("?recurse"), 200, 9},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestServer(t, newLocalNode(t))
				for _, k := range []string{"k", "p/a", "p/d/x", "e/x"} {
					mustPut(t, s, k, "old")
				}
				mustDelete(t, s, "e/x")
				sep := "?"
				if strings.Contains(tc.target, "?") {
					sep = "&"
				}
				w := watch(t.Context(), t, s, fmt.Sprintf("%s%sindex=%d&wait=20s", tc.target, sep, tc.at))
				if tc.rule == "deleted key: its deletion since" {
					w.mustBe(t, tc.woken, fmt.Sprint(tc.index)) // it was there before
					return
				}
				w.mustWait(t)
				if strings.HasPrefix(tc.change.target, "../txn") {
					if got := ask(t, s, http.MethodPut, "/v1/txn", tc.change.body); got.Code != http.StatusOK {
						t.Fatal(got.Body)
					}
				} else {
					tc.change.do(t, s)
				}
				if tc.woken > 0 {
					w.mustBe(t, tc.woken, fmt.Sprint(tc.index))
					if w.took > 0 {
						t.Errorf("it was answered after %v", w.took)
					}
					return
				}
				w.mustTimeOut(t, 20*time.Second, timedOutStatus(tc.target), fmt.Sprint(tc.index))
			})
		})
	}
}

// timedOutStatus is that of a query of TestWhatWakesWhat that was not woken.
func timedOutStatus(target string) int {
	for _, missing := range []string{"none", "e/", "p/q/"} {
		if strings.HasPrefix(target, missing) {
			return http.StatusNotFound
		}
	}
	return http.StatusOK
}

// TestWaitTime: limits, default and jitter.
//
// Source: contract, blocking queries, section 1.
func TestWaitTime(t *testing.T) {
	for query, want := range map[string]time.Duration{
		"wait=2s": 2 * time.Second, "wait=0.5s": time.Second / 2, "wait=1m30s": 90 * time.Second, "wait=1ns": 1,
		"wait=10m": 10 * time.Minute, "wait=11m": 10 * time.Minute, "wait=2540400h": 10 * time.Minute,
		"wait=0s": 5 * time.Minute, "wait=0": 5 * time.Minute, "wait=-3s": 5 * time.Minute, "wait=": 5 * time.Minute, "": 5 * time.Minute,
	} {
		t.Run(query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestServer(t, newLocalNode(t))
				mustPut(t, s, "k", "1")
				var all []*watcher
				for range 40 {
					all = append(all, watch(t.Context(), t, s, "k?index=4&"+query))
				}
				differ := map[time.Duration]bool{}
				for _, w := range all {
					<-w.done
					w.mustBe(t, 200, "4")
					if w.took < want || w.took > want*17/16 {
						t.Errorf("answered after %v, want %v to %v", w.took, want, want*17/16)
					}
					differ[w.took] = true
				}
				if want >= time.Second && len(differ) < 10 {
					t.Errorf("40 queries were answered after only %d different times", len(differ))
				}
			})
		})
	}
	t.Run("both limits are settings", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.DefaultQueryTime, s.MaxQueryTime = time.Second, 3*time.Second })
			watch(t.Context(), t, s, "k?index=1").mustTimeOut(t, time.Second, 404, "1")
			watch(t.Context(), t, s, "k?index=1&wait=1h").mustTimeOut(t, 3*time.Second, 404, "1")
		})
	})
}

// TestDoesNotWait: queries that are answered at once.
func TestDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, newLocalNode(t))
		mustPut(t, s, "k", "1")
		mustPut(t, s, "k", "2")
		mustPut(t, s, "other", "1")
		for target, index := range map[string]string{
			"k?wait=10s": "5", "k?index=&wait=10s": "5", "k?index=0&wait=10s": "5", "k?index=1": "5", "k?index=4": "5",
			"none?index=0": "6", "none?index=1": "6", "none/?keys&index=1": "6", "?keys&index=5": "6", "?keys&index=1": "6",
		} {
			w := watch(t.Context(), t, s, target)
			status := http.StatusOK
			if strings.HasPrefix(target, "none") {
				status = http.StatusNotFound
			}
			w.mustBe(t, status, index)
		}
	})
}

// TestIndexOneOfAnEmptyStore: 1 is what an empty store hands out, and there it
// really waits.
//
// Source: contract, blocking queries, section 3.
func TestIndexOneOfAnEmptyStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, newLocalNode(t))
		missing := watch(t.Context(), t, s, "a?index=1&wait=1m")
		root := watch(t.Context(), t, s, "?keys&index=1&wait=1m")
		other := watch(t.Context(), t, s, "b?index=1&wait=1m")
		mustDelete(t, s, "none")
		missing.mustWait(t)
		root.mustWait(t)
		mustPut(t, s, "a", "1")
		missing.mustBe(t, 200, "5")
		root.mustBe(t, 200, "5")
		other.mustTimeOut(t, time.Minute, 404, "5")
	})
}

// TestFutureIndex: an index that the item has not reached is waited for, also when
// the item changes below it.
//
// Source: contract, blocking queries, section 1.
func TestFutureIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, newLocalNode(t))
		mustPut(t, s, "k", "1")                                       // 4
		w := watch(t.Context(), t, s, "k?index=6&wait=1m")            //
		late := watch(t.Context(), t, s, "k?index=999&wait=1m")       //
		prefix := watch(t.Context(), t, s, "k?keys&index=6&wait=1m")  //
		missing := watch(t.Context(), t, s, "none?index=99&wait=30s") //
		mustPut(t, s, "k", "2")                                       // 5
		w.mustWait(t)
		mustPut(t, s, "k", "3") // 6
		w.mustWait(t)
		prefix.mustWait(t)
		mustPut(t, s, "k", "4") // 7
		w.mustBe(t, 200, "7")
		prefix.mustBe(t, 200, "7")
		missing.mustTimeOut(t, 30*time.Second, 404, "7")
		<-late.done
		late.mustBe(t, 200, "7")
		if w := watch(t.Context(), t, s, fmt.Sprintf("k?index=%d&wait=1m", uint64(1<<64-1))); w.waits() {
			<-w.done
			w.mustBe(t, 200, "7")
		}
	})
}

// TestMissingItemBetweenPolls: a client that polls for something missing gets the
// index back with which it came, however much else is written while it waits and
// while it does not, and is answered when the thing appears.
//
// Source: contract, blocking queries, "Where Holdfast should differ" 8.
func TestMissingItemBetweenPolls(t *testing.T) {
	for _, life := range lives {
		for _, tc := range []struct{ item, appears string }{
			{"none?", "none"}, {"gone?", "gone"}, {"p/?recurse&", "p/x"}, {"gone/?keys&", "gone/again"},
		} {
			t.Run(life.name+"/"+tc.item, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					node := newLocalNode(t)
					s := newTestServer(t, node)
					for _, k := range []string{"k", "gone", "gone/a"} {
						mustPut(t, s, k, "1")
					}
					mustDelete(t, s, "gone?recurse")
					index := ask(t, s, http.MethodGet, "/v1/kv/"+tc.item, "").Header().Get("X-Consul-Index")
					for i := range 3 {
						mustPut(t, s, "k", fmt.Sprintf("between %d", i))
						node = life.next(node, t)
						s = newTestServer(t, node)
						w := watch(t.Context(), t, s, tc.item+"wait=10s&index="+index)
						mustPut(t, s, "k", fmt.Sprintf("meanwhile %d", i))
						w.mustTimeOut(t, 10*time.Second, 404, index)
					}
					mustPut(t, s, "k", "between")
					appeared := mustPut(t, s, tc.appears, "1")
					watch(t.Context(), t, s, tc.item+"wait=10s&index="+index).mustBe(t, 200, appeared)
				})
			})
		}
	}
}

// TestNoMissedChange: what changes between two polls is answered at the next.
func TestNoMissedChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, newLocalNode(t))
		mustPut(t, s, "p/k", "1")
		for i := range 2000 { // more than the change log is searched for
			mustPut(t, s, "p/k", fmt.Sprint(i))
			if i%500 == 0 {
				watch(t.Context(), t, s, "p/k?index=4").mustBe(t, 200, fmt.Sprint(5+i))
				watch(t.Context(), t, s, "p/?keys&index=4").mustBe(t, 200, fmt.Sprint(5+i))
			}
		}
		mustDelete(t, s, "p/k")
		watch(t.Context(), t, s, "p/k?index=2004").mustBe(t, 404, "2005")
		for i := range 2000 {
			mustPut(t, s, "other", fmt.Sprint(i))
		}
		watch(t.Context(), t, s, "p/?keys&index=2004&wait=1s").mustBe(t, 404, "2005")
		watch(t.Context(), t, s, "p/?keys&index=2005&wait=1s").mustTimeOut(t, time.Second, 404, "2005")
	})
}

// TestConsistentWait: leadership is confirmed again before a woken query is
// answered, and if it is lost the answer is an error.
//
// Source: contract, blocking queries, sections 1 and 4.
func TestConsistentWait(t *testing.T) {
	for mode, wantGates := range map[string]int{"consistent": 2, "stale": 1, "leader": 1} {
		synctest.Test(t, func(t *testing.T) {
			node := newLocalNode(t)
			s := newTestServer(t, node)
			mustPut(t, s, "k", "1")
			w := watch(t.Context(), t, s, "k?index=4&wait=10s&"+mode)
			mustPut(t, s, "k", "2")
			w.mustBe(t, 200, "5")
			if len(node.gates) != wantGates {
				t.Errorf("?%s asked for leave to read %d times, want %d", mode, len(node.gates), wantGates)
			}
			w = watch(t.Context(), t, s, "k?index=5&wait=10s&"+mode)
			node.setContact(Contact{LastContact: 3 * time.Second}, ErrNoLeader)
			mustPut(t, s, "k", "3")
			if mode == "consistent" {
				w.mustBe(t, 500, "")
				return
			}
			w.mustBe(t, 200, "6")
			expectHeader(t, w.answer, "X-Consul-Knownleader", "false") // as it is when the answer is given
			expectHeader(t, w.answer, "X-Consul-Lastcontact", "3000")
		})
	}
}

// TestDrain: a server that stops answers everybody with what there is, and nobody
// waits afterwards.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, newLocalNode(t))
		mustPut(t, s, "k", "1")
		mustPut(t, s, "p/a", "1")
		waiting := map[string]*watcher{}
		for _, target := range []string{"k?index=4", "none?index=4", "p/?recurse&index=5", "?keys&index=5"} {
			waiting[target] = watch(t.Context(), t, s, target)
			waiting[target].mustWait(t)
		}
		s.Drain()
		s.Drain()
		waiting["k?index=4"].mustBe(t, 200, "4")
		waiting["none?index=4"].mustBe(t, 404, "4")
		waiting["p/?recurse&index=5"].mustBe(t, 200, "5")
		waiting["?keys&index=5"].mustBe(t, 200, "5")
		watch(t.Context(), t, s, "k?index=4").mustBe(t, 200, "4")
		mustBeEmpty(t, s)
	})
}

// mustBeEmpty checks that nothing is left of the queries that have waited.
func mustBeEmpty(t *testing.T, s *Server) {
	t.Helper()
	s.parked.mu.Lock()
	clients := len(s.parked.by)
	s.parked.mu.Unlock()
	if s.Parked() != 0 || clients != 0 || s.node.Store().Hub().Len() != 0 {
		t.Errorf("%d queries of %d clients wait for %d things", s.Parked(), clients, s.node.Store().Hub().Len())
	}
}

// TestDefaultTimesAreTheContracts.
func TestDefaultTimesAreTheContracts(t *testing.T) {
	if limit.DefaultQueryTime != 5*time.Minute || limit.MaxQueryTime != 10*time.Minute {
		t.Errorf("defaults are %v and %v", limit.DefaultQueryTime, limit.MaxQueryTime)
	}
}

// TestMinIndexWaits: a read that this server is not ready for is answered as soon
// as it is, and lets go when its client does.
func TestMinIndexWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServerWith(t, newLocalNode(t), func(s *Settings) { s.HoldTime = 7 * time.Second })
		mustPut(t, s, "k", "1")
		w := watch(t.Context(), t, s, "k?raw&stale&min-index=6")
		mustPut(t, s, "k", "2")
		w.mustWait(t)
		mustPut(t, s, "k", "3")
		w.mustBe(t, 200, "6")
		expect(t, w.answer, 200, "3")

		ctx, leave := context.WithCancel(t.Context())
		gone := watch(ctx, t, s, "k?min-index=99")
		late := watch(t.Context(), t, s, "k?min-index=99")
		leave()
		gone.mustBe(t, statusClientGone, "")
		late.mustWait(t)
		<-late.done
		late.mustBe(t, 500, "")
		if late.took != 7*time.Second {
			t.Errorf("it was held for %v", late.took)
		}
	})
}
