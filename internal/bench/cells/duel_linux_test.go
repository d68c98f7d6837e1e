package cells

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/load"
)

func TestSlicesOf(t *testing.T) {
	for _, tc := range []struct {
		round time.Duration
		want  int
	}{
		{time.Millisecond, 1},
		{299 * time.Millisecond, 1},
		{300 * time.Millisecond, 2},
		{1500 * time.Millisecond, 10},
		{1700 * time.Millisecond, 10},
	} {
		if got := slicesOf(tc.round); got != tc.want {
			t.Errorf("a round of %v has %d slices, want %d", tc.round, got, tc.want)
		}
	}
}

// TestTakeTurns: each is first as often as the other, and everything that it did counts.
func TestTakeTurns(t *testing.T) {
	var order []int
	sums, err := takeTurns(4, func(side int) (load.Result, error) {
		order = append(order, side)
		l := load.NewLatency()
		l.Record(time.Duration(len(order)) * time.Millisecond)
		return load.Result{Ops: 1, Elapsed: time.Second, CPU: time.Duration(len(order)), Latency: l}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 1, 1, 0, 0, 1, 1, 0}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
	for i, sum := range sums {
		if sum.Ops != 4 || sum.Elapsed != 4*time.Second || sum.CPU != 18 || sum.Latency.Count() != 4 {
			t.Errorf("side %d: %+v, %d latencies", i, sum, sum.Latency.Count())
		}
	}
}

func TestTakeTurnsSaysWhoFailed(t *testing.T) {
	broken := errors.New("broken")
	_, err := takeTurns(2, func(side int) (load.Result, error) {
		if side == 1 {
			return load.Result{}, broken
		}
		return load.Result{Latency: load.NewLatency()}, nil
	})
	if !errors.Is(err, broken) || err.Error() != "limit: broken" {
		t.Errorf("got %v", err)
	}
}
