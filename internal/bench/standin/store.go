package standin

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// Entry is one key as the API shows it.
type Entry struct {
	LockIndex   uint64
	Key         string
	Flags       uint64
	Value       []byte
	CreateIndex uint64
	ModifyIndex uint64
}

// store holds the keys. Every change closes wake, whatever was changed.
type store struct {
	mu      sync.Mutex
	index   uint64
	entries map[string]Entry
	wake    chan struct{}
	log     *os.File // nil: nothing is kept
}

// openStore reads what the file holds, one entry a line, and appends to it. An
// empty path keeps nothing.
func openStore(path string) (*store, error) {
	s := &store{index: 1, entries: map[string]Entry{}, wake: make(chan struct{})}
	if path == "" {
		return s, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	s.log = f
	if err := s.replay(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *store) replay(r io.Reader) error {
	for d := json.NewDecoder(r); d.More(); {
		var e Entry
		if err := d.Decode(&e); err != nil {
			return err
		}
		s.entries[e.Key] = e
		s.index = max(s.index, e.ModifyIndex)
	}
	return nil
}

// put sets all the keys in one step.
func (s *store) put(set map[string][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	for key, value := range set {
		e := Entry{Key: key, Value: value, CreateIndex: s.index, ModifyIndex: s.index}
		if old, found := s.entries[key]; found {
			e.CreateIndex = old.CreateIndex
		}
		s.entries[key] = e
		if s.log != nil {
			b, err := json.Marshal(e)
			if err != nil {
				return err
			}
			if _, err := s.log.Write(append(b, '\n')); err != nil {
				return err
			}
		}
	}
	s.changed()
	return nil
}

func (s *store) deleteTree(prefix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	maps.DeleteFunc(s.entries, func(k string, _ Entry) bool { return strings.HasPrefix(k, prefix) })
	s.changed()
}

func (s *store) changed() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// get returns the entry, the index that its reader is told, and what is closed at the next
// change of anything.
func (s *store) get(key string) (e Entry, found bool, index uint64, wake <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, found = s.entries[key]
	index = s.index
	if found {
		index = e.ModifyIndex
	}
	return e, found, index, s.wake
}

// list returns the entries below prefix in the order of their keys.
func (s *store) list(prefix string) ([]Entry, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Entry
	for _, key := range slices.Sorted(maps.Keys(s.entries)) {
		if strings.HasPrefix(key, prefix) {
			out = append(out, s.entries[key])
		}
	}
	return out, s.index
}

// replace makes entries all there is.
func (s *store) replace(entries []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	clear(s.entries)
	for _, e := range entries {
		s.entries[e.Key] = e
	}
	s.changed()
}
