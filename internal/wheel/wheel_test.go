package wheel

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// one is what waits in these tests.
type one struct {
	Timer[*one]
	at    time.Time
	came  atomic.Int64 // Unix nanoseconds
	times atomic.Int64
}

func newWheel(t *testing.T) *Wheel[*one] {
	w := New(func(due []*one) {
		for _, x := range due {
			x.came.Store(time.Now().UnixNano())
			x.times.Add(1)
		}
	})
	t.Cleanup(w.Close)
	return w
}

// pass lets time pass, and whatever it brings be told.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (x *one) add(w *Wheel[*one], at time.Time) {
	x.Of, x.at = x, at
	w.Add(&x.Timer, at)
}

// mustHaveCome checks that a time was told once, in its tick.
func (x *one) mustHaveCome(t *testing.T, late time.Duration) {
	t.Helper()
	after := time.Unix(0, x.came.Load()).Sub(x.at)
	if n := x.times.Load(); n != 1 || after < 0 || after >= late {
		t.Errorf("%v was told %d times, %v after it", x.at, n, after)
	}
}

func TestTimesComeInTheirTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(t)
		pass(1234567 * time.Nanosecond)
		began := time.Now()
		var all []*one
		for _, in := range []time.Duration{
			1, Tick - 1, Tick, Tick + 1, 2 * Tick, 63 * Tick, 64 * Tick, 65 * Tick, 4095 * Tick, 4096 * Tick, 4097*Tick + 1,
			time.Second, 10 * time.Minute, 10*time.Minute + 37*time.Second, 23 * time.Hour, 100 * 24 * time.Hour,
		} {
			x := &one{}
			x.add(w, began.Add(in))
			all = append(all, x)
		}
		if w.Len() != len(all) {
			t.Errorf("%d are kept, want %d", w.Len(), len(all))
		}
		pass(101 * 24 * time.Hour)
		for _, x := range all {
			x.mustHaveCome(t, Tick)
		}
		if w.Len() != 0 {
			t.Errorf("%d are left", w.Len())
		}
	})
}

func TestTimesThatAreOverComeWithTheNextTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(t)
		pass(time.Hour)
		for _, ago := range []time.Duration{0, 1, time.Minute, 2 * time.Hour} {
			x := &one{}
			x.add(w, time.Now().Add(-ago))
			pass(Tick)
			if n := x.times.Load(); n != 1 {
				t.Errorf("%v ago was told %d times", ago, n)
			}
		}
	})
}

func TestAnEarlierTimeIsToldBeforeALaterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(t)
		late, soon := &one{}, &one{}
		late.add(w, time.Now().Add(time.Hour))
		pass(time.Minute)
		soon.add(w, time.Now().Add(time.Second))
		pass(2 * time.Second)
		soon.mustHaveCome(t, Tick)
		if late.times.Load() != 0 {
			t.Error("the later one was told too")
		}
		pass(time.Hour)
		late.mustHaveCome(t, Tick)
	})
}

func TestRemovedTimesAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(t)
		var all [5]one
		for i := range all {
			all[i].add(w, time.Now().Add(time.Minute))
		}
		for _, i := range []int{0, 4, 2} { // of a ring: the first, the last, one between
			if !w.Remove(&all[i].Timer) {
				t.Errorf("%d was not there", i)
			}
			if w.Remove(&all[i].Timer) {
				t.Errorf("%d was there twice", i)
			}
		}
		all[0].add(w, time.Now().Add(2*time.Minute))
		pass(time.Hour)
		for i, want := range []int64{1, 1, 0, 1, 0} {
			if n := all[i].times.Load(); n != want {
				t.Errorf("%d was told %d times, want %d", i, n, want)
			}
		}
		if w.Remove(&all[0].Timer) {
			t.Error("a time that has come was still there")
		}
	})
}

// TestAgainstAList adds and removes at random over a day.
func TestAgainstAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(t)
		rnd := rand.New(rand.NewPCG(7, 8))
		waiting := map[*one]bool{}
		for range 30_000 {
			switch n := rnd.IntN(10); {
			case n < 5:
				x := &one{}
				x.add(w, time.Now().Add(time.Duration(rnd.Int64N(int64(Tick)<<rnd.IntN(22)))))
				waiting[x] = true
			case n < 7:
				for x := range waiting { // any one
					if there := w.Remove(&x.Timer); there != (x.times.Load() == 0) {
						t.Fatalf("a time that was told %d times was there: %v", x.times.Load(), there)
					}
					delete(waiting, x)
					break
				}
			default:
				pass(time.Duration(rnd.Int64N(int64(10 * time.Second))))
				for x := range waiting {
					over := time.Since(x.at)
					if x.times.Load() > 0 {
						x.mustHaveCome(t, 2*Tick) // added within its last tick, it comes with the next
						delete(waiting, x)
					} else if over >= 2*Tick {
						t.Fatalf("%v is %v over", x.at, over)
					}
				}
			}
			if len(waiting) < 200 && w.Len() > len(waiting) {
				t.Fatalf("%d are kept, want at most %d", w.Len(), len(waiting))
			}
		}
	})
}

func TestCloseWaitsForWhoIsBeingTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var over atomic.Bool
		w := New(func([]*one) {
			time.Sleep(time.Minute)
			over.Store(true)
		})
		a, b := &one{}, &one{}
		a.add(w, time.Now().Add(time.Second))
		b.add(w, time.Now().Add(time.Hour))
		pass(2 * time.Second)
		w.Close()
		if !over.Load() {
			t.Error("Close did not wait")
		}
		w.Close()
		a.add(w, time.Now().Add(time.Second))
		pass(2 * time.Hour)
		if a.next != nil {
			t.Error("a closed wheel keeps times")
		}
	})
}

func TestAddAndRemoveFromEverywhere(t *testing.T) {
	var told, added, removed atomic.Int64
	w := New(func(due []*one) { told.Add(int64(len(due))) })
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(9, uint64(i)))
			for range 5000 {
				x := &one{}
				x.add(w, time.Now().Add(time.Duration(rnd.IntN(20))*time.Millisecond))
				added.Add(1)
				if rnd.IntN(2) == 0 && w.Remove(&x.Timer) {
					removed.Add(1)
				}
			}
		})
	}
	all.Wait()
	for w.Len() > 0 {
		<-time.After(Tick)
	}
	w.Close()
	if told.Load()+removed.Load() != added.Load() {
		t.Errorf("%d were added, %d told and %d removed", added.Load(), told.Load(), removed.Load())
	}
}

func BenchmarkAddRemove(b *testing.B) {
	w := New(func([]*one) {})
	defer w.Close()
	all := make([]one, 100_000)
	for i := range all {
		all[i].add(w, time.Now().Add(time.Hour+time.Duration(i)*time.Millisecond))
	}
	b.ReportAllocs()
	at := time.Now().Add(time.Hour)
	for i := 0; b.Loop(); i++ {
		x := &all[i%len(all)]
		w.Remove(&x.Timer)
		w.Add(&x.Timer, at)
	}
}
