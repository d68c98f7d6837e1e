package kvs

// Waiter is a place in a hub of somebody who waits without a goroutine. Whoever waits keeps
// it inside of what is known of him, so that to join allocates nothing where others wait for
// the same. The zero value is in no hub.
//
// Its methods and Join of a hub must not be called for one Waiter at the same time.
type Waiter struct {
	// Of is what is known of whoever waits. It is for the Receiver and must not change while
	// the Waiter is in a hub.
	Of any

	hub        *Hub    // that it is in or was in last
	crowd      *Crowd  // nil: in none; guarded by hub.mu
	next, prev *Waiter // in the crowd; guarded by hub.mu
}

// Cause is why waiters are woken.
type Cause uint8

// The causes.
const (
	Changed  Cause = iota // what they wait for has changed
	Replaced              // the whole state was replaced
)

// Receiver is told of those who have joined a hub with it and are woken.
type Receiver interface {
	// Woken is called after a change can be read, with one crowd for each thing that somebody
	// has waited for: as a rule once for all that change together. They are in the hub no
	// more. It is called by whoever applies the log, and must neither block nor take long.
	Woken(crowds []*Crowd, why Cause)
}

// Crowd is everybody who waits for the same thing and has the same Receiver.
type Crowd struct {
	hub         *Hub
	to          Receiver
	group       *group  // nil when it was woken; guarded by hub.mu
	other       *Crowd  // the next one of the group; guarded by hub.mu
	first, last *Waiter // guarded by hub.mu
	waiters     int     // guarded by hub.mu
}

// JoinKey registers interest in one key, existing or not. w must be in no hub.
func (h *Hub) JoinKey(key string, w *Waiter, to Receiver) { h.join(key, false, w, to) }

// JoinPrefix registers interest in every key that starts with prefix. w must be in no hub.
func (h *Hub) JoinPrefix(prefix string, w *Waiter, to Receiver) { h.join(prefix, true, w, to) }

func (h *Hub) join(name string, prefix bool, w *Waiter, to Receiver) {
	w.hub = h
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groupLocked(name, prefix)
	c := g.crowd
	for c != nil && c.to != to {
		c = c.other
	}
	if c == nil {
		c = &Crowd{hub: h, to: to, group: g, other: g.crowd}
		g.crowd = c
	}
	w.crowd, w.prev = c, c.last
	if c.last == nil {
		c.first = w
	} else {
		c.last.next = w
	}
	c.last = w
	c.waiters++
}

// Leave gives the registration back. It does nothing when there is none, and when it was
// woken and taken.
func (w *Waiter) Leave() {
	h := w.hub
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := w.crowd
	if c == nil {
		return
	}
	c.removeLocked(w)
	if g := c.group; g != nil && c.waiters == 0 {
		g.removeLocked(c)
		h.tidyLocked(g)
	}
}

func (c *Crowd) removeLocked(w *Waiter) {
	if w.prev == nil {
		c.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		c.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.crowd, w.next, w.prev = nil, nil, nil
	c.waiters--
}

func (g *group) removeLocked(c *Crowd) {
	at := &g.crowd
	for *at != c {
		at = &(*at).other
	}
	*at = c.other
}

// partLocked takes the crowds out of a group.
func (g *group) partLocked(woken []*Crowd) []*Crowd {
	for c := g.crowd; c != nil; {
		next := c.other
		c.group, c.other = nil, nil
		woken = append(woken, c)
		c = next
	}
	g.crowd = nil
	return woken
}

// tell hands each Receiver its own crowds.
func tell(woken []*Crowd, why Cause) {
	for len(woken) > 0 {
		to, same := woken[0].to, 1
		for same < len(woken) && woken[same].to == to {
			same++
		}
		to.Woken(woken[:same:same], why)
		woken = woken[same:]
	}
}

// Len is how many are in the crowd.
func (c *Crowd) Len() int {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	return c.waiters
}

// Take takes waiters out of a crowd that was woken, in the order in which they came, and puts
// them into room. It returns how many; fewer than there is room for are the last ones.
func (c *Crowd) Take(room []*Waiter) int {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	n := 0
	for n < len(room) && c.first != nil {
		w := c.first
		c.removeLocked(w)
		room[n] = w
		n++
	}
	return n
}
