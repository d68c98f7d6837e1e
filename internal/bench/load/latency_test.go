package load

import (
	"testing"
	"time"
)

func TestLatency(t *testing.T) {
	l := NewLatency()
	if l.Count() != 0 || l.At(99) != 0 {
		t.Errorf("empty: count %d, p99 %v", l.Count(), l.At(99))
	}
	for i := 1; i <= 1000; i++ {
		l.Record(time.Duration(i) * time.Millisecond)
	}
	for _, tc := range []struct {
		q    float64
		want time.Duration
	}{
		{50, 500 * time.Millisecond},
		{99, 990 * time.Millisecond},
		{100, 1000 * time.Millisecond},
	} {
		if got := l.At(tc.q); !within(got, tc.want) {
			t.Errorf("p%v is %v, want %v to three digits", tc.q, got, tc.want)
		}
	}
}

func TestLatencyOutsideItsBoundsIsClamped(t *testing.T) {
	l := NewLatency()
	l.Record(-time.Second)
	l.Record(24 * time.Hour)
	if l.Count() != 2 {
		t.Fatalf("count %d, want 2", l.Count())
	}
	if l.At(1) > time.Microsecond {
		t.Errorf("a negative duration counts as %v, want 0", l.At(1))
	}
	if !within(l.At(100), longest) {
		t.Errorf("a day counts as %v, want %v", l.At(100), longest)
	}
}

func TestLatencyAdd(t *testing.T) {
	a, b := NewLatency(), NewLatency()
	a.Record(time.Millisecond)
	b.Record(3 * time.Millisecond)
	b.Record(5 * time.Millisecond)
	a.Add(b)
	if a.Count() != 3 || !within(a.At(50), 3*time.Millisecond) {
		t.Errorf("count %d, median %v; want 3 and 3ms", a.Count(), a.At(50))
	}
}

// within says whether two durations agree to three significant digits.
func within(a, b time.Duration) bool { return (a - b).Abs() <= b/500 }
