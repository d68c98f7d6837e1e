package acl

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"
	"pgregory.net/rapid"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// world is the tables with a log of commands in front.
type world struct {
	db    *memdb.MemDB
	index uint64
	now   time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: Schema()})
	if err != nil {
		t.Fatal(err)
	}
	return &world{db: db.Snapshot(), now: time.Unix(1_000_000, 0).UTC()}
}

func (w *world) view() View { return NewView(w.db.Txn(false)) }

// do applies one change as the state machine does.
func (w *world) do(c *Change) Outcome {
	w.index++
	txn := w.db.Txn(true)
	defer txn.Abort()
	tx := Begin(txn.Snapshot())
	out := tx.Apply(w.index, w.now, c)
	if out.Applied {
		tx.Accept()
	} else {
		tx.Reject()
	}
	tx.Flush(txn)
	txn.Commit()
	return out
}

func (w *world) must(t testing.TB, c *Change) {
	t.Helper()
	if out := w.do(c); !out.Applied {
		t.Fatalf("refused: %q", out.Invalid)
	}
}

var testKey = []byte("key of the tests")

// ready is a world that was made ready, without a management token.
func ready(t testing.TB) *world {
	w := newWorld(t)
	w.must(t, &Change{Init: &Init{Key: testKey, Anonymous: &Token{Accessor: AnonymousAccessor, Secret: AnonymousSecret, Hash: HashSecret(testKey, AnonymousSecret)}}})
	return w
}

func uuid(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n+1) }

func testToken(n int, links Links) *Token {
	secret := uuid(n + 1<<20)
	return &Token{Accessor: uuid(n), Secret: secret, Hash: HashSecret(testKey, secret), Links: links}
}

func testPolicy(n int, rules string) *Policy {
	return &Policy{ID: uuid(n), Name: fmt.Sprintf("Policy-%d", n), Rules: rules}
}

// checkRefs holds the refs against the rows: none is missing, none leads nowhere.
func checkRefs(t interface{ Fatalf(string, ...any) }, v View) {
	want := map[string]string{}
	add := func(to string, refs []string) {
		for _, id := range refs {
			if old, twice := want[id]; twice && old != to {
				t.Fatalf("ref %q leads to %s and to %s", id, old, to)
			}
			want[id] = to
		}
	}
	v.Tokens(func(x *Token) bool { add(x.Accessor, x.refs()); return true })
	v.Policies(func(x *Policy) bool {
		if x == nil {
			t.Fatalf("the name of a policy leads nowhere")
		}
		return true
	})
	staging.Walk(v.txn, tablePolicies, "", func(x *Policy) bool { add(x.ID, x.refs()); return true })
	staging.Walk(v.txn, tableRoles, "", func(x *Role) bool { add(x.ID, x.refs()); return true })
	v.Bindings("", func(x *BindingRule) bool { add(x.ID, x.refs()); return true })
	have := map[string]string{}
	staging.Walk(v.txn, tableRefs, "", func(r *ref) bool { have[r.id] = r.to; return true })
	if !maps.Equal(want, have) {
		t.Fatalf("refs are %q\nwant %q", slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(want)))
	}
}

// model is the tables as simple maps.
type model struct {
	tokens   map[string][2][]string // accessor: policies, roles
	policies map[string]string      // id: lower-case name
	roles    map[string][]string    // id: policies
}

