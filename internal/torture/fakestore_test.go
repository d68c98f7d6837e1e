package torture

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeStore is a store in this process that several servers serve, as far as the load
// uses it. It keeps its promises, but for those that a test has it break.
type fakeStore struct {
	breaks breaks

	mu       sync.Mutex
	index    uint64
	history  map[string][]fakeItem // versions of each key, oldest first; guarded by mu
	folders  map[string][]string   // keys by the part of their name up to the second slash; guarded by mu
	again    map[string]fakeItem   // writes that come back after the next one of their key; guarded by mu
	sessions map[string]bool       // guarded by mu
	changed  chan struct{}         // closed and replaced at each change; guarded by mu
	rand     *rand.Rand            // guarded by mu
	later    sync.WaitGroup        // what happens after an answer
	over     chan struct{}         // closed when the test ends
}

// fakeItem is a key from one index on.
type fakeItem struct {
	Key         string
	Value       []byte
	ModifyIndex uint64
	Session     string
	Fence       uint64 `json:"-"`
	deleted     bool
}

// breaks are promises to break, each the chance in a thousand that a request does it;
// 0 keeps it. The first server is always well: trouble is in the others, as it is after
// a fault.
type breaks struct {
	stale       int // a default read sees the state before the last change
	lose        int // a put is acknowledged and not done
	twice       int // a put is done again a little later
	comesBack   int // a put is done again after the next put of its key
	lateLoss    int // a put is done, seen, and undone a little later
	blindCAS    int // a conditional put ignores its condition
	openLie     int // a put that was done is answered with "No cluster leader"
	holders     int // an acquire succeeds although another session holds the lock
	noFence     int // a fenced write is not compared with the lock
	sameFence   int // an acquire answers an old number
	backwards   int // a stale read sees an older state than the one before
	watchBack   int // a parked query is answered with an older state
	deaf        int // a parked query is not told of a change, nor of any after it
	differ      int // a server shows an index that is not the others'
	wrongIndex  int // a put answers an index that is not its own
	forget      int // a session's lock is free without anybody having released it
	unknownDone int // not a fault: a put is done and answered with an unknown outcome
	unknownNot  int // not a fault: a put is not done and answered with an unknown outcome
	noLeader    int // not a fault: a put is not done and answered with "No cluster leader"
}

func newFakeStore(t *testing.T, b breaks) *fakeStore {
	f := &fakeStore{
		breaks: b, history: map[string][]fakeItem{}, folders: map[string][]string{}, again: map[string]fakeItem{}, sessions: map[string]bool{},
		changed: make(chan struct{}), rand: rand.New(rand.NewPCG(1, 2)), over: make(chan struct{}),
	}
	t.Cleanup(func() {
		close(f.over)
		f.later.Wait()
	})
	return f
}

// serve starts servers over the store and returns their URLs.
func (f *fakeStore) serve(t *testing.T, n int) []string {
	t.Helper()
	var urls []string
	for id := range n {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.handle(id, w, r) }))
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	return urls
}

// past is the keys of a list as they were before the last change of each.
func (f *fakeStore) past(list []fakeItem) []fakeItem {
	f.mu.Lock()
	defer f.mu.Unlock()
	var older []fakeItem
	for _, it := range list {
		if it, found := f.atLocked(it.Key, it.ModifyIndex-1); found {
			older = append(older, it)
		}
	}
	return older
}

func (f *fakeStore) chance(server, thousandth int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.chanceLocked(server, thousandth)
}

// chanceLocked draws whether a promise is broken now, at a server.
func (f *fakeStore) chanceLocked(server, thousandth int) bool {
	return server > 0 && thousandth > 0 && f.rand.IntN(1000) < thousandth
}

func (f *fakeStore) handle(server int, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a client that is gone finds that nothing was done
	if r.Context().Err() != nil {
		return
	}
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/v1/session/"):
		f.session(w, strings.TrimPrefix(path, "/v1/session/"))
	case r.Method == http.MethodGet:
		f.get(server, w, r, strings.TrimPrefix(path, "/v1/kv/"))
	case r.Method == http.MethodPut:
		f.put(server, w, r, strings.TrimPrefix(path, "/v1/kv/"), body)
	default:
		f.remove(w, r, strings.TrimPrefix(path, "/v1/kv/"))
	}
}

