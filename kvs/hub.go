package kvs

import (
	"strings"
	"sync"
)

// Hub knows who waits for which key or prefix and wakes exactly those. The cost
// of a change grows with the length of the key and the waiters concerned, not
// with the number of parked queries.
//
// Use: register with WatchKey or WatchPrefix first, then evaluate the query on
// a fresh snapshot, then wait on Watch.C. A change that commits after the
// snapshot was taken finds the registration; one before it is in the snapshot.
// Who waits without a goroutine joins with a [Waiter] instead, in the same order.
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

// group is everybody who waits for the same thing: with a channel, which they share, and
// without a goroutine.
type group struct {
	ch      chan struct{} // nil when nobody has asked for it yet
	watches int           // of ch
	crowd   *Crowd        // nil when nobody has joined; see Crowd.other

	name   string
	prefix bool
}

func (g *group) empty() bool { return g.watches == 0 && g.crowd == nil }

// Watch is one registration. It must be given back with Stop, once. Once C is closed it
// is gone already, and Stop does nothing.
type Watch struct {
	// C is closed when the key or something under the prefix has changed.
	C <-chan struct{}

	// Reset is closed when the whole state was replaced (a restore).
	Reset <-chan struct{}

	hub   *Hub
	group *group
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
	g := h.groupLocked(name, prefix)
	if g.ch == nil {
		g.ch = make(chan struct{})
	}
	g.watches++
	return Watch{C: g.ch, Reset: h.all, hub: h, group: g}
}

// groupLocked finds the group of a name, or makes it.
func (h *Hub) groupLocked(name string, prefix bool) *group {
	groups := h.groups(prefix)
	g := groups[name]
	if g == nil {
		// The name is often a part of a request, which the group may outlive.
		g = &group{name: strings.Clone(name), prefix: prefix}
		groups[g.name] = g
		if prefix {
			h.lengths[len(name)]++
		}
	}
	return g
}

func (h *Hub) groups(prefix bool) map[string]*group {
	if prefix {
		return h.prefixes
	}
	return h.keys
}

// Stop gives the registration back. The last one of a group removes it.
func (w Watch) Stop() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	w.group.watches--
	h.tidyLocked(w.group)
}

// tidyLocked removes a group that nobody is in, unless it was woken and so removed before.
func (h *Hub) tidyLocked(g *group) {
	if g.empty() && h.groups(g.prefix)[g.name] == g {
		h.removeLocked(g)
	}
}

func (h *Hub) removeLocked(g *group) {
	delete(h.groups(g.prefix), g.name)
	if !g.prefix {
		return
	}
	if h.lengths[len(g.name)]--; h.lengths[len(g.name)] == 0 {
		delete(h.lengths, len(g.name))
	}
}

// Notify wakes the waiters of the changed keys and of every prefix of them. It
// must be called after the change can be read.
func (h *Hub) Notify(keys []string) { tell(h.notify(keys), Changed) }

func (h *Hub) notify(keys []string) (woken []*Crowd) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		if g := h.keys[key]; g != nil {
			woken = h.wakeLocked(g, woken)
		}
		//archtest:any-order who is woken first is nobody's business
		for n := range h.lengths {
			if n > len(key) {
				continue
			}
			if g := h.prefixes[key[:n]]; g != nil {
				woken = h.wakeLocked(g, woken)
			}
		}
	}
	return woken
}

// wakeLocked removes a group and closes its channel, and appends who has joined it.
func (h *Hub) wakeLocked(g *group, woken []*Crowd) []*Crowd {
	h.removeLocked(g)
	if g.ch != nil {
		close(g.ch)
	}
	return g.partLocked(woken)
}

// Reset wakes everybody because the whole state was replaced.
func (h *Hub) Reset() { tell(h.reset(), Replaced) }

func (h *Hub) reset() (woken []*Crowd) {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.all)
	h.all = make(chan struct{})
	for _, groups := range []map[string]*group{h.keys, h.prefixes} {
		//archtest:any-order who is woken first is nobody's business
		for _, g := range groups {
			woken = g.partLocked(woken)
			h.tidyLocked(g)
		}
	}
	return woken
}

// Len is how many distinct keys and prefixes somebody waits for.
func (h *Hub) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.keys) + len(h.prefixes)
}
