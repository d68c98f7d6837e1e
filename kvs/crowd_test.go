package kvs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// gathering is a Receiver that keeps what it is told.
type gathering struct {
	crowds []*Crowd
	causes []Cause
}

func (g *gathering) Woken(crowds []*Crowd, why Cause) {
	g.crowds = append(g.crowds, crowds...)
	g.causes = append(g.causes, why)
}

// take empties all crowds, a few at a time.
func (g *gathering) take(few int) (names []string) {
	for _, c := range g.crowds {
		room := make([]*Waiter, few)
		for n := few; n == few; {
			n = c.Take(room)
			for _, w := range room[:n] {
				names = append(names, w.Of.(string))
			}
		}
	}
	g.crowds = nil
	return names
}

func TestCrowdIsHandedOverOnce(t *testing.T) {
	h, to := NewHub(), &gathering{}
	var key [5]Waiter
	var prefix Waiter
	for i := range key {
		key[i].Of = fmt.Sprint("k", i)
		h.JoinKey("a/b", &key[i], to)
	}
	prefix.Of = "p"
	h.JoinPrefix("a/", &prefix, to)
	if h.Len() != 2 {
		t.Errorf("waited for: %d, want 2", h.Len())
	}
	key[1].Leave()
	key[4].Leave()
	key[4].Leave() // nothing
	h.Notify([]string{"a/c", "a/b"})
	h.Notify([]string{"a/b"})
	h.mustBeEmpty(t)
	if len(to.causes) != 1 || to.causes[0] != Changed || len(to.crowds) != 2 {
		t.Fatalf("the receiver was told %v of %d crowds, want once of 2", to.causes, len(to.crowds))
	}
	key[0].Leave() // woken, and not taken yet
	if n := to.crowds[1].Len(); n != 2 {
		t.Errorf("%d are in the crowd, want 2", n)
	}
	if got, want := to.take(2), []string{"p", "k2", "k3"}; !slices.Equal(got, want) {
		t.Errorf("woken are %v, want %v", got, want)
	}
	key[2].Leave() // woken and taken
	h.JoinKey("x", &key[2], to)
	key[2].Leave()
	h.mustBeEmpty(t)
}

func TestEachReceiverHasItsOwnCrowd(t *testing.T) {
	h := NewHub()
	a, b := &gathering{}, &gathering{}
	waiters := []*Waiter{{Of: "a1"}, {Of: "b1"}, {Of: "a2"}, {Of: "b2"}}
	for i, w := range waiters {
		h.JoinKey("k", w, []Receiver{a, b}[i%2])
	}
	watch := h.WatchKey("k")
	h.Notify([]string{"k"})
	if !closed(watch.C) {
		t.Error("who waits with a channel was forgotten")
	}
	if got := a.take(9); !slices.Equal(got, []string{"a1", "a2"}) {
		t.Errorf("the first receiver has %v", got)
	}
	if got := b.take(9); !slices.Equal(got, []string{"b1", "b2"}) {
		t.Errorf("the second receiver has %v", got)
	}
	watch.Stop()
	h.mustBeEmpty(t)
	for i, w := range waiters {
		h.JoinKey("k", w, []Receiver{a, b}[i%2])
	}
	for _, w := range waiters {
		w.Leave()
	}
	h.mustBeEmpty(t)
}

func TestResetHandsOverEverybody(t *testing.T) {
	h, to := NewHub(), &gathering{}
	watch := h.WatchKey("k")
	for _, name := range []string{"k", "l"} {
		h.JoinKey(name, &Waiter{Of: name}, to)
	}
	h.JoinPrefix("", &Waiter{Of: "all"}, to)
	h.Reset()
	h.Reset()
	if len(to.causes) != 1 || to.causes[0] != Replaced {
		t.Errorf("the receiver was told %v", to.causes)
	}
	got := to.take(1)
	slices.Sort(got)
	if !slices.Equal(got, []string{"all", "k", "l"}) {
		t.Errorf("woken are %v", got)
	}
	if h.Len() != 1 || !closed(watch.Reset) || closed(watch.C) {
		t.Errorf("waited for: %d, want the key of the channel, which a restore leaves there", h.Len())
	}
	watch.Stop()
	h.mustBeEmpty(t)
}

