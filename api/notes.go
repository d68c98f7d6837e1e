package api

import "sync"

// maxNotes is how many states wait at most to be told. Only a callback that blocks
// lets them pile up; then the oldest are left out.
const maxNotes = 16

// notes tell a callback what happens, in order and one at a time, so that whoever
// notices it never waits for the callback.
type notes struct {
	tell func(ConnState, error) // nil for nobody
	once bool                   // nothing follows Lost

	mu      sync.Mutex
	some    *sync.Cond // something is pending, or it is the end
	pending []note     // guarded by mu
	ended   bool       // guarded by mu
}

type note struct {
	state ConnState
	err   error
}

func newNotes(tell func(ConnState, error), once bool) *notes {
	n := &notes{tell: tell, once: once}
	n.some = sync.NewCond(&n.mu)
	return n
}

// add has a state told; after the end it does nothing.
func (n *notes) add(state ConnState, err error) {
	if n.tell == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return
	}
	if len(n.pending) == maxNotes {
		n.pending = n.pending[1:]
	}
	n.pending = append(n.pending, note{state, err})
	n.ended = n.once && state == Lost
	n.some.Signal()
}

// close lets run end once it has told what is pending.
func (n *notes) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = true
	n.some.Signal()
}

// run tells until the end.
func (n *notes) run() {
	if n.tell == nil {
		return
	}
	for {
		n.mu.Lock()
		for len(n.pending) == 0 && !n.ended {
			n.some.Wait()
		}
		told := n.pending
		n.pending = nil
		over := n.ended && len(told) == 0
		n.mu.Unlock()
		if over {
			return
		}
		for _, one := range told {
			n.tell(one.state, one.err)
		}
	}
}