// TestTablesModel: random changes leave what a naive model says, refs included.
func TestTablesModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := ready(t)
		m := model{tokens: map[string][2][]string{}, policies: map[string]string{ManagementID: ManagementName, ReadOnlyID: ReadOnlyName}, roles: map[string][]string{}}
		id := func(label string) string { return uuid(rapid.IntRange(0, 5).Draw(r, label)) }
		ids := func(label string) []string {
			return rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 5), uuid), 0, 3).Draw(r, label)
		}
		allIn := func(ids []string, has func(string) bool) bool {
			return !slices.ContainsFunc(ids, func(id string) bool { return !has(id) })
		}
		isPolicy := func(id string) bool { _, ok := m.policies[id]; return ok }
		isRole := func(id string) bool { _, ok := m.roles[id]; return ok }
		expect := func(c *Change, want bool) {
			before := w.view().Index()
			out := w.do(c)
			if out.Applied != want {
				r.Fatalf("applied %t (%q), want %t", out.Applied, out.Invalid, want)
			}
			if moved := w.view().Index() != before; moved != want {
				r.Fatalf("the index moved: %t, want %t", moved, want)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"set policy": func(r *rapid.T) {
				p := &Policy{ID: id("policy"), Name: rapid.SampledFrom([]string{"a", "A", "b", "c"}).Draw(r, "name")}
				old, exists := m.policies[p.ID]
				if rapid.Bool().Draw(r, "update") {
					p.CreateIndex = 1
				}
				taken := false
				for other, name := range m.policies {
					taken = taken || other != p.ID && name == strings.ToLower(p.Name)
				}
				_ = old
				want := exists == (p.CreateIndex == 1) && !taken
				expect(&Change{SetPolicy: p}, want)
				if want {
					m.policies[p.ID] = strings.ToLower(p.Name)
				}
			},
			"delete policy": func(r *rapid.T) {
				p := id("policy")
				expect(&Change{DeletePolicy: p}, isPolicy(p))
				delete(m.policies, p)
				for a, t := range m.tokens {
					m.tokens[a] = [2][]string{without(t[0], p), t[1]}
				}
				for id, links := range m.roles {
					m.roles[id] = without(links, p)
				}
			},
			"set role": func(r *rapid.T) {
				x := &Role{ID: id("role"), Links: Links{Policies: ids("policies")}}
				x.Name = "role-" + x.ID
				_, exists := m.roles[x.ID]
				if exists {
					x.CreateIndex = 1
				}
				want := allIn(x.Policies, isPolicy)
				expect(&Change{SetRole: x}, want)
				if want {
					m.roles[x.ID] = unique(x.Policies)
				}
			},
			"delete role": func(r *rapid.T) {
				x := id("role")
				expect(&Change{DeleteRole: x}, isRole(x))
				delete(m.roles, x)
				for a, t := range m.tokens {
					m.tokens[a] = [2][]string{t[0], without(t[1], x)}
				}
			},
			"set token": func(r *rapid.T) {
				n := rapid.IntRange(0, 5).Draw(r, "token")
				x := testToken(n, Links{Policies: ids("policies"), Roles: ids("roles")})
				_, exists := m.tokens[x.Accessor]
				create := rapid.Bool().Draw(r, "create")
				want := exists != create && allIn(x.Policies, isPolicy) && allIn(x.Roles, isRole)
				expect(&Change{SetToken: &SetToken{Token: x, Create: create}}, want)
				if want {
					m.tokens[x.Accessor] = [2][]string{unique(x.Policies), unique(x.Roles)}
				}
			},
			"delete token": func(r *rapid.T) {
				x := id("token")
				_, exists := m.tokens[x]
				expect(&Change{DeleteTokens: &DeleteTokens{Accessors: []string{x}}}, exists)
				delete(m.tokens, x)
			},
			"rotate": func(r *rapid.T) {
				x := id("token")
				_, exists := m.tokens[x]
				secret := fmt.Sprint(w.index)
				expect(&Change{Rotate: &Rotate{Accessor: x, Hash: HashSecret(testKey, secret), Secret: secret}}, exists)
			},
			"": func(r *rapid.T) {
				v := w.view()
				checkRefs(r, v)
				count := 0
				v.Tokens(func(x *Token) bool {
					if x.Accessor == AnonymousAccessor {
						return true
					}
					count++
					want, ok := m.tokens[x.Accessor]
					if !ok || !slices.Equal(x.Policies, want[0]) || !slices.Equal(x.Roles, want[1]) {
						r.Fatalf("token %s links %v and %v, want %v", x.Accessor, x.Policies, x.Roles, want)
					}
					if v.TokenByHash(x.Hash) != x {
						r.Fatalf("token %s is not found by its hash", x.Accessor)
					}
					return true
				})
				if count != len(m.tokens) {
					r.Fatalf("%d tokens, want %d", count, len(m.tokens))
				}
				for id, name := range m.policies {
					if p := v.Policy(id); p == nil || strings.ToLower(p.Name) != name || v.PolicyByName(strings.ToUpper(name)) != p {
						r.Fatalf("policy %s: %+v, want the name %q", id, p, name)
					}
				}
				for id, links := range m.roles {
					if x := v.Role(id); x == nil || !slices.Equal(x.Policies, links) {
						r.Fatalf("role %s: %+v, want %v", id, x, links)
					}
				}
			},
		})
	})
}

