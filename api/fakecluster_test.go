package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/api"
)

// fakeCluster is an http.RoundTripper that does with sessions and locks what servers
// do: TTLs that end sessions at the first moment they may, lock-delays, waiting reads,
// fencing numbers. It is made for bubbles of fake time: nothing of it takes any.
type fakeCluster struct {
	consul bool // without our own additions

	// fault decides about a request before it is served: by an error, an answer, or by
	// taking its time. The network's, so it is called without the lock. nil: no faults.
	fault func(r *http.Request) (*http.Response, error) // guarded by mu

	// onWayBack is fault for the answer of a request that has been served.
	onWayBack func(r *http.Request) error // guarded by mu

	mu       sync.Mutex
	index    uint64
	made     int // sessions so far
	sessions map[string]*fakeSession
	entries  map[string]*fakeEntry
	delays   map[string]time.Time
	fences   map[string]uint64
	changed  chan struct{} // closed at every change, and then replaced
	log      []string      // requests, "METHOD uri body"
	ends     map[string]time.Time
}

type fakeSession struct {
	api.Session
	timer *time.Timer
}

type fakeEntry struct {
	api.Entry
	owner string
}

func newFakeCluster() *fakeCluster {
	return &fakeCluster{
		index: 10, sessions: map[string]*fakeSession{}, entries: map[string]*fakeEntry{},
		delays: map[string]time.Time{}, fences: map[string]uint64{}, ends: map[string]time.Time{},
		changed: make(chan struct{}),
	}
}

// client makes a client of the cluster.
func (f *fakeCluster) client(t *testing.T, opts ...api.Option) *api.Client {
	t.Helper()
	opts = append([]api.Option{api.WithoutEnvironment(), api.WithHTTPClient(&http.Client{Transport: f})}, opts...)
	client, err := api.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// setFault sets what happens to requests from now on.
func (f *fakeCluster) setFault(fault func(r *http.Request) (*http.Response, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// setWayBack sets what happens to answers from now on.
func (f *fakeCluster) setWayBack(fault func(r *http.Request) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onWayBack = fault
}

// requests returns what was asked since the last call.
func (f *fakeCluster) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log = nil
	return log
}

// endOf is when a session ended; zero while it lives.
func (f *fakeCluster) endOf(session string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ends[session]
}

// entry is a copy of what a key holds; nil when there is no such key.
func (f *fakeCluster) entry(key string) *api.Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.entries[key]; e != nil {
		c := e.Entry
		return &c
	}
	return nil
}

// destroy ends a session as an operator would.
func (f *fakeCluster) destroy(session string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(session)
}

// remove deletes a key as an operator would.
func (f *fakeCluster) remove(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.entries, key)
	f.change()
}

