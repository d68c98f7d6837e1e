package logstore

import (
	"bytes"
	"sync"
	"unsafe"

	"github.com/hashicorp/raft"
)

// cache keeps the last entries that were stored, without a gap, bounded by their
// number and by their bytes. Followers that are up to date and the applying of
// what was just stored are served from it.
//
// The Data of its entries is shared with raft: nobody changes it.
type cache struct {
	maxBytes int

	mu    sync.RWMutex
	ring  []raft.Log // entry i is at i % len; guarded by mu, as is all below
	first uint64     // the oldest entry kept
	next  uint64     // one above the newest; equal to first if empty
	bytes int
}

// newCache returns nil, which keeps nothing, if either bound is not positive.
func newCache(maxEntries, maxBytes int) *cache {
	if maxEntries <= 0 || maxBytes <= 0 {
		return nil
	}
	return &cache{maxBytes: maxBytes, ring: make([]raft.Log, maxEntries)}
}

const logBytes = int(unsafe.Sizeof(raft.Log{}))

func cost(l *raft.Log) int { return logBytes + len(l.Data) + len(l.Extensions) }

// get fills l if the entry is kept.
func (c *cache) get(index uint64, l *raft.Log) bool {
	if c == nil {
		return false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if index < c.first || index >= c.next {
		return false
	}
	*l = c.ring[index%uint64(len(c.ring))]
	return true
}

// add keeps logs, which are consecutive, as the newest, and lets the oldest go
// until the bounds are kept. What does not follow the newest replaces everything.
func (c *cache) add(logs []*raft.Log) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range logs {
		if l.Index != c.next {
			c.clearLocked()
			c.first, c.next = l.Index, l.Index
		}
		if c.next-c.first == uint64(len(c.ring)) {
			c.dropFirstLocked()
		}
		c.ring[l.Index%uint64(len(c.ring))] = *l
		c.next++
		c.bytes += cost(l)
		for c.bytes > c.maxBytes {
			c.dropFirstLocked()
		}
	}
}

// addCopy keeps l as the newest, but none of its memory. The memory of what has to go
// for it is used again, so nobody may have been given an entry yet: that is so while a
// log is opened, when all of it passes through here and only its end stays.
func (c *cache) addCopy(l *raft.Log) {
	if c == nil {
		return
	}
	own := *l
	own.Data = append(c.recycle(len(l.Data)), l.Data...)
	own.Extensions = bytes.Clone(l.Extensions)
	c.add([]*raft.Log{&own})
}

// recycle makes room for an entry with n bytes of data, and returns memory to copy
// them to: that of an entry which had to go, if it is not much more than that.
func (c *cache) recycle(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.first < c.next && (c.bytes+logBytes+n > c.maxBytes || c.next-c.first == uint64(len(c.ring))) {
		old := c.ring[c.first%uint64(len(c.ring))].Data
		c.dropFirstLocked()
		if cap(old) >= n && cap(old) <= n+n/4 {
			return old[:0]
		}
	}
	return nil
}

// remove lets the entries from min to max go, and with those in the middle all
// that are older.
func (c *cache) remove(minIndex, maxIndex uint64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if maxIndex < c.first || minIndex >= c.next {
		return
	}
	if maxIndex >= c.next-1 {
		for c.next > max(minIndex, c.first) {
			c.next--
			c.forgetLocked(c.next)
		}
		return
	}
	for c.first <= maxIndex {
		c.dropFirstLocked()
	}
}

func (c *cache) clearLocked() {
	for c.first < c.next {
		c.dropFirstLocked()
	}
}

func (c *cache) dropFirstLocked() {
	c.forgetLocked(c.first)
	c.first++
}

func (c *cache) forgetLocked(index uint64) {
	slot := &c.ring[index%uint64(len(c.ring))]
	c.bytes -= cost(slot)
	*slot = raft.Log{}
}
