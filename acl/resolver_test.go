package acl

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const readAll = `key_prefix "" { policy = "read" }`

// resolver reads the world, by its clock.
func (w *world) resolver(recovery string) *Resolver {
	return NewResolver(w.view, Settings{
		Datacenter: "dc1", NodeName: "node1",
		Now:      func() time.Time { return w.now },
		Recovery: func() string { return recovery },
	})
}

// lasts has a Last for each Resolver, which is asked for everything that it is.
var lasts sync.Map

// resolveBoth asks both ways, and once more with what is known by then.
func resolveBoth(t testing.TB, r *Resolver, secret string) (*Identity, error) {
	t.Helper()
	id, err := r.Resolve(secret)
	last, _ := lasts.LoadOrStore(r, new(Last))
	for range 2 {
		same, sameErr := r.ResolveFor(last.(*Last), secret)
		if sameErr != err || (same == nil) != (id == nil) || id != nil && same != id && !id.Checked.Trusted {
			t.Errorf("with what was known of the last one: %+v, %v; without: %+v, %v", same, sameErr, id, err)
		}
	}
	return id, err
}

func resolve(t testing.TB, r *Resolver, secret string) *Identity {
	t.Helper()
	id, err := resolveBoth(t, r, secret)
	if err != nil {
		t.Fatalf("resolve: %v", err)
	}
	return id
}

func refused(t *testing.T, r *Resolver, secret string, want error) {
	t.Helper()
	if id, err := resolveBoth(t, r, secret); id != nil || !errors.Is(err, want) {
		t.Errorf("got %+v, %v; want the error %q", id, err, want)
	}
}

func TestResolve(t *testing.T) {
	w := newWorld(t)
	r := w.resolver("")
	refused(t, r, uuid(1), ErrNotBootstrapped)
	if id := resolve(t, r, ""); id.Accessor != AnonymousAccessor || id.Auth.Allow(ResourceKey, AccessRead, "a") {
		t.Error("before the tables are ready there is the anonymous token, without rights")
	}
	w.must(t, &Change{Init: &Init{
		Key: testKey, Anonymous: &Token{Accessor: AnonymousAccessor, Secret: AnonymousSecret, Hash: HashSecret(testKey, AnonymousSecret)},
		Management: testToken(0, Links{Policies: []string{ManagementID}}),
	}})
	manager := resolve(t, r, testToken(0, Links{}).Secret)
	if !manager.Auth.Allow(ResourceACL, AccessWrite, "") || manager.Checked.Accessor != uuid(0) || manager.Checked.Index != w.index {
		t.Errorf("the management token: %+v", manager.Checked)
	}
	if again := resolve(t, r, testToken(0, Links{}).Secret); again != manager {
		t.Error("an identity is found anew though nothing has changed")
	}
	if resolve(t, r, "anonymous") != resolve(t, r, "") {
		t.Error("the word and no token are the same")
	}
	refused(t, r, uuid(1), ErrNotFound)
	refused(t, r, uuid(0), ErrNotFound)     // an accessor is no secret
	refused(t, r, "Anonymous", ErrNotFound) // case counts
	for _, word := range []string{"allow", "deny", "manage"} {
		refused(t, r, word, ErrRoot)
	}
}

// TestRevokedAtOnce: what an identity may do follows the tables, whatever is kept.
func TestRevokedAtOnce(t *testing.T) {
	w := ready(t)
	w.must(t, &Change{Bootstrap: &Bootstrap{Token: testToken(9, Links{Policies: []string{ManagementID}})}})
	w.must(t, &Change{SetPolicy: testPolicy(1, readAll)})
	w.must(t, &Change{SetRole: &Role{ID: uuid(1), Name: "r", Links: Links{Policies: []string{uuid(1)}}}})
	w.must(t, &Change{SetToken: &SetToken{Token: testToken(1, Links{Roles: []string{uuid(1)}}), Create: true}})
	r := w.resolver("")
	secret := testToken(1, Links{}).Secret
	first := resolve(t, r, secret)
	if !first.Auth.Allow(ResourceKey, AccessRead, "a") {
		t.Fatal("the role's policy does not reach the token")
	}
	// A change that has nothing to do with it leaves the Authorizer.
	w.must(t, &Change{SetToken: &SetToken{Token: testToken(2, Links{}), Create: true}})
	again, err := r.Again(first)
	if err != nil || again.Auth != first.Auth || again.Index != w.index {
		t.Errorf("after another's change: %v, the same Authorizer %t, index %d of %d", err, again.Auth == first.Auth, again.Index, w.index)
	}
	w.must(t, &Change{SetPolicy: &Policy{ID: uuid(1), Name: "p", Rules: "", CreateIndex: 1}})
	if resolve(t, r, secret).Auth.Allow(ResourceKey, AccessRead, "a") {
		t.Error("the right outlived the rule")
	}
	if again, err = r.Again(first); err != nil || again.Auth.Allow(ResourceKey, AccessRead, "a") {
		t.Error("the right outlived the rule for whoever waits")
	}
	w.must(t, &Change{DeleteTokens: &DeleteTokens{Accessors: []string{uuid(1)}}})
	refused(t, r, secret, ErrNotFound)
	if _, err = r.Again(first); !errors.Is(err, ErrNotFound) {
		t.Errorf("a deleted token, again: %v", err)
	}
	// Another state with the same index is another state.
	other := ready(t)
	for other.index < w.index {
		other.must(t, &Change{SetPolicy: testPolicy(int(other.index)+100, readAll)})
	}
	other.must(t, &Change{SetToken: &SetToken{Token: testToken(1, Links{Policies: []string{ManagementID}}), Create: true}})
	other.index, w.db = w.index, other.db
	if !resolve(t, r, secret).Auth.Allow(ResourceACL, AccessWrite, "") {
		t.Error("what was kept outlived the state")
	}
}