func TestRefusals(t *testing.T) {
	w := ready(t)
	w.must(t, &Change{SetPolicy: testPolicy(1, `key_prefix "" { policy = "read" }`)})
	w.must(t, &Change{SetToken: &SetToken{Token: testToken(1, Links{}), Create: true}})
	w.must(t, &Change{SetMethod: &AuthMethod{Name: "m", Type: "jwt"}})
	w.must(t, &Change{SetBinding: &BindingRule{ID: uuid(1), Method: "m"}})
	boot := &Change{Bootstrap: &Bootstrap{Token: testToken(2, Links{Policies: []string{ManagementID}})}}
	w.must(t, boot)
	at := w.index
	sameSecret := testToken(3, Links{})
	sameSecret.Secret, sameSecret.Hash = testToken(1, Links{}).Secret, testToken(1, Links{}).Hash
	accessorIsSecret := testToken(4, Links{})
	accessorIsSecret.Accessor = testToken(1, Links{}).Secret
	secretIsAccessor := testToken(5, Links{})
	secretIsAccessor.Secret = uuid(1)
	secretIsAccessor.Hash = HashSecret(testKey, uuid(1))
	reset := func(n uint64) *Change {
		return &Change{Bootstrap: &Bootstrap{Token: testToken(6, Links{}), Reset: n}}
	}
	for _, tc := range []struct {
		what   string
		change *Change
		want   string
	}{
		{"an accessor that is taken", &Change{SetToken: &SetToken{Token: testToken(1, Links{}), Create: true}}, "Invalid Token: AccessorID is already in use"},
		{"a secret that is taken", &Change{SetToken: &SetToken{Token: sameSecret, Create: true}}, "Invalid Token: SecretID is already in use"},
		{"an accessor that is a secret", &Change{SetToken: &SetToken{Token: accessorIsSecret, Create: true, AccessorHash: HashSecret(testKey, accessorIsSecret.Accessor)}}, "Invalid Token: AccessorID is already in use"},
		{"a secret that is an accessor", &Change{SetToken: &SetToken{Token: secretIsAccessor, Create: true}}, "Invalid Token: SecretID is already in use"},
		{"an update of nothing", &Change{SetToken: &SetToken{Token: testToken(9, Links{})}}, `Cannot find token "` + uuid(9) + `"`},
		{"a link to no policy", &Change{SetToken: &SetToken{Token: testToken(9, Links{Policies: []string{uuid(9)}}), Create: true}}, `No such ACL policy with ID "` + uuid(9) + `"`},
		{"a link to no role", &Change{SetToken: &SetToken{Token: testToken(9, Links{Roles: []string{uuid(9)}}), Create: true}}, `No such ACL role with ID "` + uuid(9) + `"`},
		{"a role's link to no policy", &Change{SetRole: &Role{ID: uuid(1), Name: "r", Links: Links{Policies: []string{uuid(9)}}}}, "No such policy with ID: " + uuid(9)},
		{"a second bootstrap", boot, fmt.Sprintf("Permission denied: ACL bootstrap no longer allowed (reset index: %d)", at)},
		{"a reset with another index", reset(at + 1), fmt.Sprintf("Invalid bootstrap reset index (specified %d, reset index: %d)", at+1, at)},
		{"the end of the anonymous token", &Change{DeleteTokens: &DeleteTokens{Accessors: []string{AnonymousAccessor}}}, "Delete operation not permitted on the anonymous token"},
		{"the end of a policy that every cluster has", &Change{DeletePolicy: ManagementID}, "Delete operation not permitted on the builtin global-management policy"},
		{"other rules for it", &Change{SetPolicy: &Policy{ID: ManagementID, Name: ManagementName, Rules: "", CreateIndex: 1}}, "Changing the Rules or Datacenters of the builtin global-management policy is not permitted"},
		{"a policy that is not there", &Change{SetPolicy: &Policy{ID: uuid(9), Name: "x", CreateIndex: 1}}, "cannot find policy " + uuid(9)},
		{"a name in another case", &Change{SetPolicy: &Policy{ID: uuid(9), Name: "POLICY-1"}}, `Invalid Policy: A Policy with Name "POLICY-1" already exists`},
		{"another type", &Change{SetMethod: &AuthMethod{Name: "m", Type: "cert"}}, "the Type field of an Auth Method is immutable"},
		{"another method", &Change{SetBinding: &BindingRule{ID: uuid(1), Method: "n", CreateIndex: 1}}, "the AuthMethod field of an Binding Rule is immutable"},
		{"a rule for no method", &Change{SetBinding: &BindingRule{ID: uuid(2), Method: "n"}}, `cannot find auth method with name "n"`},
		{"a deletion of nothing", &Change{DeleteTokens: &DeleteTokens{Accessors: []string{uuid(9)}}}, ""},
		{"a change that says nothing", &Change{}, "the change says nothing"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			before := w.view().Index()
			out := w.do(tc.change)
			if out.Applied || out.Invalid != tc.want {
				t.Errorf("applied %t, %q; want %q", out.Applied, out.Invalid, tc.want)
			}
			if now := w.view().Index(); now != before {
				t.Errorf("the index moved from %d to %d", before, now)
			}
			checkRefs(t, w.view())
		})
	}
	if out := w.do(reset(at)); !out.Applied {
		t.Errorf("a reset with the right index: %q", out.Invalid)
	}
	if got := w.view().BootstrapIndex(); got != w.index {
		t.Errorf("the reset index is %d, want %d", got, w.index)
	}
}

