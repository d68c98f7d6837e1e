package acl

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Identity is who asks. It is never changed, but for its Slot, once others know of it.
type Identity struct {
	// What every request asks for is together, in as few lines of the caches as can be.
	Accessor string
	Auth     *Authorizer

	// Checked is what a command carries so that it can be checked again where it is
	// applied.
	Checked *Checked

	until int64 // as Checked.Expires

	// Slot is room for what the server keeps about whoever it is.
	Slot atomic.Value

	checked Checked // what Checked leads to, unless it is nobody's of the tables

	Token *Token // synthesised for a certificate and for recovery
	Index uint64 // of the tables that it was resolved from

	// Renew finds the identity again in the state as it is, for one that is in no
	// table; nil for one that is.
	Renew func() (*Identity, error)

	hash  string // of the secret it was found by
	meta  *Meta  // of the state it was resolved from
	place place  // in the generation that keeps it
}

// Checked is the identity behind a command and the state of the tables in which it was
// found to have the right. Apply checks again when the tables have moved since.
type Checked struct {
	Index      uint64
	Accessor   string
	Default    Default
	Datacenter string // the one whose policies and identities count
	Expires    int64  // Unix nanoseconds; 0: never. Compared with the leader's time.

	// Secret is the beginning of the keyed hash of the secret that was shown, so that
	// one that was replaced since does not count; 0: none was shown.
	Secret uint64

	// Links and Vars stand in for a token that is in no table (a certificate's).
	Links *Links
	Vars  map[string]string

	// Trusted is the server's own recovery token: nothing to check again.
	Trusted bool
}

// Settings are what a Resolver is told by the configuration.
type Settings struct {
	Default    Default
	Datacenter string
	NodeName   string
	Now        func() time.Time

	// Recovery returns the secret that works on this server alone, whatever the state
	// of the cluster; "": there is none. It may be nil.
	Recovery func() string
}

// Resolver finds identities in the state as it is. Goroutines may share it.
//
// What it found it keeps for as long as the tables are the same, so that the hot path
// is one hash and one look into a map. The hash is keyed with a number that was
// drawn when the process began: how long a look takes says nothing about the secrets
// that are known.
type Resolver struct {
	view     func() View
	settings Settings
	compiler *Compiler
	salt     [saltBytes]byte
	recovery *Authorizer
	numbers  atomic.Uint64 // of generations
	now      atomic.Pointer[generation]
}

// generation is what was found in one state of the tables.
type generation struct {
	number uint64 // none has it but this one
	meta   *Meta
	shards [shards]shard
}

func (r *Resolver) newGeneration(meta *Meta) *generation {
	return &generation{number: r.numbers.Add(1), meta: meta}
}

type shard struct {
	mu    sync.RWMutex
	found map[[sha256.Size]byte]*Identity // guarded by mu

	// rows has the same identities by their places, in the order in which they were found. What
	// is in it is never changed, so whoever has the place of one reads it without the mutex.
	rows [keptIdentities / shards / rowLength]*[rowLength]*Identity
}

// Bounds of the identities that are kept, in all.
const (
	shards         = 16
	keptIdentities = 32 << 10
	rowLength      = 128
)

// place is where a generation has an identity: its shard, then its number in there.
type place uint32

func newPlace(shard, number int) place { return place(number*shards + shard) }

func (p place) parts() (shard, row, column int) {
	number := int(p / shards)
	return int(p % shards), number / rowLength, number % rowLength
}

// at returns the identity at a place that this generation has given.
func (g *generation) at(p place) *Identity {
	shard, row, column := p.parts()
	return g.shards[shard].rows[row][column]
}

