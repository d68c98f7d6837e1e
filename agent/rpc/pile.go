package rpc

import (
	"runtime"
	"sync"
)

// pile hands what many add to one who takes everything at once: while that one is
// busy with the last lot, the next grows. So lots are as large as the load is high.
type pile[T any] struct {
	mu    sync.Mutex
	some  *sync.Cond
	list  []T  // guarded by mu
	ended bool // guarded by mu
}

func newPile[T any]() *pile[T] {
	p := &pile[T]{}
	p.some = sync.NewCond(&p.mu)
	return p
}

// add puts something on the pile and tells whether it was not ended before.
func (p *pile[T]) add(v T) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.list = append(p.list, v)
	p.some.Signal()
	return true
}

// take waits for something and returns all there is; more is false once the pile was
// ended.
func (p *pile[T]) take() (list []T, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	waited := false
	for len(p.list) == 0 && !p.ended {
		p.some.Wait()
		waited = true
	}
	if waited { // whoever is about to add something comes first: each message costs the same
		p.mu.Unlock()
		runtime.Gosched()
		p.mu.Lock()
	}
	list, p.list = p.list, nil
	return list, !p.ended
}

// end makes take return, and add refuse.
func (p *pile[T]) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.some.Broadcast()
}

// lotBytes is about how much of a pile is sent in one message, and lotMost how many
// pieces, which must be fewer than may be under way: all of a lot need their place
// before it is sent. mostEntryBytes leaves room for the message around one piece.
const (
	lotBytes       = 4 << 20
	lotMost        = 1024
	mostEntryBytes = messageBytes - 1<<10
)

// lot takes from a list what is sent in one message: at least one piece.
func lot[T any](list []T, size func(T) int) (now, rest []T) {
	n, bytes := 0, 0
	for n < len(list) && n < lotMost {
		if bytes += size(list[n]); n > 0 && bytes > lotBytes {
			break
		}
		n++
	}
	return list[:n], list[n:]
}
