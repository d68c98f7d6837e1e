package kvs

import "sync"

// Hub knows who waits for which key or prefix and wakes exactly those. The cost
// of a change grows with the length of the key and the waiters concerned, not
// with the number of parked queries.
//
// Use: register with WatchKey or WatchPrefix first, then evaluate the query on
// a fresh snapshot, then wait on Watch.C. A change that commits after the
// snapshot was taken finds the registration; one before it is in the snapshot.
type Hub struct {
	mu       sync.Mutex
	keys     map[string]*group // guarded by mu
	prefixes map[string]*group // guarded by mu

	// lengths counts the prefixes by their length, so that a change looks up
	// only lengths that somebody waits for. Guarded by mu.
	lengths map[int]int

	// all is closed and replaced when every waiter must look again.
	all chan struct{} // guarded by mu
}

// group is everybody who waits for the same thing. It shares one channel.
type group struct {
	ch      chan struct{}
	waiters int
}

// Watch is one registration. It must be given back with Stop, once. Once C is closed it
// is gone already, and Stop does nothing.
type Watch struct {
	// C is closed when the key or something under the prefix has changed.
	C <-chan struct{}

	// Reset is closed when the whole state was replaced (a restore).
	Reset <-chan struct{}

	hub    *Hub
	name   string
	prefix bool
	group  *group
}

// NewHub returns an empty hub.
func NewHub() *Hub {
	return &Hub{
		keys:     map[string]*group{},
		prefixes: map[string]*group{},
		lengths:  map[int]int{},
		all:      make(chan struct{}),
	}
}

// WatchKey registers interest in one key, existing or not.
func (h *Hub) WatchKey(key string) Watch { return h.watch(key, false) }

// WatchPrefix registers interest in every key that starts with prefix.
func (h *Hub) WatchPrefix(prefix string) Watch { return h.watch(prefix, true) }

func (h *Hub) watch(name string, prefix bool) Watch {
	h.mu.Lock()
	defer h.mu.Unlock()
	groups := h.keys
	if prefix {
		groups = h.prefixes
	}
	g := groups[name]
	if g == nil {
		g = &group{ch: make(chan struct{})}
		groups[name] = g
		if prefix {
			h.lengths[len(name)]++
		}
	}
	g.waiters++
	return Watch{C: g.ch, Reset: h.all, hub: h, name: name, prefix: prefix, group: g}
}

// Stop gives the registration back. The last one of a group removes it.
func (w Watch) Stop() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	w.group.waiters--
	if w.group.waiters > 0 {
		return
	}
	groups := h.keys
	if w.prefix {
		groups = h.prefixes
	}
	if groups[w.name] == w.group { // not woken and replaced meanwhile
		h.removeLocked(groups, w.name, w.prefix)
	}
}

func (h *Hub) removeLocked(groups map[string]*group, name string, prefix bool) {
	delete(groups, name)
	if !prefix {
		return
	}
	if h.lengths[len(name)]--; h.lengths[len(name)] == 0 {
		delete(h.lengths, len(name))
	}
}

// Notify wakes the waiters of the changed keys and of every prefix of them. It
// must be called after the change can be read.
func (h *Hub) Notify(keys []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		if g := h.keys[key]; g != nil {
			h.removeLocked(h.keys, key, false)
			close(g.ch)
		}
		//archtest:any-order who is woken first is nobody's business
		for n := range h.lengths {
			if n > len(key) {
				continue
			}
			if g := h.prefixes[key[:n]]; g != nil {
				h.removeLocked(h.prefixes, key[:n], true)
				close(g.ch)
			}
		}
	}
}

// Reset wakes everybody because the whole state was replaced.
func (h *Hub) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.all)
	h.all = make(chan struct{})
}

// Len is how many distinct keys and prefixes somebody waits for.
func (h *Hub) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.keys) + len(h.prefixes)
}
