package acl

import (
	"hash"

	"golang.org/x/crypto/blake2b"
)

// Sum returns the content hash: BLAKE2b-256 over what clients may change, without
// separators. Clients compare it and nothing else, so it is as Consul's.
//
// Source: contract, ACL API, section 0.
func (p *Policy) Sum() []byte {
	h := newHash()
	write(h, p.Name, p.Description, p.Rules)
	write(h, p.Datacenters...)
	return h.Sum(nil)
}

// Sum returns the content hash, as that of a policy.
func (t *Token) Sum() []byte {
	h := newHash()
	write(h, t.Description, locality(t.Local))
	t.addTo(h)
	return h.Sum(nil)
}

// Sum returns the content hash, as that of a policy.
func (r *Role) Sum() []byte {
	h := newHash()
	write(h, r.Name, r.Description)
	r.addTo(h)
	return h.Sum(nil)
}

func (l *Links) addTo(h hash.Hash) {
	write(h, l.Policies...)
	write(h, l.Roles...)
	for _, s := range l.ServiceIdentities {
		write(h, s.Service)
		write(h, s.Datacenters...)
	}
	for _, n := range l.NodeIdentities {
		write(h, n.Node, n.Datacenter)
	}
	for _, t := range l.Templates {
		write(h, t.ID, t.Template, t.Name)
		write(h, t.Datacenters...)
	}
}

func locality(local bool) string {
	if local {
		return "local"
	}
	return "global"
}

func newHash() hash.Hash {
	h, err := blake2b.New256(nil)
	if err != nil {
		panic(err) // only a key that is too long is an error
	}
	return h
}

// write adds texts; a hash never fails to take them.
func write(h hash.Hash, texts ...string) {
	for _, s := range texts {
		h.Write([]byte(s))
	}
}
