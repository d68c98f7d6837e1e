package rpc

import "sync"

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
	for len(p.list) == 0 && !p.ended {
		p.some.Wait()
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