func TestDeletedMethodTakesItsOwn(t *testing.T) {
	w := ready(t)
	w.must(t, &Change{SetMethod: &AuthMethod{Name: "m", Type: "jwt"}})
	w.must(t, &Change{SetMethod: &AuthMethod{Name: "m2", Type: "jwt"}})
	for i, method := range []string{"m", "m", "m2", ""} {
		x := testToken(i, Links{})
		x.Method = method
		w.must(t, &Change{SetToken: &SetToken{Token: x, Create: true, Login: method != ""}})
		if method != "" {
			w.must(t, &Change{SetBinding: &BindingRule{ID: uuid(i), Method: method}})
		}
	}
	if out := w.do(&Change{DeleteMethod: "m"}); !out.Applied || out.Deleted != 2 {
		t.Fatalf("%+v, want two tokens deleted", out)
	}
	v := w.view()
	for i, want := range []bool{false, false, true, true} {
		if got := v.Token(uuid(i)) != nil; got != want {
			t.Errorf("token %d is there: %t, want %t", i, got, want)
		}
	}
	count := 0
	v.Bindings("", func(*BindingRule) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d binding rules are left, want 1", count)
	}
	checkRefs(t, v)
}

func TestExpired(t *testing.T) {
	w := ready(t)
	for i, after := range []time.Duration{3 * time.Minute, time.Minute, 2 * time.Minute, 0} {
		x := testToken(i, Links{})
		if after > 0 {
			x.Expires = w.now.Add(after)
		}
		w.must(t, &Change{SetToken: &SetToken{Token: x, Create: true}})
	}
	for _, tc := range []struct {
		after time.Duration
		most  int
		want  []string
	}{
		{time.Minute - 1, 9, nil},
		{time.Minute, 9, []string{uuid(1)}}, // from the first nanosecond on
		{time.Hour, 9, []string{uuid(1), uuid(2), uuid(0)}},
		{time.Hour, 2, []string{uuid(1), uuid(2)}},
	} {
		if got := w.view().Expired(w.now.Add(tc.after), tc.most); !slices.Equal(got, tc.want) {
			t.Errorf("after %s: %v, want %v", tc.after, got, tc.want)
		}
	}
	// A token that was given more time in between stays.
	out := w.do(&Change{DeleteTokens: &DeleteTokens{Accessors: []string{uuid(1), uuid(2), uuid(3)}, Expired: w.now.Add(90 * time.Second)}})
	if out.Deleted != 1 || w.view().Token(uuid(1)) != nil || w.view().Token(uuid(2)) == nil || w.view().Token(uuid(3)) == nil {
		t.Errorf("%+v: only the one that has expired may go", out)
	}
}