// add keeps an identity under a key of that shard, and returns it, or the one that somebody else
// has added meanwhile. It returns nil when there is no more room.
func (g *generation) add(shard int, key [sha256.Size]byte, id *Identity) *Identity {
	s := &g.shards[shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.found[key]; other != nil {
		return other
	}
	n := len(s.found)
	if n == keptIdentities/shards {
		return nil
	}
	if s.found == nil {
		s.found = map[[sha256.Size]byte]*Identity{}
	}
	id.place = newPlace(shard, n)
	_, row, column := id.place.parts()
	if column == 0 {
		s.rows[row] = new([rowLength]*Identity)
	}
	s.rows[row][column] = id
	s.found[key] = id
	return id
}

// NewResolver returns a Resolver over the state that view returns.
func NewResolver(view func() View, settings Settings) *Resolver {
	r := &Resolver{view: view, settings: settings, compiler: NewCompiler()}
	_, _ = rand.Read(r.salt[:]) // never fails
	rules, err := Parse(fmt.Sprintf("agent %q {\n  policy = \"write\"\n}\nnode_prefix \"\" {\n  policy = \"read\"\n}\n", settings.NodeName))
	if err != nil {
		rules = nil // a name that cannot be written as a label: then reading nodes is all it gives up
	}
	r.recovery = NewAuthorizer(DefaultDeny, []Source{{Rules: rules, ID: "agent-recovery", Name: "agent-recovery", Via: []string{"token"}}})
	r.now.Store(r.newGeneration(nil))
	return r
}

// Resolve finds who has the secret; "" is the anonymous token. The error is
// ErrNotFound, ErrNotBootstrapped or ErrRoot.
func (r *Resolver) Resolve(secret string) (*Identity, error) { return r.ResolveFor(nil, secret) }

// ResolveFor is Resolve for somebody who has mostly asked with the same secret before; last may be
// nil.
func (r *Resolver) ResolveFor(last *Last, secret string) (*Identity, error) {
	switch secret {
	case "":
		secret = AnonymousSecret
	case "allow", "deny", "manage":
		return nil, ErrRoot
	}
	view := r.view()
	g := r.now.Load()
	if g.meta != view.meta {
		g = r.newGeneration(view.meta)
		r.now.Store(g) // whoever is still at an older state puts its own back: only time is lost
	}
	if id := last.find(g, secret); id != nil {
		return r.unlessExpired(id)
	}
	key := r.salted(secret)
	number := int(key[0] % shards)
	shard := &g.shards[number]
	shard.mu.RLock()
	id := shard.found[key]
	shard.mu.RUnlock()
	if id != nil {
		last.keep(g, secret, id)
		return r.unlessExpired(id)
	}
	id, err := r.find(view, secret)
	if err != nil || id.Checked.Trusted { // the recovery token may be replaced without a change of the tables
		return id, err
	}
	if kept := g.add(number, key, id); kept != nil {
		return kept, nil
	}
	// All begins anew, unless something else has changed meanwhile. It begins empty: who it was
	// before the change is perhaps not who it is.
	r.now.CompareAndSwap(g, r.newGeneration(g.meta))
	return id, nil
}

// Forget drops what is kept of secrets. It is to be called when the recovery token has
// become another one: who is known by that secret as somebody else is that no more.
func (r *Resolver) Forget() { r.now.Store(r.newGeneration(nil)) }

// saltBytes is so much that the salt cannot be guessed, and so little that it and a UUID are
// one block of the hash.
const saltBytes = 16

// salted is the key under which what a secret stands for is kept.
func (r *Resolver) salted(secret string) [sha256.Size]byte {
	var room [128]byte
	buf := append(room[:0], r.salt[:]...)
	return sha256.Sum256(append(buf, secret...))
}

// find looks a secret up in the tables.
func (r *Resolver) find(view View, secret string) (*Identity, error) {
	if r.isRecovery(secret) {
		return r.own(view, secret), nil
	}
	if key := view.Key(); key != nil {
		hash := HashSecret(key, secret)
		if id := r.byHash(view, hash); id != nil {
			return id, nil
		}
	} else if secret == AnonymousSecret { // the tables are not ready yet
		t := &Token{Accessor: AnonymousAccessor, Secret: AnonymousSecret}
		return r.identity(view, t, time.Time{}), nil
	}
	if view.BootstrapIndex() == 0 {
		return nil, ErrNotBootstrapped
	}
	return nil, ErrNotFound
}

// byHash returns nil when there is no such token.
func (r *Resolver) byHash(view View, hash string) *Identity {
	t := view.TokenByHash(hash)
	if t == nil {
		return nil
	}
	now, until := r.settings.Now(), t.Expires
	switch {
	case subtle.ConstantTimeCompare([]byte(t.Hash), []byte(hash)) == 1:
	case subtle.ConstantTimeCompare([]byte(t.FormerHash), []byte(hash)) == 1:
		if until.IsZero() || t.FormerUntil.Before(until) {
			until = t.FormerUntil
		}
	default:
		return nil
	}
	id := r.identity(view, t, until)
	id.hash, id.Checked.Secret = hash, beginning(hash)
	if id.expired(now) {
		return nil
	}
	return id
}

func (r *Resolver) identity(view View, t *Token, until time.Time) *Identity {
	id := &Identity{
		Accessor: t.Accessor, Token: t, Index: view.Index(), meta: view.meta,
		Auth: r.compiler.authorizer(reach(view, &t.Links, r.settings.Datacenter), t.Vars, r.settings.Default),
		checked: Checked{
			Index: view.Index(), Accessor: t.Accessor, Default: r.settings.Default, Datacenter: r.settings.Datacenter,
		},
	}
	id.Checked = &id.checked
	if !until.IsZero() {
		id.until = unixNano(until)
		id.checked.Expires = id.until
	}
	return id
}

func (r *Resolver) isRecovery(secret string) bool {
	if r.settings.Recovery == nil {
		return false
	}
	recovery := r.settings.Recovery()
	return recovery != "" && subtle.ConstantTimeCompare([]byte(recovery), []byte(secret)) == 1
}

// own is the identity of the recovery token, for as long as that has this secret.
func (r *Resolver) own(view View, secret string) *Identity {
	accessor := "agent-recovery:" + r.settings.NodeName
	return &Identity{
		Accessor: accessor, Token: &Token{Accessor: accessor}, Auth: r.recovery, Index: view.Index(), meta: view.meta,
		Checked: &Checked{Index: view.Index(), Accessor: accessor, Trusted: true},
		Renew:   func() (*Identity, error) { return r.Resolve(secret) },
	}
}

func (id *Identity) expired(now time.Time) bool {
	return id.until != 0 && now.UnixNano() >= id.until
}

// expired looks at the clock, which costs as much as all the rest of finding an identity,
// only for one that ends.
func (r *Resolver) expired(id *Identity) bool {
	return id.until != 0 && id.expired(r.settings.Now())
}

func (r *Resolver) unlessExpired(id *Identity) (*Identity, error) {
	if r.expired(id) {
		return nil, ErrNotFound
	}
	return id, nil
}

// Again resolves an identity anew in the state as it is: for whoever has waited. It
// returns the same one when the tables are the same; the Authorizer is the same one
// when the rights are.
func (r *Resolver) Again(id *Identity) (*Identity, error) {
	view := r.view()
	switch {
	case r.expired(id):
		return nil, ErrNotFound
	case id.Checked.Trusted: // the recovery token may be replaced without a change of the tables
		return id.Renew()
	case id.meta == view.meta:
		return id, nil
	case id.Renew != nil:
		return id.Renew()
	case id.hash == "": // the anonymous one, before the tables were ready
		return r.Resolve("")
	}
	if now := r.byHash(view, id.hash); now != nil {
		return now, nil
	}
	return nil, ErrNotFound
}

// Warm parses the policies that are not parsed yet, so that no request waits for that. It
// is to be called after policies have changed.
func (r *Resolver) Warm() {
	left := keptRules
	r.view().Policies(func(p *Policy) bool {
		r.compiler.parsed(p)
		left--
		return left > 0
	})
}

// ResolveAccessor finds the identity of a token by its public id, for questions about
// others. The error is ErrNotFound.
func (r *Resolver) ResolveAccessor(accessor string) (*Identity, error) {
	view := r.view()
	t := view.Token(accessor)
	if t == nil || t.ExpiredAt(r.settings.Now()) {
		return nil, ErrNotFound
	}
	return r.identity(view, t, t.Expires), nil
}

// ResolveLinks returns the identity of somebody who has no token: a certificate's.
// accessor names it in errors and records, expires is when it ends; the zero time:
// never.
func (r *Resolver) ResolveLinks(accessor string, links Links, vars map[string]string, expires time.Time) (*Identity, error) {
	t := &Token{Accessor: accessor, Links: links, Vars: vars, Expires: expires}
	id := r.identity(r.view(), t, expires)
	if id.expired(r.settings.Now()) {
		return nil, ErrNotFound
	}
	id.Checked.Links, id.Checked.Vars = &links, vars
	return id, nil
}

// Datacenter is the one whose policies hold here.
func (r *Resolver) Datacenter() string { return r.settings.Datacenter }

// Default is what holds where no rule says anything.
func (r *Resolver) Default() Default { return r.settings.Default }

// View returns the tables as they are.
func (r *Resolver) View() View { return r.view() }

// Now is the time by which tokens expire.
func (r *Resolver) Now() time.Time { return r.settings.Now() }

// HashSecret is the keyed hash of a secret, by which it is found. Secrets have 122
// random bits, so that one pass of a fast hash keeps them; those that operators choose
// are UUIDs too.
func HashSecret(key []byte, secret string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(secret)) // cannot fail
	return string(mac.Sum(nil))
}

