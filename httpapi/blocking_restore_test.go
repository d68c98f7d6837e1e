package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/fsm"
)

// restoreArchive replaces the state by an archive, over HTTP.
func restoreArchive(t *testing.T, s *Server, archive []byte) {
	t.Helper()
	w := ask(t, s, http.MethodPut, "/v1/snapshot", string(archive))
	if w.Code != http.StatusOK {
		t.Fatalf("restore answered %d %q", w.Code, w.Body)
	}
}

// TestRestoreWakes: whoever waits when an archive is restored is answered at once,
// with data and index of the restored state.
//
// Source: contract, blocking queries, "Where Holdfast should differ" 1.
func TestRestoreWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newLocalNode(t)
		s := newTestServer(t, node)
		mustPut(t, s, "k", "saved") // 4
		mustPut(t, s, "p/a", "1")   // 5
		archive := node.archive(t)
		mustPut(t, s, "k", "lost")   // 6
		mustPut(t, s, "p/b", "lost") // 7
		watching := map[string]string{
			"k?raw&index=6": "saved", "p/?keys&index=7": `["p/a"]`, "p/b?index=7": "", "none?index=7": "", "?keys&index=7": `["k","p/a"]`,
		}
		waiting := map[string]*watcher{}
		for target := range watching {
			waiting[target] = watch(t.Context(), t, s, target)
			waiting[target].mustWait(t)
		}
		restoreArchive(t, s, archive)
		for target, body := range watching {
			w := waiting[target]
			if w.waits() {
				t.Fatalf("%s waits", target)
			}
			status := http.StatusOK
			if body == "" {
				status = http.StatusNotFound
			}
			expect(t, w.answer, status, body)
			if w.took > 0 {
				t.Errorf("%s is answered after %v", target, w.took)
			}
		}
		expectHeader(t, waiting["k?raw&index=6"].answer, "X-Consul-Index", "4")
		expectHeader(t, waiting["p/?keys&index=7"].answer, "X-Consul-Index", "5")
		mustBeEmpty(t, s)
	})
}

// TestOldIndexAfterRestore: whoever polls after a restore with an index of before
// learns at his first poll that things are different, however much has been
// written since, and then waits.
//
// Source: contract, blocking queries, "Where Holdfast should differ" 1.
func TestOldIndexAfterRestore(t *testing.T) {
	for _, tc := range []struct {
		rule, item string
		body       string // after the restore
	}{
		{"a key that was changed again", "k?raw", "saved"},
		{"a key that was created later", "later?raw", ""},
		{"a key that was deleted later", "deleted?raw", "saved"},
		{"a key that was deleted before and created again later", "again?raw", ""},
		{"a prefix with a change below", "p/?keys", `["p/a"]`},
		{"a prefix that was used later only", "later/?keys", ""},
		{"a prefix that was emptied later", "emptied/?keys", `["emptied/a"]`},
		{"every key", "?keys&limit=1", `["deleted"]`},
		{"a key that was never there", "none?raw", ""},
		{"a prefix that was never used", "none/?keys", ""},
	} {
		for _, writes := range []int{0, 1, 50} {
			t.Run(fmt.Sprintf("%s/%d writes since", tc.rule, writes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					node := newLocalNode(t)
					s := newTestServer(t, node)
					for _, k := range []string{"k", "deleted", "again", "p/a", "emptied/a"} {
						mustPut(t, s, k, "saved")
					}
					mustDelete(t, s, "again")
					archive := node.archive(t)
					for _, k := range []string{"k", "later", "again", "p/b", "later/a"} {
						mustPut(t, s, k, "lost")
					}
					mustDelete(t, s, "deleted")
					mustDelete(t, s, "emptied/?recurse")
					sep := "?"
					if len(tc.item) > 0 {
						sep = "&"
					}
					old := ask(t, s, http.MethodGet, "/v1/kv/"+tc.item, "").Header().Get("X-Consul-Index")
					restoreArchive(t, s, archive)
					for i := range writes {
						mustPut(t, s, "x", fmt.Sprint(i))
					}
					w := watch(t.Context(), t, s, tc.item+sep+"wait=10s&index="+old)
					if w.waits() {
						t.Fatal("it waits and does not tell what has been lost")
					}
					if w.answer.Body.String() != tc.body {
						t.Errorf("answer is %q, want %q", w.answer.Body, tc.body)
					}
					index := w.answer.Header().Get("X-Consul-Index")
					status := w.answer.Code
					w = watch(t.Context(), t, s, tc.item+sep+"wait=10s&index="+index)
					w.mustTimeOut(t, 10*time.Second, status, index)
				})
			})
		}
	}
}

// TestPollDuringRestore: who polls when the state has been replaced, and that has
// not yet been noted in the log, learns of it all the same.
func TestPollDuringRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newLocalNode(t)
		s := newTestServer(t, node)
		mustPut(t, s, "k", "saved")
		archive := node.archive(t)
		mustPut(t, s, "later", "lost") // 5
		var key, prefix *watcher
		node.between = func() {
			key = watch(t.Context(), t, s, "later?index=5&wait=10m")
			prefix = watch(t.Context(), t, s, "later?keys&index=5&wait=10m")
		}
		restoreArchive(t, s, archive)
		for _, w := range []*watcher{key, prefix} {
			w.mustBe(t, 404, "7")
		}
		watch(t.Context(), t, s, "later?index=7&wait=10s").mustTimeOut(t, 10*time.Second, 404, "7")
	})
}

func stateOf(t *testing.T, n *localNode) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := n.store.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestListsAfterRestore: a list that was kept for a state that is gone is not
// answered, and neither is its index.
func TestListsAfterRestore(t *testing.T) {
	node := newLocalNode(t)
	s := newTestServer(t, node)
	long := string(bytes.Repeat([]byte("v"), cacheFromBytes))
	mustPut(t, s, "k", long)
	archive := node.archive(t)
	state := stateOf(t, node)
	mustPut(t, s, "k", long+"lost")
	for range 3 {
		ask(t, s, http.MethodGet, "/v1/kv/?recurse", "")
	}
	restoreArchive(t, s, archive)
	want := ask(t, newTestServer(t, node), http.MethodGet, "/v1/kv/?recurse", "")
	for range 3 {
		got := ask(t, s, http.MethodGet, "/v1/kv/?recurse", "")
		expect(t, got, want.Code, want.Body.String())
		expectHeader(t, got, "X-Consul-Index", want.Header().Get("X-Consul-Index"))
	}
	// The list is kept between the two steps of a restore: the second gives the
	// whole store another index.
	if err := node.replaceState(SnapshotMeta{Index: 4}, bytes.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ask(t, s, http.MethodGet, "/v1/kv/?recurse", "")
	}
	if _, err := node.Propose(t.Context(), &fsm.Command{Restored: true}); err != nil {
		t.Fatal(err)
	}
	want = ask(t, newTestServer(t, node), http.MethodGet, "/v1/kv/?recurse", "")
	expectHeader(t, ask(t, s, http.MethodGet, "/v1/kv/?recurse", ""), "X-Consul-Index", want.Header().Get("X-Consul-Index"))
}
