package rpc

import (
	"slices"
	"testing"
)

func TestAPileIsTakenAsAWhole(t *testing.T) {
	p := newPile[int]()
	for i := range 3 {
		p.add(i)
	}
	if got, more := p.take(); !slices.Equal(got, []int{0, 1, 2}) || !more {
		t.Errorf("took %v, %v", got, more)
	}
	taken := make(chan []int, 1)
	go func() {
		got, _ := p.take() // waits
		taken <- got
	}()
	p.add(7)
	if got := <-taken; !slices.Equal(got, []int{7}) {
		t.Errorf("took %v", got)
	}
}

func TestTheEndOfAPile(t *testing.T) {
	p := newPile[int]()
	p.add(1)
	p.end()
	if p.add(2) {
		t.Error("it takes more after its end")
	}
	if got, more := p.take(); !slices.Equal(got, []int{1}) || more {
		t.Errorf("took %v, %v; what was there before counts", got, more)
	}
	q := newPile[int]()
	taken := make(chan bool, 2)
	for range 2 {
		go func() {
			_, more := q.take()
			taken <- more
		}()
	}
	q.end()
	for range 2 {
		if <-taken {
			t.Error("more after the end")
		}
	}
}

// TestLot: a message has as many pieces as fit, and at least one.
func TestLot(t *testing.T) {
	many := make([]int, lotMost+1)
	for _, tc := range []struct {
		rule string
		list []int // sizes
		now  int
	}{
		{"nothing", nil, 0},
		{"what fits goes together", []int{1, 2, 3}, 3},
		{"just as much as fits", []int{lotBytes - 1, 1, 1}, 2},
		{"one that is larger goes alone", []int{2 * lotBytes, 1}, 1},
		{"and not with one before it", []int{1, 2 * lotBytes}, 1},
		{"not more than may be under way", many, lotMost},
	} {
		now, rest := lot(tc.list, func(n int) int { return n })
		if len(now) != tc.now || len(now)+len(rest) != len(tc.list) {
			t.Errorf("%s: %d of %d and %d left, want %d", tc.rule, len(now), len(tc.list), len(rest), tc.now)
		}
	}
}