func TestExpiryAndRotation(t *testing.T) {
	w := ready(t)
	x := testToken(1, Links{})
	x.Expires = w.now.Add(time.Hour)
	w.must(t, &Change{SetToken: &SetToken{Token: x, Create: true}})
	w.must(t, &Change{Bootstrap: &Bootstrap{Token: testToken(9, Links{})}})
	r := w.resolver("")
	old := resolve(t, r, x.Secret)
	if old.Checked.Expires != x.Expires.UnixNano() {
		t.Errorf("expires at %d, want %d", old.Checked.Expires, x.Expires.UnixNano())
	}
	w.must(t, &Change{Rotate: &Rotate{Accessor: x.Accessor, Hash: HashSecret(testKey, "fresh"), FormerUntil: w.now.Add(time.Minute)}})
	former := resolve(t, r, x.Secret)
	if former.Accessor != x.Accessor || former.Checked.Expires != w.now.Add(time.Minute).UnixNano() {
		t.Errorf("the former secret: %+v", former.Checked)
	}
	fresh := resolve(t, r, "fresh")
	w.now = w.now.Add(time.Minute)
	refused(t, r, x.Secret, ErrNotFound)
	if _, err := r.Again(former); !errors.Is(err, ErrNotFound) {
		t.Errorf("the former secret after its time: %v", err)
	}
	if got := resolve(t, r, "fresh"); got != fresh {
		t.Error("the new secret is not what it was")
	}
	w.now = x.Expires.Add(-1)
	resolve(t, r, "fresh")
	w.now = x.Expires
	refused(t, r, "fresh", ErrNotFound)
	if _, err := r.Again(fresh); !errors.Is(err, ErrNotFound) {
		t.Errorf("an expired token, again: %v", err)
	}
	if _, err := r.ResolveAccessor(x.Accessor); !errors.Is(err, ErrNotFound) {
		t.Errorf("an expired token by its accessor: %v", err)
	}
}

func TestRecoveryToken(t *testing.T) {
	w := newWorld(t) // no tables are needed
	secret := "recovery-secret"
	r := NewResolver(w.view, Settings{NodeName: "node1", Now: func() time.Time { return w.now }, Recovery: func() string { return secret }})
	id := resolve(t, r, secret)
	if id.Accessor != "agent-recovery:node1" || !id.Checked.Trusted {
		t.Errorf("%+v", id.Checked)
	}
	for _, tc := range []struct {
		resource Resource
		access   Access
		name     string
		want     bool
	}{
		{ResourceAgent, AccessWrite, "node1", true},
		{ResourceAgent, AccessRead, "node2", false},
		{ResourceNode, AccessRead, "node2", true},
		{ResourceNode, AccessWrite, "node1", false},
		{ResourceKey, AccessRead, "a", false},
		{ResourceOperator, AccessRead, "", false},
	} {
		if got := id.Auth.Allow(tc.resource, tc.access, tc.name); got != tc.want {
			t.Errorf("%s:%s on %q: %t, want %t", tc.resource, tc.access, tc.name, got, tc.want)
		}
	}
	secret = "another"
	refused(t, r, "recovery-secret", ErrNotBootstrapped)
	secret = ""
	if id := resolve(t, r, ""); id.Accessor != AnonymousAccessor {
		t.Error("an empty slot let somebody in")
	}
}

