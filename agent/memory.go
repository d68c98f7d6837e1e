package agent

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector is told how much room it has above the live heap, instead
// of the usual "as much again": a small store collects seldom, which saves a fifth
// of the CPU of a GET, and a large one does not double its memory.
const (
	heapRoomLeast    = 32 << 20               // bytes above the live heap, at least
	heapRoomFraction = 3                      // and a third of it, at least
	heapRoomAgain    = 3                      // and this many times as much again, where that is little:
	heapMiddling     = 192 << 20              // so that the whole stays near this many, and half of the live heap
	heapLook         = 100 * time.Millisecond // a store that is filled grows by tens of MiB in it
)

// gcPercent is the GOGC that gives that room to a live heap of the given bytes.
func gcPercent(live uint64) int {
	if live == 0 {
		return 100
	}
	room := max(heapRoomLeast, live/heapRoomFraction)
	if half := live / 2; half < heapMiddling {
		room = max(room, min(heapRoomAgain*live, heapMiddling-half))
	}
	return int(min(room*100/live, 1000))
}

// tuneGC follows the live heap, from when this server has caught up. Before that the
// usual setting is best: more room makes reading the log no faster, for each new page
// of memory costs as much as looking at the old ones again (200,000 keys: 265 MiB, and
// 300 to 327 MiB with GOGC 200, in the same CPU time).
func (a *Agent) tuneGC(ctx context.Context) error {
	defer func() { debug.SetGCPercent(100) }()
	select {
	case <-ctx.Done():
		return nil
	case <-a.caughtUp:
	}
	tick := time.NewTicker(heapLook)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	set := 100
	state := replacement{seen: a.store.View().Generation}
	for {
		if state.settled(a.store.View().Generation) {
			debug.FreeOSMemory()
		}
		metrics.Read(sample)
		if sample[0].Value.Kind() == metrics.KindUint64 {
			if want := gcPercent(sample[0].Value.Uint64()); want < set*9/10 || want > set*11/10 {
				debug.SetGCPercent(want)
				set = want
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// replacement notices that a snapshot has replaced the state. For a while both were in
// memory, which the runtime would keep, and the collector might not run for minutes: so the
// earlier one is given back, once that disturbs nobody.
type replacement struct {
	seen uint64 // the generation of the state at the last look
	due  bool   // it was another one then than before
}

// settled is asked now and then. It is true once for each replacement that nothing has
// followed until the next look: then the restore has been answered, or nearly.
func (r *replacement) settled(generation uint64) bool {
	if generation != r.seen {
		r.seen, r.due = generation, true
		return false
	}
	was := r.due
	r.due = false
	return was
}