func (f *fakeStore) session(w http.ResponseWriter, verb string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	verb, id, _ := strings.Cut(verb, "/")
	switch verb {
	case "create":
		f.index++
		id = fmt.Sprintf("session-%d", f.index)
		f.sessions[id] = true
		fmt.Fprintf(w, `{"ID":%q}`, id)
	case "renew":
		if !f.sessions[id] {
			w.WriteHeader(http.StatusNotFound)
		}
	case "destroy":
		delete(f.sessions, id)
		if it, ok := f.currentLocked(lockKey); ok && it.Session == id {
			it.Session = ""
			f.writeLocked(it)
		}
		fmt.Fprint(w, "true")
	case "list":
		fmt.Fprint(w, "[]")
	}
}

// writeLocked makes it the newest version of its key.
func (f *fakeStore) writeLocked(it fakeItem) uint64 {
	f.index++
	it.ModifyIndex = f.index
	if f.history[it.Key] == nil {
		folder := folderOf(it.Key)
		f.folders[folder] = append(f.folders[folder], it.Key)
	}
	f.history[it.Key] = append(f.history[it.Key], it)
	close(f.changed)
	f.changed = make(chan struct{})
	return f.index
}

// folderOf is the part of a key up to its second slash.
func folderOf(key string) string {
	parts := strings.SplitAfterN(key, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "")
}

// belowLocked are the keys that a read is about.
func (f *fakeStore) belowLocked(key string, recurse bool) []string {
	switch {
	case !recurse:
		return []string{key}
	case key != "": // the load lists whole folders, and everything
		return f.folders[key]
	}
	var all []string
	for _, keys := range f.folders {
		all = append(all, keys...)
	}
	return all
}

// currentLocked is the key now.
func (f *fakeStore) currentLocked(key string) (fakeItem, bool) {
	return f.atLocked(key, f.index)
}

// atLocked is the key as it was at an index.
func (f *fakeStore) atLocked(key string, index uint64) (fakeItem, bool) {
	versions := f.history[key]
	for i := len(versions) - 1; i >= 0; i-- {
		if it := versions[i]; it.ModifyIndex <= index {
			return it, !it.deleted
		}
	}
	return fakeItem{Key: key}, false
}

// put is put, cas, acquire and release.
func (f *fakeStore) put(server int, w http.ResponseWriter, r *http.Request, key string, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, q := f.breaks, r.URL.Query()
	old, found := f.currentLocked(key)
	next := fakeItem{Key: key, Value: body, Session: old.Session, Fence: old.Fence}
	switch {
	case q.Has("cas"):
		asked := number(q.Get("cas"))
		if holds := found && old.ModifyIndex == asked || !found && asked == 0; !holds && !f.chanceLocked(server, b.blindCAS) {
			fmt.Fprint(w, "false")
			return
		}
	case q.Has("acquire"):
		id := q.Get("acquire")
		if !f.sessions[id] {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "invalid session")
			return
		}
		if found && old.Session != "" && old.Session != id && !f.chanceLocked(server, b.holders) {
			fmt.Fprint(w, "false")
			return
		}
		next.Session = id
		if old.Session != id {
			next.Fence = f.index + 1
			if f.chanceLocked(server, b.sameFence) {
				next.Fence = old.Fence
			}
		}
		w.Header().Set("X-Holdfast-Fence", strconv.FormatUint(next.Fence, 10))
		if f.chanceLocked(server, b.forget) {
			f.laterLocked(func() {
				it, _ := f.currentLocked(key)
				it.Session = ""
				f.writeLocked(it)
			})
		}
	case q.Has("release"):
		if old.Session != q.Get("release") {
			fmt.Fprint(w, "false")
			return
		}
		next.Session = ""
	case q.Has("fence"):
		at := strings.LastIndexByte(q.Get("fence"), ':')
		lock, _ := f.currentLocked(q.Get("fence")[:at])
		if lock.Fence > number(q.Get("fence")[at+1:]) && !f.chanceLocked(server, b.noFence) {
			w.WriteHeader(http.StatusConflict)
			return
		}
	}
	f.answerPutLocked(server, w, next, old)
}