// RoundTrip serves a request.
func (f *fakeCluster) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	f.mu.Lock()
	f.log = append(f.log, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	fault, wayBack := f.fault, f.onWayBack
	f.mu.Unlock()
	if fault != nil {
		if res, err := fault(r); res != nil || err != nil {
			return res, err
		}
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	res, err := f.serve(r, body)
	if err == nil && wayBack != nil {
		err = wayBack(r)
	}
	if err == nil {
		err = r.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// reply makes an answer.
func reply(r *http.Request, status int, body string, header ...string) *http.Response {
	res := &http.Response{StatusCode: status, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i+1 < len(header); i += 2 {
		res.Header.Set(header[i], header[i+1])
	}
	return res
}

func (f *fakeCluster) serve(r *http.Request, body []byte) (*http.Response, error) {
	for prefix, handle := range map[string]func(*http.Request, string, []byte) (*http.Response, error){
		"/v1/session/create": f.create, "/v1/session/renew/": f.renew, "/v1/session/destroy/": f.destroyed,
		"/v1/session/list": f.list, "/v1/kv/": f.keys,
	} {
		if arg, ok := strings.CutPrefix(r.URL.Path, prefix); ok {
			return handle(r, arg, body)
		}
	}
	return reply(r, 404, "Invalid URL path"), nil
}

func (f *fakeCluster) create(r *http.Request, _ string, body []byte) (*http.Response, error) {
	var spec struct{ Name, TTL, Grace, LockDelay, Behavior string }
	if err := json.Unmarshal(body, &spec); err != nil {
		return reply(r, 400, err.Error()), nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	s := &fakeSession{Session: api.Session{
		ID: fmt.Sprintf("s%d", f.made), Name: spec.Name, Node: "n1", TTL: spec.TTL, Grace: spec.Grace,
		Behavior: api.Behavior(spec.Behavior), LockDelay: 15 * time.Second,
	}}
	if spec.LockDelay != "" {
		s.LockDelay, _ = time.ParseDuration(spec.LockDelay)
	}
	f.sessions[s.ID] = s
	if ttl, err := time.ParseDuration(spec.TTL); err == nil {
		s.timer = time.AfterFunc(ttl, func() { f.destroy(s.ID) })
	}
	f.change()
	return reply(r, 200, `{"ID":"`+s.ID+`"}`), nil
}

func (f *fakeCluster) renew(r *http.Request, id string, _ []byte) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[id]
	if s == nil {
		return reply(r, 404, "Session id '"+id+"' not found"), nil
	}
	ttl, _ := time.ParseDuration(s.TTL)
	s.timer.Reset(ttl)
	shown, _ := json.Marshal([]api.Session{s.Session})
	return reply(r, 200, string(shown)), nil
}

func (f *fakeCluster) destroyed(r *http.Request, id string, _ []byte) (*http.Response, error) {
	f.destroy(id)
	return reply(r, 200, "true"), nil
}

func (f *fakeCluster) list(r *http.Request, _ string, _ []byte) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []api.Session{}
	for _, s := range f.sessions {
		list = append(list, s.Session)
	}
	shown, _ := json.Marshal(list)
	return reply(r, 200, string(shown), "X-Consul-Index", "1"), nil
}

// change wakes whoever waits; the caller holds the lock.
func (f *fakeCluster) change() {
	f.index++
	close(f.changed)
	f.changed = make(chan struct{})
}

// end ends a session and what depends on it; the caller holds the lock.
func (f *fakeCluster) end(id string) {
	s := f.sessions[id]
	if s == nil {
		return
	}
	delete(f.sessions, id)
	if s.timer != nil {
		s.timer.Stop()
	}
	f.ends[id] = time.Now()
	f.change()
	for key, e := range f.entries {
		if e.Session == id {
			f.delays[key] = time.Now().Add(s.LockDelay)
			e.Session, e.ModifyIndex = "", f.index
			if s.Behavior == api.BehaviorDelete {
				delete(f.entries, key)
			}
		}
		if e.owner == id {
			delete(f.entries, key)
		}
	}
}

func (f *fakeCluster) keys(r *http.Request, key string, body []byte) (*http.Response, error) {
	switch r.Method {
	case http.MethodGet:
		return f.read(r, key)
	case http.MethodDelete:
		return f.delete(r, key)
	}
	return f.write(r, key, body)
}

func (f *fakeCluster) delete(r *http.Request, key string) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.entries[key]
	if cas := r.FormValue("cas"); e != nil && cas != "" && cas != strconv.FormatUint(e.ModifyIndex, 10) {
		return reply(r, 200, "false"), nil
	}
	if e != nil {
		delete(f.entries, key)
		f.change()
	}
	return reply(r, 200, "true"), nil
}

func (f *fakeCluster) write(r *http.Request, key string, body []byte) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := r.URL.Query()
	old := f.entries[key]
	next := &fakeEntry{Entry: api.Entry{Key: key, Value: body, CreateIndex: f.index + 1}}
	if old != nil {
		*next = *old
		next.Value = body
	}
	next.Flags, _ = strconv.ParseUint(q.Get("flags"), 10, 64)
	answer := []string{}
	switch {
	case q.Has("acquire"):
		id := q.Get("acquire")
		if left := time.Until(f.delays[key]); left > 0 || old != nil && old.Session != "" && old.Session != id {
			return f.refuse(r, old, max(left, 0)), nil
		}
		if f.sessions[id] == nil {
			return reply(r, 500, `raft apply failed: invalid session "`+id+`"`), nil
		}
		if next.Session != id {
			next.Session = id
			next.LockIndex++
			f.fences[key] = f.index + 1
		}
		if !f.consul {
			answer = append(answer, "X-Holdfast-Fence", strconv.FormatUint(f.fences[key], 10))
		}
	case q.Has("release"):
		if old == nil || old.Session != q.Get("release") {
			return reply(r, 200, "false"), nil
		}
		next.Session = ""
	case q.Has("cas"):
		have := uint64(0)
		if old != nil {
			have = old.ModifyIndex
		}
		if q.Get("cas") != strconv.FormatUint(have, 10) {
			return reply(r, 200, "false"), nil
		}
	case q.Has("ephemeral"):
		if next.owner = q.Get("ephemeral"); f.sessions[next.owner] == nil {
			return reply(r, 500, `raft apply failed: invalid session "`+next.owner+`"`), nil
		}
	}
	if old == nil || old.Session != next.Session || old.Flags != next.Flags || !bytes.Equal(old.Value, next.Value) || old.owner != next.owner {
		next.ModifyIndex = f.index + 1
		f.entries[key] = next
		f.change()
	}
	return reply(r, 200, "true", answer...), nil
}

// refuse says that a lock was not acquired.
func (f *fakeCluster) refuse(r *http.Request, held *fakeEntry, left time.Duration) *http.Response {
	if f.consul || !r.URL.Query().Has("explain") {
		return reply(r, 200, "false")
	}
	if held != nil && held.Session != "" {
		return reply(r, 200, fmt.Sprintf(`{"Acquired":false,"Holder":{"Session":%q,"Name":"somebody","Node":"n1"}}`, held.Session))
	}
	return reply(r, 200, fmt.Sprintf(`{"Acquired":false,"LockDelayLeft":%q}`, left.Round(time.Millisecond)))
}

func (f *fakeCluster) read(r *http.Request, key string) (*http.Response, error) {
	q := r.URL.Query()
	after, _ := strconv.ParseUint(q.Get("index"), 10, 64)
	wait := 5 * time.Minute
	if q.Get("wait") != "" {
		wait, _ = time.ParseDuration(q.Get("wait"))
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for over := after == 0; ; {
		f.mu.Lock()
		found := []*api.Entry{}
		index := uint64(0)
		for k, e := range f.entries {
			if k == key || q.Has("recurse") && strings.HasPrefix(k, key) {
				c := e.Entry
				found = append(found, &c)
				index = max(index, e.ModifyIndex)
			}
		}
		if index == 0 || q.Has("recurse") {
			index = f.index
		}
		changed := f.changed
		f.mu.Unlock()
		if index > after || over {
			sort.Slice(found, func(i, j int) bool { return found[i].Key < found[j].Key })
			shown, _ := json.Marshal(found)
			status := 200
			if len(found) == 0 {
				status, shown = 404, nil
			}
			return reply(r, status, string(shown), "X-Consul-Index", strconv.FormatUint(index, 10)), nil
		}
		select {
		case <-changed:
		case <-limit.C:
			over = true
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}
