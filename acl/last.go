package acl

import (
	"strings"
	"sync/atomic"
	"weak"
)

// Last is room for who asked last where it is mostly the same again, as on a connection: to know
// that takes no hash. It keeps nothing else alive than the secret. The zero value knows nobody.
// Goroutines may share it.
type Last struct {
	one  atomic.Pointer[known]
	kept atomic.Uint32 // how often
}

// mostKept is after how many others it is given up: where many take turns, as behind a proxy, it
// only costs.
const mostKept = 1000

type known struct {
	secret string
	number uint64 // of the generation in which it was found
	id     weak.Pointer[Identity]
}

// find returns nil when it is not the same, or something has changed.
func (l *Last) find(g *generation, secret string) *Identity {
	if l == nil {
		return nil
	}
	k := l.one.Load()
	if k == nil || k.number != g.number || !sameSecret(k.secret, secret) {
		return nil
	}
	return k.id.Value()
}

func (l *Last) keep(g *generation, secret string, id *Identity) {
	if l != nil && l.kept.Add(1) <= mostKept {
		// The secret is a part of a request, which it should not keep.
		l.one.Store(&known{secret: strings.Clone(secret), number: g.number, id: weak.Make(id)})
	}
}

// sameSecret compares in a time that depends on the lengths alone.
func sameSecret(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	var differ byte
	for i := range len(a) {
		differ |= a[i] ^ b[i]
	}
	return differ == 0
}
