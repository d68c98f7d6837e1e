package standin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// Faults are things that the stand-in does wrong when asked to.
type Faults struct {
	// FalseWakes answers every parked query at every change, whatever was
	// changed.
	FalseWakes bool
	// Refuse answers every write with 500.
	Refuse bool
}

// Handler serves the API. Make it with NewHandler.
type Handler struct {
	Faults Faults
	mux    http.ServeMux
	store  *store
	cas    sync.Mutex // held over looking at an index and writing
}

// NewHandler serves what file holds; with an empty name, nothing is kept.
func NewHandler(file string) (*Handler, error) {
	s, err := openStore(file)
	if err != nil {
		return nil, err
	}
	h := &Handler{store: s}
	h.mux.HandleFunc("GET /v1/status/leader", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `"127.0.0.1:8300"`)
	})
	h.mux.HandleFunc("GET /v1/agent/self", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"Stats":{"runtime":{"goroutines":"%d"}}}`, runtime.NumGoroutine())
	})
	h.mux.HandleFunc("GET /v1/kv/{key...}", h.get)
	h.mux.HandleFunc("PUT /v1/kv/{key...}", h.put)
	h.mux.HandleFunc("DELETE /v1/kv/{key...}", func(w http.ResponseWriter, r *http.Request) {
		s.deleteTree(r.PathValue("key"))
		_, _ = io.WriteString(w, "true")
	})
	h.mux.HandleFunc("PUT /v1/txn", h.txn)
	h.sessions()
	h.mux.HandleFunc("GET /v1/snapshot", h.save)
	h.mux.HandleFunc("PUT /v1/snapshot", h.restore)
	return h, nil
}

// Close closes the file.
func (h *Handler) Close() error {
	if h.store.log == nil {
		return nil
	}
	return h.store.log.Close()
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) get(w http.ResponseWriter, r *http.Request) {
	q, key := r.URL.Query(), r.PathValue("key")
	switch {
	case q.Has("keys"):
		entries, index := h.store.list(key)
		names := []string{}
		for _, e := range entries {
			names = append(names, e.Key)
		}
		answer(w, index, names)
		return
	case q.Has("recurse"):
		entries, index := h.store.list(key)
		answer(w, index, entries)
		return
	}
	after, _ := strconv.ParseUint(q.Get("index"), 10, 64) // none is 0, which does not wait
	e, found, index := h.await(r, key, after)
	if !found {
		w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if q.Has("raw") {
		_, _ = w.Write(e.Value)
		return
	}
	answer(w, index, []Entry{e})
}

// await returns when the key has changed after the given index, which is at
// once for 0.
func (h *Handler) await(r *http.Request, key string, after uint64) (Entry, bool, uint64) {
	wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
	if err != nil {
		wait = 5 * time.Minute
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for {
		e, found, index, wake := h.store.get(key)
		// A missing key has no index of its own: only its appearance counts.
		if after == 0 || found && index > after {
			return e, found, index
		}
		select {
		case <-wake:
			if h.Faults.FalseWakes {
				e, found, index, _ := h.store.get(key)
				return e, found, index
			}
		case <-limit.C:
			return e, found, after
		case <-r.Context().Done():
			return e, found, after
		}
	}
}

func (h *Handler) put(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	set := map[string][]byte{r.PathValue("key"): value}
	if !r.URL.Query().Has("cas") {
		h.write(w, set, "true")
		return
	}
	h.cas.Lock()
	defer h.cas.Unlock()
	wanted, _ := strconv.ParseUint(r.URL.Query().Get("cas"), 10, 64) // what is no number is no index
	if e, found, _, _ := h.store.get(r.PathValue("key")); !found || e.ModifyIndex != wanted {
		_, _ = io.WriteString(w, "false")
		return
	}
	h.write(w, set, "true")
}

func (h *Handler) txn(w http.ResponseWriter, r *http.Request) {
	var ops []struct {
		KV struct {
			Verb, Key string
			Value     []byte
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&ops); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	set := map[string][]byte{}
	for _, op := range ops {
		set[op.KV.Key] = op.KV.Value
	}
	h.write(w, set, `{"Results":[],"Errors":null}`)
}

func (h *Handler) write(w http.ResponseWriter, set map[string][]byte, body string) {
	if h.Faults.Refuse {
		http.Error(w, "no space left", http.StatusInternalServerError)
		return
	}
	if err := h.store.put(set); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, body)
}

func (h *Handler) save(w http.ResponseWriter, _ *http.Request) {
	entries, index := h.store.list("")
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	z := gzip.NewWriter(w)
	_ = json.NewEncoder(z).Encode(entries)
	_ = z.Close()
}

func (h *Handler) restore(w http.ResponseWriter, r *http.Request) {
	var entries []Entry
	z, err := gzip.NewReader(r.Body)
	if err == nil {
		err = json.NewDecoder(z).Decode(&entries)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.store.replace(entries)
}

func answer(w http.ResponseWriter, index uint64, v any) {
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	w.Header().Set("Content-Type", "application/json")
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(bytes.TrimSpace(b))
}
