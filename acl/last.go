package acl

import "sync/atomic"

// Last is room for who asked last where it is mostly the same again, as on a connection: to know
// that takes no hash. It keeps nothing alive: who it was it knows by a place in the generation in
// which that was found, and nothing by a pointer. The zero value knows nobody. Goroutines may
// share it.
type Last struct {
	one  atomic.Pointer[known]
	kept atomic.Uint32 // how often
}

// mostKept is after how many others it is given up: where many take turns, as behind a proxy, it
// only costs.
const mostKept = 1000

// known is one line of the processor's caches: between two requests of one connection there are
// those of all others, so every line more is one that comes from far.
type known struct {
	number uint64 // of the generation in which it was found
	place  place
	length uint8
	secret [longestKnown]byte // a part of the request would keep all of it
}

// longestKnown is how long a secret may be; those that this server makes have 36 bytes. Longer
// ones are found by their hash.
const longestKnown = 51

// find returns nil when it is not the same, or something has changed.
func (l *Last) find(g *generation, secret string) *Identity {
	if l == nil {
		return nil
	}
	k := l.one.Load()
	if k == nil || k.number != g.number || !sameSecret(k.secret[:k.length], secret) {
		return nil
	}
	return g.at(k.place)
}

func (l *Last) keep(g *generation, secret string, id *Identity) {
	if l == nil || len(secret) > longestKnown || l.kept.Add(1) > mostKept {
		return
	}
	k := &known{number: g.number, place: id.place, length: uint8(len(secret))}
	copy(k.secret[:], secret)
	l.one.Store(k)
}

// sameSecret compares in a time that depends on the lengths alone.
func sameSecret(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	var differ byte
	for i := range len(a) {
		differ |= a[i] ^ b[i]
	}
	return differ == 0
}
