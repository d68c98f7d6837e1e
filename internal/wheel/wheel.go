package wheel

import (
	"math/bits"
	"sync"
	"time"
)

// Tick is how exact times are: they come up to so much late.
const Tick = 5 * time.Millisecond

// Each level has as many slots as a word has bits, so that the next one with something in it
// is found at once. Seven levels reach centuries.
const (
	levels   = 7
	slotBits = 6
	slots    = 1 << slotBits
	most     = 1<<(levels*slotBits) - 1 // ticks
)

// Timer is one time in a wheel. The zero value is in none.
type Timer[T any] struct {
	// Of is what is given to the wheel's function when the time has come. It must not change
	// while the Timer is in a wheel.
	Of T

	// All of them are guarded by the wheel.
	tick        int64     // when
	next, prev  *Timer[T] // of the same slot, in a ring; nil: in no wheel
	level, slot uint8     // where
}

// Wheel keeps times. Its methods may be called by any goroutine.
type Wheel[T any] struct {
	due   func([]T)
	began time.Time

	// telling counts the timer, when it is set, and the goroutines that it has become.
	telling sync.WaitGroup

	mu     sync.Mutex
	now    int64                    // tick up to which all is told; no slot that begins before it is filled; guarded by mu
	slot   [levels][slots]*Timer[T] // any one of the ring; guarded by mu
	filled [levels]uint64           // a bit for each slot that has something; guarded by mu
	timer  *time.Timer              // nil before the first time; guarded by mu
	set    int64                    // tick that the timer is set to; 0: it is not; guarded by mu
	closed bool                     // guarded by mu
}

// New returns a wheel. due is called with all that a tick has brought, in a goroutine of its
// own, which may take its time: Close waits for it.
func New[T any](due func([]T)) *Wheel[T] {
	return &Wheel[T]{due: due, began: time.Now()}
}

// Add puts a Timer, which must be in no wheel, into this one. A time that is over comes with
// the next tick. After Close it does nothing.
func (w *Wheel[T]) Add(t *Timer[T], at time.Time) {
	d := at.Sub(w.began)
	tick := int64(d / Tick)
	if d%Tick > 0 {
		tick++
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.set == 0 { // nobody has turned the wheel lately, for there was nothing in it
		w.now = max(w.now, int64(time.Since(w.began)/Tick))
	}
	t.tick = min(max(tick, w.now+1), most)
	w.putLocked(t)
	w.setLocked()
}

// putLocked puts a Timer that is still to come into its slot: on the level of the highest
// digit in which its tick differs from the present one.
func (w *Wheel[T]) putLocked(t *Timer[T]) {
	level := (bits.Len64(uint64(t.tick^w.now)) - 1) / slotBits
	slot := t.tick >> (level * slotBits) % slots
	t.level, t.slot = uint8(level), uint8(slot)
	at := &w.slot[level][slot]
	if *at == nil {
		t.next, t.prev = t, t
		*at = t
		w.filled[level] |= 1 << slot
		return
	}
	t.next, t.prev = *at, (*at).prev
	t.prev.next, t.next.prev = t, t
}

// Remove takes a Timer out of the wheel. It tells whether it was there: if not, its time has
// come, or it was never added.
func (w *Wheel[T]) Remove(t *Timer[T]) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.next == nil {
		return false
	}
	w.takeLocked(t)
	return true
}

func (w *Wheel[T]) takeLocked(t *Timer[T]) {
	at := &w.slot[t.level][t.slot]
	switch {
	case t.next == t:
		*at = nil
		w.filled[t.level] &^= 1 << t.slot
	case *at == t:
		*at = t.next
	}
	t.next.prev, t.prev.next = t.prev, t.next
	t.next, t.prev = nil, nil
}

// nextLocked finds the filled slot that begins first, and its tick.
func (w *Wheel[T]) nextLocked() (level, slot int, tick int64, ok bool) {
	for level := range levels {
		shift := level * slotBits
		here := w.now >> shift % slots
		if later := w.filled[level] &^ (1<<(here+1) - 1); later != 0 {
			slot := bits.TrailingZeros64(later)
			return level, slot, w.now>>(shift+slotBits)<<(shift+slotBits) | int64(slot)<<shift, true
		}
	}
	return 0, 0, 0, false
}

// setLocked sets the timer to the next filled slot, if it is not set to an earlier one.
func (w *Wheel[T]) setLocked() {
	_, _, tick, ok := w.nextLocked()
	if !ok || w.set != 0 && w.set <= tick {
		return
	}
	if w.set == 0 {
		w.telling.Add(1)
	} else if !w.timer.Stop() {
		return // it goes off just now, and sets itself anew
	}
	w.set = tick
	in := time.Duration(tick)*Tick - time.Since(w.began)
	if w.timer == nil {
		w.timer = time.AfterFunc(in, w.turn)
	} else {
		w.timer.Reset(in)
	}
}

// turn tells what is due.
func (w *Wheel[T]) turn() {
	defer w.telling.Done()
	if due := w.advance(); len(due) > 0 {
		w.due(due)
	}
}

// advance turns the wheel to the present and returns what is due.
func (w *Wheel[T]) advance() (due []T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.set = 0; w.closed {
		return nil
	}
	now := int64(time.Since(w.began) / Tick)
	for {
		level, slot, tick, ok := w.nextLocked()
		if !ok || tick > now {
			break
		}
		w.now = tick
		for t := w.slot[level][slot]; t != nil; t = w.slot[level][slot] {
			w.takeLocked(t)
			if t.tick > tick {
				w.putLocked(t) // on a lower level
			} else {
				due = append(due, t.Of)
			}
		}
	}
	w.now = max(w.now, now)
	w.setLocked()
	return due
}

// Close forgets all times and returns when nobody is being told of one any more.
func (w *Wheel[T]) Close() {
	w.mu.Lock()
	w.closed = true
	if w.set != 0 && w.timer.Stop() {
		w.set = 0
		w.telling.Done()
	}
	w.mu.Unlock()
	w.telling.Wait()
}

// Len is how many times are kept.
func (w *Wheel[T]) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for level := range levels {
		for _, first := range w.slot[level] {
			for t := first; t != nil; t = t.next {
				if n++; t.next == first {
					break
				}
			}
		}
	}
	return n
}
