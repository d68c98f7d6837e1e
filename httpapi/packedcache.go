package httpapi

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/holdfast-kv/holdfast/kvs"
)

// Bounds of what is kept of single keys in gzip form: packedSlots times packedBytes, and as
// much again for values that are kept only here because the key has changed since.
const (
	packedSlots = 512
	packedBytes = 16 << 10 // the largest answer, before it is compressed
)

// packedCache keeps the answers to reads of single keys in gzip form. Compressing the
// smallest answer that is compressed costs some ten times what all the rest of the read
// does, and most Go programs ask for it without knowing.
//
// It is a table without chains: a key has one place, which the last one takes. What is kept
// is found by the version itself, which never changes, so that nothing has to be dropped
// when a key does. An answer is kept when it is asked for a second time.
type packedCache struct {
	slots [packedSlots]atomic.Pointer[packedKey]
}

// packedKey is one answer, which never changes.
type packedKey struct {
	of    *kvs.Version
	shape shape
	body  []byte // in gzip form; nil: it was asked for once
}

func (c *packedCache) slot(v *kvs.Version) *atomic.Pointer[packedKey] {
	return &c.slots[maphash.String(answerSeed, v.Key)%packedSlots]
}

// find returns the answer in gzip form, nil if it is not kept, and then whether one that is
// made now should be.
func (c *packedCache) find(v *kvs.Version, s shape) (body []byte, keep bool) {
	p := c.slot(v).Load()
	if p == nil || p.of != v || p.shape != s {
		return nil, false
	}
	return p.body, p.body == nil
}

// note keeps that a version was asked for, and the answer unless it is nil.
func (c *packedCache) note(v *kvs.Version, s shape, body []byte) {
	c.slot(v).Store(&packedKey{of: v, shape: s, body: body})
}

// writeOne answers with one key. What is compressed is kept for the next who asks.
func (c *call) writeOne(s shape, of *kvs.Version, body []byte, contentType []string) {
	if len(body) < gzipFrom || len(body) > packedBytes || !takesGzip(c.r.Header) {
		c.write(body, contentType)
		return
	}
	z, keep := c.s.packed.find(of, s)
	if z == nil {
		if !keep {
			c.s.packed.note(of, s, nil)
			c.write(body, contentType)
			return
		}
		z = compress(body)
		c.s.packed.note(of, s, z)
	}
	c.writeCompressed(z, contentType)
}