func TestResolveLinks(t *testing.T) {
	w := ready(t)
	w.must(t, &Change{SetPolicy: testPolicy(1, `key_prefix "production/${name}/" { policy = "write" }`)})
	r := w.resolver("")
	links := Links{Policies: []string{uuid(1)}}
	id, err := r.ResolveLinks("cert:tls:web", links, map[string]string{"name": "web"}, w.now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !id.Auth.Allow(ResourceKey, AccessWrite, "production/web/a") || id.Auth.Allow(ResourceKey, AccessRead, "production/db/a") {
		t.Error("the name in the certificate does not bound the rule")
	}
	if id.Checked.Links == nil || id.Checked.Vars["name"] != "web" || id.Checked.Expires != w.now.Add(time.Hour).UnixNano() {
		t.Errorf("%+v", id.Checked)
	}
	tx := Begin(w.db.Txn(false))
	if auth := tx.Recheck(id.Checked, w.now.UnixNano(), NewCompiler()); auth == nil || !auth.Allow(ResourceKey, AccessWrite, "production/web/a") || auth.Allow(ResourceKey, AccessRead, "production/db/a") {
		t.Error("checked again, the rights are others")
	}
	if _, err := r.ResolveLinks("cert:tls:web", links, nil, w.now); !errors.Is(err, ErrNotFound) {
		t.Errorf("an expired certificate: %v", err)
	}
}

func TestOtherDatacenters(t *testing.T) {
	w := ready(t)
	here, there := testPolicy(1, `key "here" { policy = "read" }`), testPolicy(2, `key "there" { policy = "read" }`)
	here.Datacenters, there.Datacenters = []string{"dc1"}, []string{"dc2"}
	w.must(t, &Change{SetPolicy: here})
	w.must(t, &Change{SetPolicy: there})
	w.must(t, &Change{SetToken: &SetToken{Create: true, Token: testToken(1, Links{
		Policies: []string{uuid(1), uuid(2)}, NodeIdentities: []NodeIdentity{{"a", "dc1"}, {"b", "dc2"}},
	})}})
	id := resolve(t, w.resolver(""), testToken(1, Links{}).Secret)
	for name, want := range map[string]bool{"here": true, "there": false} {
		if got := id.Auth.Allow(ResourceKey, AccessRead, name); got != want {
			t.Errorf("key %s: %t, want %t", name, got, want)
		}
	}
	for name, want := range map[string]bool{"a": true, "b": false} {
		if got := id.Auth.Allow(ResourceNode, AccessWrite, name); got != want {
			t.Errorf("node %s: %t, want %t", name, got, want)
		}
	}
}

// TestKeptIsBounded: guessing secrets fills nothing, and many tokens no more than the
// bound.
func TestKeptIsBounded(t *testing.T) {
	k := kept[int]{most: 3}
	for i := range 100 {
		if got := k.get(fmt.Sprint(i), func() int { return i }); got != i {
			t.Fatalf("got %d, want %d", got, i)
		}
		if len(k.m) > 3 {
			t.Fatalf("%d are kept", len(k.m))
		}
	}
	w := ready(t)
	r := w.resolver("")
	for i := range 1000 {
		refused(t, r, uuid(i), ErrNotBootstrapped)
	}
	g := r.now.Load()
	for i := range g.shards {
		if n := len(g.shards[i].found); n > 0 {
			t.Errorf("%d identities are kept of secrets that nobody has", n)
		}
	}
}

// manyTokens is a world with that many policies of 20 rules, and tokens with three of
// them each.
func manyTokens(t testing.TB, policies, tokens int) *world {
	w := ready(t)
	txn := w.db.Txn(true)
	random := rand.New(rand.NewPCG(1, 2))
	put := func(row any) {
		if err := Import(txn, row); err != nil {
			t.Fatal(err)
		}
	}
	for i := range policies {
		var rules strings.Builder
		for j := range 20 {
			fmt.Fprintf(&rules, "key_prefix \"apps/%d/part-%d/\" { policy = \"write\" }\n", i, j)
		}
		p := testPolicy(i, rules.String())
		p.ContentHash = p.Sum()
		put(p)
	}
	for i := range tokens {
		x := testToken(i, Links{Policies: []string{uuid(random.IntN(policies)), uuid(random.IntN(policies)), uuid(random.IntN(policies))}})
		put(x)
	}
	txn.Commit()
	return w
}

// BenchmarkResolveKnown is what every request pays.
func BenchmarkResolveKnown(b *testing.B) {
	w := manyTokens(b, 1000, 100)
	view := w.view()
	r := NewResolver(func() View { return view }, Settings{Now: time.Now})
	secret := testToken(1, Links{}).Secret
	resolve(b, r, secret)
	b.ReportAllocs()
	for b.Loop() {
		resolve(b, r, secret)
	}
}

// BenchmarkResolveNew is the first request of a token, where servers have parsed all
// policies before.
func BenchmarkResolveNew(b *testing.B) {
	const tokens = 10_000
	w := manyTokens(b, 1000, tokens)
	view := w.view()
	r := NewResolver(func() View { return view }, Settings{Now: time.Now})
	secrets := make([]string, tokens)
	for i := range secrets {
		secrets[i] = testToken(i, Links{}).Secret
	}
	took := make([]time.Duration, 0, tokens)
	b.ReportAllocs()
	r.Warm()
	i := 0
	for b.Loop() {
		if i == tokens { // all are known by now
			b.StopTimer()
			r = NewResolver(func() View { return view }, Settings{Now: time.Now})
			r.Warm()
			i = 0
			b.StartTimer()
		}
		began := time.Now()
		resolve(b, r, secrets[i])
		if len(took) < cap(took) {
			took = append(took, time.Since(began))
		}
		i++
	}
	reportTail(b, took)
}

func reportTail(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func TestResolveAllocatesNothing(t *testing.T) {
	w := manyTokens(t, 10, 10)
	view := w.view()
	r := NewResolver(func() View { return view }, Settings{Now: time.Now})
	secret := testToken(1, Links{}).Secret
	resolve(t, r, secret)
	if n := testing.AllocsPerRun(100, func() { _, _ = r.Resolve(secret) }); n > 0 {
		t.Errorf("%v allocations for a token that is known", n)
	}
	var last Last
	if n := testing.AllocsPerRun(100, func() { _, _ = r.ResolveFor(&last, secret) }); n > 0 {
		t.Errorf("%v allocations for the token that came last", n)
	}
}

// TestNoSecretIsPrinted: whoever prints a token by accident prints no secret.
func TestNoSecretIsPrinted(t *testing.T) {
	x := testToken(1, Links{})
	for _, v := range []any{x, *x, &SetToken{Token: x}, &Bootstrap{Token: x}, &Rotate{Accessor: "a", Secret: x.Secret}, &Identity{Token: x}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if got := fmt.Sprintf(format, v); strings.Contains(got, x.Secret) {
				t.Errorf("%T as %s: %s", v, format, got)
			}
		}
	}
}

// TestWarmParsesEveryPolicy, once.
func TestWarmParsesEveryPolicy(t *testing.T) {
	w := manyTokens(t, 10, 10)
	r := w.resolver("")
	r.Warm()
	if n := len(r.compiler.rules.m); n != 12 { // with the built-in ones
		t.Fatalf("%d policies are parsed, want 12", n)
	}
	w.view().Policies(func(p *Policy) bool {
		if r.compiler.parsed(p) == nil {
			t.Errorf("policy %s has no rules", p.Name)
		}
		return true
	})
	if n := len(r.compiler.rules.m); n != 12 {
		t.Errorf("%d policies are parsed after they were asked for, want 12", n)
	}
}

// TestRecoveryTokenThatIsAToken: it stands for this server's recovery from when it is made
// that, also when it was in use before, and until it is not that any more.
func TestRecoveryTokenThatIsAToken(t *testing.T) {
	w, recovery, secret := ready(t), "", testToken(9, Links{}).Secret
	w.must(t, &Change{Bootstrap: &Bootstrap{Token: testToken(9, Links{Policies: []string{ManagementID}})}})
	r := NewResolver(w.view, Settings{Datacenter: "dc1", NodeName: "node1", Now: time.Now, Recovery: func() string { return recovery }})
	for _, step := range []struct{ recovery, want string }{{"", uuid(9)}, {secret, "agent-recovery:node1"}, {"", uuid(9)}} {
		recovery = step.recovery
		r.Forget()
		for range 2 {
			if who := resolve(t, r, secret); who.Accessor != step.want {
				t.Errorf("with the recovery token %q it is %s, want %s", step.recovery, who.Accessor, step.want)
			}
		}
	}
}

// TestTokensOfPoliciesShareTheirWay: the way of a policy that a token itself has is kept once, and
// what another token reaches in two ways does not change it.
func TestTokensOfPoliciesShareTheirWay(t *testing.T) {
	w := ready(t)
	w.must(t, &Change{SetPolicy: testPolicy(1, `key "a" { policy = "read" }`)})
	w.must(t, &Change{SetRole: &Role{ID: uuid(2), Name: "two", Links: Links{Policies: []string{uuid(1)}}}})
	direct := Links{Policies: []string{uuid(1)}}
	both := Links{Policies: []string{uuid(1)}, Roles: []string{uuid(2)}}
	a, b, c := reach(w.view(), &direct, ""), reach(w.view(), &both, ""), reach(w.view(), &direct, "")
	if &a[0].via[0] != &c[0].via[0] {
		t.Error("each has its own")
	}
	if want := []string{"token", "role:two"}; !slices.Equal(b[0].via, want) {
		t.Errorf("got %v, want %v", b[0].via, want)
	}
	if want := []string{"token"}; !slices.Equal(c[0].via, want) {
		t.Errorf("got %v, want %v", c[0].via, want)
	}
}
