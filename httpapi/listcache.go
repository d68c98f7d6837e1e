package httpapi

import (
	"container/list"
	"strings"
	"sync"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
)

// Bounds of the cache of lists.
const (
	cacheBytes      = 16 << 20 // of all bodies
	cacheEntryBytes = 4 << 20  // of one
	cacheFromBytes  = 2 << 10  // smaller ones are built as fast as they are found
	cacheNameBytes  = 1 << 10  // prefix and separator, which clients make as long as they like
	cacheEntries    = 4096
)

// listCache keeps the finished answers to questions about prefixes, plain and
// compressed, as long as nothing under the prefix has changed. Many watchers of a
// prefix, and readers who come again, share one walk and one encoding.
//
// An answer is kept when the same question comes a second time without a change
// in between, so that a prefix that changes all the time is never copied.
type listCache struct {
	mu      sync.Mutex
	entries map[listKey]*list.Element // of *cachedList; guarded by mu
	recent  *list.List                // most recently used first; guarded by mu
	bytes   int                       // guarded by mu
}

// listKey is a question and by whose rules it was answered: what one may see is never
// found by another.
type listKey struct {
	question
	auth *acl.Authorizer // nil: rights are not checked
}

// cachedList is one answer. What it holds is never changed, only replaced.
type cachedList struct {
	key        listKey
	generation uint64 // of the view it was built from
	upTo       uint64 // store index up to which it is known to hold; guarded by listCache.mu
	floor      uint64
	restored   uint64
	reply      reply
	body       []byte // nil: the question was seen once
	gzipped    []byte // nil: nobody asked for it; guarded by listCache.mu
}

func newListCache() *listCache {
	return &listCache{entries: map[listKey]*list.Element{}, recent: list.New()}
}

// cacheable tells whether the cache may hold the answer to q.
func (q *question) cacheable() bool {
	return q.tree() && q.revision == 0 && q.limit == 0 && q.after == "" && len(q.key)+len(q.separator) <= cacheNameBytes
}

// find returns the answer to q by the rules of auth from the state v, and whether an answer that is
// built now should be kept.
func (c *listCache) find(q *question, auth *acl.Authorizer, v *fsm.View) (hit *cachedList, keep bool) {
	c.mu.Lock()
	el := c.entries[listKey{*q, auth}]
	if el == nil {
		c.mu.Unlock()
		return nil, false
	}
	e := el.Value.(*cachedList)
	c.recent.MoveToFront(el)
	upTo := e.upTo
	c.mu.Unlock()

	// The view may be older than what the entry was last checked against.
	holds := e.generation == v.Generation && e.floor == v.Meta().Floor && e.restored == v.RestoredAt() &&
		upTo <= v.Index() && !v.ChangedSince(q.key, upTo)
	if !holds {
		return nil, false
	}
	c.mu.Lock()
	e.upTo = max(e.upTo, v.Index())
	c.mu.Unlock()
	if e.body == nil {
		return nil, true
	}
	return e, false
}

// note keeps that q was answered from v: the body too if keep is set.
func (c *listCache) note(q *question, auth *acl.Authorizer, v *fsm.View, r reply, body []byte, keep bool) {
	if len(body) < cacheFromBytes || len(body) > cacheEntryBytes || !r.found {
		return
	}
	own := listKey{*q, auth} // without the request line, of which the names are a part
	own.key, own.separator = strings.Clone(q.key), strings.Clone(q.separator)
	e := &cachedList{key: own, generation: v.Generation, upTo: v.Index(), floor: v.Meta().Floor, restored: v.RestoredAt(), reply: r}
	if keep {
		e.body = append([]byte(nil), body...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.entries[own]; old != nil {
		c.dropLocked(old)
	}
	c.entries[own] = c.recent.PushFront(e)
	c.bytes += e.size()
	c.shrinkLocked()
}

// compressed returns the answer in gzip form, made once.
func (c *listCache) compressed(e *cachedList) []byte {
	c.mu.Lock()
	z := e.gzipped
	c.mu.Unlock()
	if z != nil {
		return z
	}
	z = compress(e.body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.gzipped == nil {
		e.gzipped = z
		if el := c.entries[e.key]; el != nil && el.Value == any(e) {
			c.bytes += len(z)
			c.shrinkLocked()
		}
	}
	return z
}

func (e *cachedList) size() int { return len(e.body) + len(e.gzipped) }

func (c *listCache) shrinkLocked() {
	for c.bytes > cacheBytes || len(c.entries) > cacheEntries {
		c.dropLocked(c.recent.Back())
	}
}

func (c *listCache) dropLocked(el *list.Element) {
	e := c.recent.Remove(el).(*cachedList)
	delete(c.entries, e.key)
	c.bytes -= e.size()
}