func TestConvertForgetsSecrets(t *testing.T) {
	w := ready(t)
	w.must(t, &Change{SetToken: &SetToken{Token: testToken(1, Links{}), Create: true}})
	w.must(t, &Change{Convert: &Convert{Hashed: true}})
	w.must(t, &Change{SetToken: &SetToken{Token: testToken(2, Links{}), Create: true}})
	w.must(t, &Change{Bootstrap: &Bootstrap{Token: testToken(3, Links{})}})
	w.must(t, &Change{Rotate: &Rotate{Accessor: uuid(1), Hash: HashSecret(testKey, "new"), Secret: "new"}})
	w.view().Tokens(func(x *Token) bool {
		if x.Secret != "" && x.Accessor != AnonymousAccessor {
			t.Errorf("token %s still has a secret", x.Accessor)
		}
		if w.view().TokenByHash(x.Hash) != x {
			t.Errorf("token %s is not found any more", x.Accessor)
		}
		return true
	})
	if out := w.do(&Change{Convert: &Convert{Hashed: true}}); out.Applied {
		t.Error("a conversion of what is converted changed something")
	}
}

// TestTimesBeyondNanoseconds: a token that ends after the last moment that nanoseconds
// can count is not one that has ended.
func TestTimesBeyondNanoseconds(t *testing.T) {
	w := ready(t)
	far := testToken(1, Links{})
	far.Expires = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	w.must(t, &Change{SetToken: &SetToken{Token: far, Create: true}})
	if got := w.view().Expired(time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC), 10); len(got) != 0 {
		t.Errorf("expired: %v", got)
	}
	if got := w.view().Expired(far.Expires, 10); len(got) != 1 {
		t.Errorf("not expired at its end: %v", got)
	}
	if id := resolve(t, w.resolver(""), far.Secret); id.expired(w.now) || id.Checked.Expires != math.MaxInt64 {
		t.Errorf("expires at %d", id.Checked.Expires)
	}
}

// TestSecretThatCameLate: a server that did not know yet that only hashes are kept has put
// a secret into the log, which must leave the disk too.
func TestSecretThatCameLate(t *testing.T) {
	w := ready(t)
	w.must(t, &Change{Convert: &Convert{Hashed: true}})
	if at := w.view().Meta().HashedAt; at != w.index {
		t.Errorf("hashed at %d, want %d", at, w.index)
	}
	tok := testToken(1, Links{})
	tok.Secret = ""
	w.must(t, &Change{SetToken: &SetToken{Token: tok, Create: true}})
	if at := w.view().Meta().HashedAt; at != w.index-1 {
		t.Errorf("hashed at %d after a token without a secret, want %d", at, w.index-1)
	}
	w.must(t, &Change{SetToken: &SetToken{Token: testToken(2, Links{}), Create: true}})
	if at := w.view().Meta().HashedAt; at != w.index || w.view().Token(uuid(2)).Secret != "" {
		t.Errorf("hashed at %d after a token with one, want %d; it is kept: %v", at, w.index, w.view().Token(uuid(2)).Secret != "")
	}
	w.must(t, &Change{Rotate: &Rotate{Accessor: uuid(1), Hash: "hash", Secret: "secret"}})
	if at := w.view().Meta().HashedAt; at != w.index || w.view().Token(uuid(1)).Secret != "" {
		t.Errorf("hashed at %d after a rotation with one, want %d", at, w.index)
	}
}

// TestInitWithAnotherKey: what was hashed with a key that is not the state's can never be
// found, so nothing of it is taken.
func TestInitWithAnotherKey(t *testing.T) {
	w := ready(t)
	out := w.do(&Change{Init: &Init{Key: []byte("another"), Management: testToken(1, Links{Policies: []string{ManagementID}})}})
	if out.Applied || w.view().Token(uuid(1)) != nil || w.view().BootstrapIndex() != 0 {
		t.Errorf("applied: %+v", out)
	}
}

// BenchmarkDeletePolicy deletes a policy that every token links.
func BenchmarkDeletePolicy(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		w := manyTokens(b, 10, 100_000)
		id := ""
		most := 0
		w.view().Policies(func(p *Policy) bool {
			n := 0
			w.view().Tokens(func(t *Token) bool {
				if slices.Contains(t.Policies, p.ID) {
					n++
				}
				return true
			})
			if n > most {
				id, most = p.ID, n
			}
			return true
		})
		b.StartTimer()
		w.must(b, &Change{DeletePolicy: id})
		b.ReportMetric(float64(most), "tokens")
	}
}
