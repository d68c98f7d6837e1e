package logstore

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

func TestCacheBounds(t *testing.T) {
	logOf := func(index uint64, bytes int) *raft.Log {
		return &raft.Log{Index: index, Data: make([]byte, bytes)}
	}
	holds := func(c *cache, index uint64) bool {
		var l raft.Log
		return c.get(index, &l) && l.Index == index
	}
	t.Run("by number", func(t *testing.T) {
		c := newCache(3, 1<<20)
		for i := uint64(1); i <= 10; i++ {
			c.add([]*raft.Log{logOf(i, 1)})
		}
		for i := uint64(0); i <= 11; i++ {
			if got, want := holds(c, i), i >= 8 && i <= 10; got != want {
				t.Errorf("entry %d kept = %v, want %v", i, got, want)
			}
		}
	})
	t.Run("by bytes", func(t *testing.T) {
		c := newCache(100, 3*(logBytes+1000))
		for i := uint64(1); i <= 10; i++ {
			c.add([]*raft.Log{logOf(i, 1000)})
		}
		for i := uint64(1); i <= 10; i++ {
			if got, want := holds(c, i), i >= 8; got != want {
				t.Errorf("entry %d kept = %v, want %v", i, got, want)
			}
		}
	})
	t.Run("one that is too large leaves nothing", func(t *testing.T) {
		c := newCache(100, 5000)
		c.add([]*raft.Log{logOf(1, 100), logOf(2, 6000)})
		if holds(c, 1) || holds(c, 2) || c.bytes != 0 {
			t.Errorf("kept %d bytes", c.bytes)
		}
		c.add([]*raft.Log{logOf(3, 100)})
		if !holds(c, 3) {
			t.Error("the next one is not kept")
		}
	})
	t.Run("switched off", func(t *testing.T) {
		for _, c := range []*cache{newCache(0, 1000), newCache(10, 0), newCache(10, -1)} {
			c.add([]*raft.Log{logOf(1, 1)})
			c.remove(1, 1)
			if c != nil || holds(c, 1) {
				t.Error("a cache without room keeps something")
			}
		}
	})
}

// Whatever is done to it, the cache never has an entry that was removed or
// replaced, and keeps to its bounds.
func TestCacheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const number = 7
		bytes := rapid.IntRange(1, 9*(logBytes+20)).Draw(rt, "bytes")
		c := newCache(number, bytes)
		truth := map[uint64]byte{}
		next, stamp := uint64(1), byte(0)
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "jump") == 0 {
					next += rapid.Uint64Range(1, 20).Draw(t, "by") // after a restore
				}
				var logs []*raft.Log
				for range rapid.IntRange(1, 12).Draw(t, "entries") {
					stamp++
					data := make([]byte, rapid.IntRange(1, 40).Draw(t, "len"))
					data[0] = stamp
					logs = append(logs, &raft.Log{Index: next, Data: data})
					truth[next] = stamp
					next++
				}
				c.add(logs)
			},
			"remove at the end": func(t *rapid.T) {
				from := rapid.Uint64Range(1, next).Draw(t, "from")
				c.remove(from, next+3)
				for i := from; i < next; i++ {
					delete(truth, i)
				}
				next = from
			},
			"remove at the start": func(t *rapid.T) {
				upTo := rapid.Uint64Range(0, next).Draw(t, "up to")
				c.remove(0, upTo)
				for i := range truth {
					if i <= upTo {
						delete(truth, i)
					}
				}
			},
			"": func(t *rapid.T) {
				sum, n := 0, 0
				for i := uint64(0); i < next+30; i++ {
					var l raft.Log
					if !c.get(i, &l) {
						continue
					}
					n++
					sum += cost(&l)
					if want, ok := truth[i]; !ok || l.Index != i || l.Data[0] != want {
						t.Fatalf("entry %d: has %d of %d, want %d, %v", i, l.Data[0], l.Index, want, ok)
					}
				}
				if n > number || sum > bytes || sum != c.bytes {
					t.Fatalf("%d entries, %d bytes (counted %d), want at most %d and %d", n, sum, c.bytes, number, bytes)
				}
			},
		})
	})
}

// While a log is opened, memory of entries that had to go is used again: what is kept
// must not be touched by that.
func TestCacheOfCopies(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newCache(7, rapid.IntRange(1, 9*(logBytes+200)).Draw(rt, "bytes"))
		content := func(index uint64) []byte { // as long as it is used to be
			return bytes.Repeat([]byte{byte(index)}, int(index*index%97+index%2*90))
		}
		shared := make([]byte, 1024)
		last := rapid.Uint64Range(1, 60).Draw(rt, "entries")
		for i := uint64(1); i <= last; i++ {
			n := copy(shared, content(i))
			c.addCopy(&raft.Log{Index: i, Data: shared[:n:n]})
			for j := uint64(1); j <= i; j++ {
				var l raft.Log
				if c.get(j, &l) && !bytes.Equal(l.Data, content(j)) {
					rt.Fatalf("after entry %d: entry %d holds %v", i, j, l.Data)
				}
			}
			if c.next-c.first > 7 || c.bytes > c.maxBytes {
				rt.Fatalf("%d entries, %d bytes", c.next-c.first, c.bytes)
			}
		}
	})
}

// Reading a long log at opening must not cost memory for each entry of it.
func TestCacheOfCopiesUsesItsMemoryAgain(t *testing.T) {
	const entries, size = 1000, 32 << 10
	c := newCache(cacheEntries, 10*(size+logBytes))
	data := make([]byte, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range uint64(entries) {
		c.addCopy(&raft.Log{Index: i + 1, Data: data})
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > entries*size/10 {
		t.Errorf("%d entries of %d bytes took %d bytes of new memory", entries, size, got)
	}
}