// TestCrowdsAgainstAList performs random joins, leaves and changes, and takes some of those
// woken late, against the simplest hub there is.
func TestCrowdsAgainstAList(t *testing.T) {
	type place struct {
		Waiter
		name   string
		prefix bool
		woken  bool // handed over
		left   bool
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	h, to := NewHub(), &gathering{}
	var places []*place
	for range 20_000 {
		switch n := rnd.IntN(10); {
		case n < 5 && len(places) < 40:
			p := &place{name: shortName(rnd), prefix: rnd.IntN(2) == 0}
			p.Of = p
			if p.prefix {
				h.JoinPrefix(p.name, &p.Waiter, to)
			} else {
				h.JoinKey(p.name, &p.Waiter, to)
			}
			places = append(places, p)
		case n < 6:
			keys := []string{shortName(rnd), shortName(rnd)}
			h.Notify(keys)
			for _, p := range places {
				for _, key := range keys {
					p.woken = p.woken || key == p.name || p.prefix && strings.HasPrefix(key, p.name)
				}
			}
		case n < 8 && len(places) > 0:
			p := places[rnd.IntN(len(places))]
			p.Leave()
			p.left = true
		default:
			got := map[*place]bool{}
			for _, c := range to.crowds {
				room := make([]*Waiter, 3)
				for n := len(room); n == len(room); {
					n = c.Take(room)
					for _, w := range room[:n] {
						p := w.Of.(*place)
						if got[p] || !p.woken || p.left {
							t.Fatalf("%q was taken: twice %v, woken %v, left %v", p.name, got[p], p.woken, p.left)
						}
						got[p] = true
					}
				}
			}
			to.crowds = nil
			places = slices.DeleteFunc(places, func(p *place) bool {
				if p.woken && !p.left && !got[p] {
					t.Fatalf("%q was woken and not handed over", p.name)
				}
				return p.woken || p.left
			})
		}
		distinct := map[string]bool{}
		for _, p := range places {
			if !p.woken && !p.left {
				distinct[fmt.Sprint(p.prefix, p.name)] = true
			}
		}
		if h.Len() != len(distinct) {
			t.Fatalf("waited for: %d, want %d", h.Len(), len(distinct))
		}
	}
}

// counting is a Receiver that counts for each Waiter how often it was woken.
type counting struct{}

func (counting) Woken(crowds []*Crowd, _ Cause) {
	var room [4]*Waiter
	for _, c := range crowds {
		for n := len(room); n == len(room); {
			n = c.Take(room[:])
			for _, w := range room[:n] {
				w.Of.(*atomic.Int64).Add(1)
			}
		}
	}
}

// TestJoinAndLeaveAgainstNotify: whoever joins and does not leave is woken once by the next
// change, and whoever has left never again.
func TestJoinAndLeaveAgainstNotify(t *testing.T) {
	h := NewHub()
	stop := make(chan struct{})
	var writer, waiters sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				h.Notify([]string{"a/1"})
			}
		}
	})
	for i := range 4 {
		waiters.Go(func() {
			for n := range 2000 {
				var woken atomic.Int64
				w := &Waiter{Of: &woken}
				if i%2 == 0 {
					h.JoinKey("a/1", w, counting{})
				} else {
					h.JoinPrefix("a/", w, counting{})
				}
				if n%3 == 0 {
					w.Leave()
				} else {
					for woken.Load() == 0 {
						h.Len() // lets others in
					}
				}
				before := woken.Load()
				w.Leave()
				if before > 1 {
					t.Errorf("woken %d times", before)
				}
			}
		})
	}
	waiters.Wait()
	close(stop)
	writer.Wait()
	h.mustBeEmpty(t)
}

// BenchmarkCrowd is what a waiter costs that joins among many, is woken and taken.
func BenchmarkCrowd(b *testing.B) {
	h := NewHub()
	waiters := make([]Waiter, 5000)
	var n atomic.Int64
	for i := range waiters {
		waiters[i].Of = &n
	}
	b.ReportAllocs()
	for range b.N/len(waiters) + 1 {
		for i := range waiters {
			h.JoinKey("k", &waiters[i], counting{})
		}
		h.Notify([]string{"k"})
	}
}