// answerPutLocked writes next, or does what a test has it do instead.
func (f *fakeStore) answerPutLocked(server int, w http.ResponseWriter, next, old fakeItem) {
	b := f.breaks
	switch {
	case f.chanceLocked(server, b.lose):
		w.Header().Set("X-Consul-Index", strconv.FormatUint(f.index+1, 10))
		f.index++
		fmt.Fprint(w, "true")
		return
	case f.chanceLocked(server, b.noLeader):
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "No cluster leader")
		return
	case f.chanceLocked(server, b.unknownNot):
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "the outcome is unknown")
		return
	}
	index := f.writeLocked(next)
	switch {
	case f.chanceLocked(server, b.openLie):
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "No cluster leader")
		return
	case f.chanceLocked(server, b.unknownDone):
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "the outcome is unknown")
		return
	case f.chanceLocked(server, b.twice):
		f.laterLocked(func() { f.writeLocked(next) })
	case f.chanceLocked(server, b.comesBack):
		f.again[next.Key] = next
	case f.again[next.Key].Key != "":
		before := f.again[next.Key]
		delete(f.again, next.Key)
		f.laterLocked(func() { f.writeLocked(before) })
	case f.chanceLocked(server, b.lateLoss):
		f.laterLocked(func() {
			if now, _ := f.currentLocked(next.Key); now.ModifyIndex == index {
				old.deleted = old.ModifyIndex == 0
				f.writeLocked(old)
			}
		})
	case f.chanceLocked(server, b.wrongIndex):
		index++
	}
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	fmt.Fprint(w, "true")
}

// laterLocked does something a little after the answer.
func (f *fakeStore) laterLocked(do func()) {
	f.later.Go(func() {
		select {
		case <-f.over:
			return
		case <-time.After(15 * time.Millisecond):
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		do()
	})
}

func (f *fakeStore) remove(w http.ResponseWriter, r *http.Request, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, found := f.currentLocked(key)
	switch q := r.URL.Query(); {
	case !found:
		fmt.Fprint(w, "true")
		return
	case q.Has("cas") && old.ModifyIndex != number(q.Get("cas")):
		fmt.Fprint(w, "false")
		return
	}
	f.writeLocked(fakeItem{Key: key, deleted: true})
	fmt.Fprint(w, "true")
}

// get is a read, of one key or below a prefix, that may wait.
func (f *fakeStore) get(server int, w http.ResponseWriter, r *http.Request, key string) {
	q := r.URL.Query()
	asked := number(q.Get("index"))
	wait, err := time.ParseDuration(q.Get("wait"))
	if err != nil {
		wait = 0
	}
	over := time.After(wait)
	deaf := false
	for {
		list, own, index, changed := f.look(server, key, q.Has("recurse"), q.Has("stale"))
		deaf = deaf || asked > 0 && f.chance(server, f.breaks.deaf)
		if asked == 0 || own > asked && !deaf {
			switch {
			case asked > 0 && f.chance(server, f.breaks.watchBack):
				list, index = f.past(list), index-1
			case asked == 0 && !q.Has("stale") && f.chance(server, f.breaks.stale):
				list = f.past(list)
			}
			f.answer(server, w, list, index)
			return
		}
		if deaf {
			changed = nil
		}
		select {
		case <-changed:
		case <-over:
			f.answer(server, w, list, max(asked, index))
			return
		case <-r.Context().Done():
			return
		case <-f.over:
			return
		}
	}
}

// look is what a read finds: the entries, the last change of what was asked for, the
// index to answer, and a channel that is closed at the next change.
func (f *fakeStore) look(server int, key string, recurse, stale bool) (list []fakeItem, own, index uint64, changed chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.index
	if stale && f.chanceLocked(server, f.breaks.backwards) {
		at = max(at, 50) - 49
	}
	for _, k := range f.belowLocked(key, recurse) {
		versions := f.history[k]
		if it, found := f.atLocked(k, at); found {
			list = append(list, it)
		}
		for i := len(versions) - 1; i >= 0; i-- {
			if m := versions[i].ModifyIndex; m <= at {
				own = max(own, m)
				break
			}
		}
	}
	slices.SortFunc(list, func(a, b fakeItem) int { return strings.Compare(a.Key, b.Key) })
	index = own
	if own == 0 {
		index = max(at, 1)
	}
	return list, own, index, f.changed
}

func (f *fakeStore) answer(server int, w http.ResponseWriter, list []fakeItem, index uint64) {
	f.mu.Lock()
	if len(list) > 50 && f.chanceLocked(server, f.breaks.differ) {
		list = slices.Clone(list)
		list[7].ModifyIndex++
	}
	f.mu.Unlock()
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	if len(list) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(list) // the client may be gone
}
