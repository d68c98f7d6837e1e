package standin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// sessions serves sessions that end exactly after their TTL.
func (h *Handler) sessions() {
	var mu sync.Mutex
	type one struct {
		ttl time.Duration
		end time.Time
	}
	all := map[string]one{} // guarded by mu
	made := 0               // guarded by mu
	h.mux.HandleFunc("PUT /v1/session/create", func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ TTL string }
		_ = json.NewDecoder(r.Body).Decode(&asked) // none is no TTL
		ttl, err := time.ParseDuration(asked.TTL)
		if err != nil {
			ttl = time.Hour
		}
		mu.Lock()
		made++
		id := fmt.Sprintf("00000000-0000-0000-0000-%012d", made)
		all[id] = one{ttl, time.Now().Add(ttl)}
		mu.Unlock()
		_, _ = io.WriteString(w, `{"ID":"`+id+`"}`)
	})
	h.mux.HandleFunc("PUT /v1/session/renew/{id}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := r.PathValue("id")
		s, found := all[id]
		if !found || time.Now().After(s.end) {
			http.Error(w, "no such session", http.StatusNotFound)
			return
		}
		s.end = time.Now().Add(s.ttl)
		all[id] = s
		_, _ = io.WriteString(w, `[{"ID":"`+id+`"}]`)
	})
	h.mux.HandleFunc("PUT /v1/session/destroy/{id}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		delete(all, r.PathValue("id"))
		mu.Unlock()
		_, _ = io.WriteString(w, "true")
	})
	h.mux.HandleFunc("GET /v1/session/info/{id}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := r.PathValue("id")
		if s, found := all[id]; found && time.Now().Before(s.end) {
			_, _ = io.WriteString(w, `[{"ID":"`+id+`"}]`)
			return
		}
		_, _ = io.WriteString(w, "[]")
	})
}
