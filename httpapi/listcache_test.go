package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// cacheModel asks a server that has been keeping lists since the beginning, and
// one that keeps none: their answers must be the same.
type cacheModel struct {
	node    *localNode
	server  *Server
	bare    *Server
	archive []byte // of an earlier state; nil: none yet
}

func (m *cacheModel) ask(rt *rapid.T, s *Server, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(rt.Context(), method, target, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (m *cacheModel) write(rt *rapid.T, method, target, body string) {
	if w := m.ask(rt, m.server, method, target, body); w.Code != http.StatusOK {
		rt.Fatalf("%s %s answered %d %q", method, target, w.Code, w.Body)
	}
}

var (
	cacheKeys     = rapid.SampledFrom([]string{"a", "b/", "b/c", "b/d", "b/d/e", "bb", "c/long/path"})
	cachePrefixes = rapid.SampledFrom([]string{"", "a", "b", "b/", "b/d", "c/", "none"})
	cacheShapes   = rapid.SampledFrom([]string{"?recurse", "?keys", "?keys&separator=/", "?recurse&pretty", "?keys&separator=d"})
)

func (m *cacheModel) Put(rt *rapid.T) {
	key := cacheKeys.Draw(rt, "key")
	size := rapid.SampledFrom([]int{0, 10, cacheFromBytes}).Draw(rt, "size")
	m.write(rt, http.MethodPut, "/v1/kv/"+key, strings.Repeat("v", size)+rapid.StringMatching("[a-c]").Draw(rt, "value"))
}

func (m *cacheModel) Delete(rt *rapid.T) {
	m.write(rt, http.MethodDelete, "/v1/kv/"+cacheKeys.Draw(rt, "key"), "")
}

func (m *cacheModel) DeleteTree(rt *rapid.T) {
	m.write(rt, http.MethodDelete, "/v1/kv/"+cachePrefixes.Draw(rt, "prefix")+"?recurse", "")
}

func (m *cacheModel) Save(rt *rapid.T) {
	var out bytes.Buffer
	snap := m.node.store.Snapshot()
	meta, err := m.node.SnapshotMeta(snap)
	if err == nil {
		err = writeArchive(&out, meta, snap)
	}
	if err != nil {
		rt.Fatal(err)
	}
	m.archive = out.Bytes()
}

// Install replaces the state without a note in the log, as Raft does on a server
// that has fallen far behind.
func (m *cacheModel) Install(rt *rapid.T) {
	if m.archive == nil {
		rt.Skip("nothing is saved")
	}
	var state bytes.Buffer
	meta, err := readArchive(bytes.NewReader(m.archive), &state)
	if err == nil {
		err = m.node.replaceState(SnapshotMeta{Index: meta.Index}, &state)
	}
	if err != nil {
		rt.Fatal(err)
	}
}

func (m *cacheModel) Restore(rt *rapid.T) {
	if m.archive == nil {
		rt.Skip("nothing is saved")
	}
	m.write(rt, http.MethodPut, "/v1/snapshot", string(m.archive))
}

// Prune drops history and, at times, tombstones, which moves the floor.
func (m *cacheModel) Prune(rt *rapid.T) {
	view := m.node.store.View()
	p := kvs.Plan{Through: rapid.SampledFrom([]uint64{view.Index() / 2, view.Index()}).Draw(rt, "through")}
	if err := view.Export(func(it *kvs.Item) error {
		if !it.Live() {
			p.Forgets = append(p.Forgets, kvs.Forget{Key: it.Key, Index: it.Cur.ModifyIndex})
		}
		return nil
	}); err != nil {
		rt.Fatal(err)
	}
	if _, err := m.node.Propose(rt.Context(), &fsm.Command{Prune: &p}); err != nil {
		rt.Fatal(err)
	}
}

func (m *cacheModel) Read(rt *rapid.T) {
	target := "/v1/kv/" + cachePrefixes.Draw(rt, "prefix") + cacheShapes.Draw(rt, "shape")
	m.compare(rt, target, rapid.SampledFrom([]string{"gzip", "identity"}).Draw(rt, "coding"))
}

// Check asks again and again for one list, and counts.
func (m *cacheModel) Check(rt *rapid.T) {
	m.compare(rt, "/v1/kv/b?recurse", "identity")
	c := m.server.lists
	size := 0
	for el := c.recent.Front(); el != nil; el = el.Next() {
		size += el.Value.(*cachedList).size()
	}
	if size != c.bytes || len(c.entries) != c.recent.Len() {
		rt.Fatalf("%d bytes are counted and %d kept, of %d and %d entries", c.bytes, size, len(c.entries), c.recent.Len())
	}
}

func (m *cacheModel) compare(rt *rapid.T, target, coding string) {
	got := m.ask(rt, m.server, http.MethodGet, target, "", "Accept-Encoding", coding)
	m.bare.lists = newListCache()
	want := m.ask(rt, m.bare, http.MethodGet, target, "", "Accept-Encoding", coding)
	if got.Code != want.Code || fmt.Sprint(got.Header()) != fmt.Sprint(want.Header()) || got.Body.String() != want.Body.String() {
		rt.Fatalf("%s (%s):\ngot  %d %v\n%q\nwant %d %v\n%q", target, coding, got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
	}
}

// TestListCacheModel: answers that were kept equal those that are built anew,
// under writes, deletions, restores and prunes.
func TestListCacheModel(t *testing.T) {
	hits := 0
	// A short run makes few histories, of which none may ask for the same twice.
	for tries := 0; tries < 10 && hits == 0; tries++ {
		rapid.Check(t, func(rt *rapid.T) {
			m := &cacheModel{node: newLocalNode(t)}
			m.server, m.bare = newTestServer(t, m.node), newTestServer(t, m.node)
			rt.Repeat(rapid.StateMachineActions(m))
			for el := m.server.lists.recent.Front(); el != nil; el = el.Next() {
				if el.Value.(*cachedList).body != nil {
					hits++
				}
			}
		})
	}
	if hits == 0 {
		t.Error("not one answer was kept: the test shows nothing")
	}
}

// TestListCacheKeepsTheSecondTime: the first answer is not copied, the third is
// shared, and a change makes it start anew.
func TestListCacheKeepsTheSecondTime(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "p/a", strings.Repeat("v", cacheFromBytes))
	kept := func() []byte {
		el := s.lists.entries[listKey{question: question{shape: entries, key: "p/"}}]
		if el == nil {
			return nil
		}
		return el.Value.(*cachedList).body
	}
	read := func(headers ...string) string {
		return ask(t, s, http.MethodGet, "/v1/kv/p/?recurse", "", headers...).Body.String()
	}
	first := read()
	if kept() != nil {
		t.Error("the first answer is kept")
	}
	read()
	if string(kept()) != first {
		t.Error("the second answer is not kept")
	}
	mustPut(t, s, "q", "1")
	if before := kept(); read() != first || &before[0] != &kept()[0] {
		t.Error("after a write elsewhere the answer is built anew")
	}
	if gunzipped(read("Accept-Encoding", "gzip")) != first {
		t.Error("the compressed form is another")
	}
	mustPut(t, s, "p/a", strings.Repeat("w", cacheFromBytes))
	if read() == first || kept() != nil {
		t.Error("after a change the old answer is kept")
	}
}

// TestListCacheAndTheFloor: when a deletion elsewhere is forgotten, the index of a
// prefix may rise to that of the deletion although nothing below it has changed.
func TestListCacheAndTheFloor(t *testing.T) {
	node := newLocalNode(t)
	s := newTestServer(t, node)
	mustPut(t, s, "p/a", strings.Repeat("v", cacheFromBytes)) // 4
	mustPut(t, s, "q", "1")
	mustDelete(t, s, "q") // 6
	read := func(s *Server) string {
		return ask(t, s, http.MethodGet, "/v1/kv/p/?recurse", "").Header().Get("X-Consul-Index")
	}
	for range 3 {
		if got := read(s); got != "4" {
			t.Fatalf("index is %s", got)
		}
	}
	prune(t, node, kvs.Plan{Through: 6, Forgets: []kvs.Forget{{Key: "q", Index: 6}}})
	if got, want := read(s), read(newTestServer(t, node)); got != want || node.store.View().Meta().Floor != 6 {
		t.Errorf("index is %s, without the cache %s", got, want)
	}
}

// TestListCacheAndOlderViews: what was checked against a newer state says nothing
// to a request that still looks at an older one.
func TestListCacheAndOlderViews(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	q := &question{shape: entries, key: "p/"}
	mustPut(t, s, "p/a", strings.Repeat("v", cacheFromBytes))
	older := s.node.Store().View()
	mustPut(t, s, "p/a", strings.Repeat("w", cacheFromBytes))
	for range 2 {
		ask(t, s, http.MethodGet, "/v1/kv/p/?recurse", "")
	}
	if hit, _ := s.lists.find(q, nil, s.node.Store().View()); hit == nil {
		t.Fatal("nothing is kept")
	}
	if hit, _ := s.lists.find(q, nil, older); hit != nil {
		t.Error("a newer list is answered from an older state")
	}
}

// TestListCacheBounds: neither many answers, nor large ones, nor long names make it
// grow beyond its bounds.
func TestListCacheBounds(t *testing.T) {
	view := newLocalNode(t).store.View()
	check := func(t *testing.T, c *listCache) {
		t.Helper()
		held := 0
		for el := c.recent.Front(); el != nil; el = el.Next() {
			e := el.Value.(*cachedList)
			held += len(e.body) + len(e.gzipped)
		}
		if held != c.bytes || held > cacheBytes || len(c.entries) > cacheEntries || c.recent.Len() != len(c.entries) {
			t.Fatalf("%d bytes are held, %d counted, in %d entries", held, c.bytes, len(c.entries))
		}
	}
	note := func(c *listCache, i, size int) *question {
		q := &question{shape: names, key: fmt.Sprintf("p/%d", i)}
		c.note(q, nil, view, reply{found: true}, bytes.Repeat([]byte{'x'}, size), true)
		return q
	}
	t.Run("many", func(t *testing.T) {
		c := newListCache()
		for i := range cacheEntries + 100 {
			note(c, i, cacheFromBytes)
		}
		check(t, c)
		if len(c.entries) != cacheEntries {
			t.Errorf("%d entries are kept", len(c.entries))
		}
	})
	t.Run("large", func(t *testing.T) {
		c := newListCache()
		for i := range 8 {
			q := note(c, i, 3<<20)
			if hit, _ := c.find(q, nil, view); hit == nil {
				t.Fatal("it was not kept")
			} else if z := c.compressed(hit); len(z) == 0 || c.bytes < len(z)+len(hit.body) {
				t.Fatal("the compressed form is not counted")
			}
			check(t, c)
		}
		if len(c.entries) < 3 {
			t.Errorf("only %d entries are kept", len(c.entries))
		}
	})
	t.Run("too large or too small", func(t *testing.T) {
		c := newListCache()
		note(c, 1, cacheEntryBytes+1)
		note(c, 2, cacheFromBytes-1)
		if len(c.entries) != 0 {
			t.Errorf("%d entries are kept", len(c.entries))
		}
	})
	t.Run("the least recently used goes first", func(t *testing.T) {
		c := newListCache()
		first := note(c, 0, 4<<20)
		note(c, 1, 4<<20)
		note(c, 2, 4<<20)
		c.find(first, nil, view)
		note(c, 3, 4<<20)
		note(c, 4, 4<<20)
		if hit, _ := c.find(first, nil, view); hit == nil {
			t.Error("what was just used is gone")
		}
		check(t, c)
	})
	t.Run("names", func(t *testing.T) {
		line := "p/&separator=" + strings.Repeat("s", cacheNameBytes) + "&" + strings.Repeat("x", 1<<16)
		q := &question{shape: names, key: line[:2], separator: line[13:20]}
		c := newListCache()
		c.note(q, nil, view, reply{found: true}, bytes.Repeat([]byte{'x'}, cacheFromBytes), true)
		for kept := range c.entries {
			if unsafe.StringData(kept.key) == unsafe.StringData(q.key) || unsafe.StringData(kept.separator) == unsafe.StringData(q.separator) {
				t.Error("it holds on to the whole request line")
			}
		}
		q.separator = line[13 : 13+cacheNameBytes]
		if q.cacheable() {
			t.Errorf("names of %d bytes are kept", len(q.key)+len(q.separator))
		}
	})
}

// indexModel watches the indexes of keys and prefixes.
type indexModel struct {
	cacheModel
	last map[string]uint64
}

// Check asks for indexes, which must not be 0 nor below what they were.
func (m *indexModel) Check(rt *rapid.T) {
	for _, target := range []string{"a", "b/c", "none", "?keys", "b?recurse", "b/?keys", "b/d?keys", "c/?recurse", "none/?keys", "b/?keys&limit=1"} {
		w := m.ask(rt, m.server, http.MethodGet, "/v1/kv/"+target, "")
		index, err := strconv.ParseUint(w.Header().Get("X-Consul-Index"), 10, 64)
		if err != nil || index == 0 || index < m.last[target] {
			rt.Fatalf("%s has index %d after %d, %v", target, index, m.last[target], err)
		}
		m.last[target] = index
	}
}

// TestIndexesNeverGoDown, whatever is written, deleted, pruned and forgotten.
func TestIndexesNeverGoDown(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &indexModel{last: map[string]uint64{}}
		m.node = newLocalNode(t)
		m.server, m.bare = newTestServer(t, m.node), newTestServer(t, m.node)
		actions := rapid.StateMachineActions(m)
		delete(actions, "Restore") // which may bring old indexes back
		delete(actions, "Install")
		rt.Repeat(actions)
	})
}
