package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast-kv/holdfast/api"
)

// fakeStore is as much of a server as the examples need: keys, check-and-set,
// lists, blocking queries on prefixes and transactions of sets. It holds no lock
// while a query waits.
type fakeStore struct {
	mu      sync.Mutex
	index   uint64
	entries map[string]*api.Entry
	changed chan struct{} // closed at every write, and then replaced
}

// startExample starts a server with keys in it.
func startExample(keys ...string) (*api.Client, func()) {
	s := &fakeStore{index: 10, entries: map[string]*api.Entry{}, changed: make(chan struct{})}
	for i := 0; i+1 < len(keys); i += 2 {
		s.put(keys[i], []byte(keys[i+1]))
	}
	server := httptest.NewServer(s)
	client, err := api.New(api.WithoutEnvironment(), api.WithAddress(server.URL))
	if err != nil {
		panic(err)
	}
	return client, func() {
		client.CloseIdleConnections()
		server.Close()
	}
}

// put writes a key; the caller holds the lock, or is alone.
func (s *fakeStore) put(key string, value []byte) {
	s.index++
	e := &api.Entry{Key: key, Value: value, CreateIndex: s.index, ModifyIndex: s.index}
	if old := s.entries[key]; old != nil {
		e.CreateIndex = old.CreateIndex
	}
	s.entries[key] = e
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, isKey := strings.CutPrefix(r.URL.Path, "/v1/kv/")
	switch {
	case r.URL.Path == "/v1/txn":
		s.txn(w, r)
	case isKey && r.Method == http.MethodPut:
		s.write(w, r, key)
	case isKey:
		s.read(w, r, key)
	default:
		_, _ = io.WriteString(w, `"127.0.0.1:8300"`)
	}
}

func (s *fakeStore) write(w http.ResponseWriter, r *http.Request, key string) {
	value, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	var have uint64
	if e := s.entries[key]; e != nil {
		have = e.ModifyIndex
	}
	applied := !r.URL.Query().Has("cas") || r.FormValue("cas") == strconv.FormatUint(have, 10)
	if applied {
		s.put(key, value)
	}
	w.Header().Set("X-Consul-Index", strconv.FormatUint(s.index, 10))
	_, _ = io.WriteString(w, strconv.FormatBool(applied))
}

func (s *fakeStore) read(w http.ResponseWriter, r *http.Request, key string) {
	after, _ := strconv.ParseUint(r.FormValue("index"), 10, 64)
	for {
		s.mu.Lock()
		var found []*api.Entry
		index := uint64(1)
		for k, e := range s.entries {
			if k == key || (r.URL.Query().Has("recurse") && strings.HasPrefix(k, key)) {
				found = append(found, e)
				index = max(index, e.ModifyIndex)
			}
		}
		changed := s.changed
		s.mu.Unlock()
		if index <= after {
			select {
			case <-changed:
				continue
			case <-r.Context().Done():
				return
			}
		}
		sort.Slice(found, func(i, j int) bool { return found[i].Key < found[j].Key })
		w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
		if len(found) == 0 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(found)
		return
	}
}

func (s *fakeStore) txn(w http.ResponseWriter, r *http.Request) {
	var ops []struct{ KV api.TxnOp }
	_ = json.NewDecoder(r.Body).Decode(&ops)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, op := range ops {
		if op.KV.Verb == api.VerbCheckNotExists && s.entries[op.KV.Key] != nil {
			w.WriteHeader(http.StatusConflict)
			_ = json.NewEncoder(w).Encode(map[string]any{
				"Errors": []api.TxnFailure{{OpIndex: i, What: "key " + strconv.Quote(op.KV.Key) + " exists"}},
			})
			return
		}
	}
	for _, op := range ops {
		if op.KV.Verb == api.VerbSet {
			s.put(op.KV.Key, op.KV.Value)
		}
	}
	_, _ = io.WriteString(w, `{"Results":[],"Errors":null}`)
}
