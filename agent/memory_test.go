package agent

import (
	"net/http"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGCPercent(t *testing.T) {
	for _, tc := range []struct {
		rule string
		live uint64
		want int
	}{
		{"nothing known yet is Go's default", 0, 100},
		{"a tiny heap gets a fixed room, within bounds", 1 << 20, 1000},
		{"a small heap gets three times as much again", 16 << 20, 300},
		{"a middling heap gets less, the larger it is", 64 << 20, 250},
		{"one of some size even less", 192 << 20, 50},
		{"a large heap gets a third of itself", 400 << 20, 33},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := gcPercent(tc.live); got != tc.want {
				t.Errorf("live heap of %d MiB: GOGC = %d, want %d", tc.live>>20, got, tc.want)
			}
		})
	}
}

func TestAReplacedStateIsGivenBackOnce(t *testing.T) {
	r := replacement{seen: 3}
	for i, step := range []struct {
		generation uint64
		want       bool
	}{{3, false}, {3, false}, {4, false}, {4, true}, {4, false}, {5, false}, {7, false}, {7, true}, {7, false}} {
		if got := r.settled(step.generation); got != step.want {
			t.Errorf("look %d, at generation %d: %v, want %v", i, step.generation, got, step.want)
		}
	}
}

func TestMemoryIsGivenBackAfterARestore(t *testing.T) {
	m, stop := startInMemory(t, Options{})
	defer stop()
	forced := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/cycles/forced:gc-cycles"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	_, _, archive := m.ask(t, http.MethodGet, "/v1/snapshot", "")
	before := forced()
	// A restore that comes before the server looks for the first time is not seen as one.
	restore := time.NewTicker(time.Second)
	defer restore.Stop()
	late := time.After(20 * time.Second)
	for again := true; forced() == before; {
		if again {
			again = false
			if status, _, body := m.ask(t, http.MethodPut, "/v1/snapshot", archive); status != http.StatusOK {
				t.Fatalf("restore: %d %s", status, body)
			}
		}
		select {
		case <-late:
			t.Fatal("nothing is given back")
		case <-restore.C:
			again = true
		case <-time.After(10 * time.Millisecond):
		}
	}
}
