package kvs

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Digest is a number that tells what the current command did to the rows of keys:
// which it staged, and what they say of themselves now. Two servers on which a
// command did the same have the same, whatever else was in the batch. A row that was
// staged more than once counts each time. It is asked
// for once the command is accepted and before the next one begins; a command that
// staged nothing has 0.
//
// A value counts by its length only: it comes from the command, whose bytes are
// known to be equal where digests are compared.
func (tx *Tx) Digest() uint64 {
	var sum uint64
	for _, u := range tx.undo { // a sum, so that the order does not matter
		sum += digestRow(u.key, u.now)
	}
	return sum
}

// digestRow is the digest of one row; it is nil when the row was removed.
func digestRow(key string, it *Item) uint64 {
	h := xxhash.Sum64String(key)
	if it == nil {
		return blend(h, 1)
	}
	v := it.Cur
	h = blend(h, v.ModifyIndex)
	h = blend(h, v.CreateIndex)
	h = blend(h, v.LockIndex)
	h = blend(h, v.Flags)
	h = blend(h, uint64(v.Time))
	h = blend(h, uint64(v.Kind)<<56^uint64(len(it.Older))<<32^uint64(len(v.Value)))
	h = blend(h, it.Floor)
	if v.Session != "" {
		h = blend(h, xxhash.Sum64String(v.Session))
	}
	if e := it.Extra; e != nil {
		h = blend(h, xxhash.Sum64String(e.Owner))
		h = blend(h, uint64(e.TTL))
		h = blend(h, uint64(e.ExpireAt))
		h = blend(h, e.Fence)
	}
	return h
}

// blend puts one more number into a digest. It is a multiplication to 128 bits,
// folded: every bit of both numbers reaches about every bit of the result, for a
// tenth of what a hash of the same bytes costs.
func blend(h, n uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, n^0xc2b2ae3d27d4eb4f)
	return hi ^ lo ^ bits.RotateLeft64(h, 27)
}