// unixNano is a time in Unix nanoseconds, or the last that they can count.
func unixNano(t time.Time) int64 {
	if t.Year() > lastYear {
		return math.MaxInt64
	}
	return t.UnixNano()
}

// lastYear is the last one of which nanoseconds can count every moment.
const lastYear = 2261

// beginning is a number that tells keyed hashes apart, as well as 64 bits do.
func beginning(hash string) uint64 {
	var b [8]byte
	copy(b[:], hash)
	return binary.BigEndian.Uint64(b[:])
}

// Recheck finds, inside the state machine, what the identity behind a command may do
// at the time now, in Unix nanoseconds. It returns nil when there is no such identity
// any more. It depends on the state and on its arguments alone; the Compiler only saves
// time.
func (tx *Tx) Recheck(c *Checked, now int64, with *Compiler) *Authorizer {
	return recheck(tx, c, now, with)
}

// recheck is Recheck in a [Tx] or a [View].
func recheck(in interface {
	reader
	Meta() *Meta
	Token(accessor string) *Token
}, c *Checked, now int64, with *Compiler,
) *Authorizer {
	if c.Links != nil {
		// Which rules have led to these links is not known here. Where one of them may
		// be gone, a certificate is nobody until it is looked at again.
		if m := in.Meta(); m.Bindings > c.Index || m.Methods > c.Index {
			return nil
		}
		return with.authorizer(reach(in, c.Links, c.Datacenter), c.Vars, c.Default)
	}
	t := in.Token(c.Accessor)
	if t == nil || t.ExpiredAt(time.Unix(0, now)) || !t.knows(c.Secret, now) {
		return nil
	}
	return with.authorizer(reach(in, &t.Links, c.Datacenter), t.Vars, c.Default)
}

// knows tells whether a secret is one of the token's; see [Checked.Secret].
func (t *Token) knows(secret uint64, now int64) bool {
	return secret == 0 || secret == beginning(t.Hash) || secret == beginning(t.FormerHash) && now < unixNano(t.FormerUntil)
}
