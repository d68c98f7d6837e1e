package fsm

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// ending is a command for which the right to delete is looked at where it is applied.
func ending(c Command) Command {
	c.Ending = true
	return c
}

// The sessions of these tests; the third is not there.
const (
	deleter  = "de1e7e00-0000-0000-0000-00000000000d"
	releaser = "4e1ea5e0-0000-0000-0000-00000000000f"
	nobody   = "00000000-0000-0000-0000-000000000001"
)

func testBehaviors(id string) (session.Behavior, bool) {
	switch strings.ToLower(id) {
	case deleter:
		return session.Delete, true
	case releaser:
		return session.Release, true
	}
	return 0, false
}

// TestRightsOfWritesThatEndTheirKeys: what a write asks for, and whether it is one for
// which that must be asked again.
func TestRightsOfWritesThatEndTheirKeys(t *testing.T) {
	lock := func(id string) kvs.Op { return kvs.Op{Verb: kvs.Lock, Key: "k", Session: id} }
	is := func(v kvs.Verb) kvs.Op { return kvs.Op{Verb: v, Key: "k", Session: deleter} }
	for _, tc := range []struct {
		rule  string
		op    kvs.Op
		ties  Ties
		needs string
		may   bool // it may end its key, as far as can be known
	}{
		{"a put", set("k", "v"), Ties{}, "write", false},
		{"a put with a time", set("k", "v"), Ties{TTL: time.Second}, "write delete", true},
		{"a put with a session", set("k", "v"), Ties{Owner: releaser}, "write delete", true},
		{"one with a session that is not known", set("k", "v"), Ties{Owner: nobody}, "write delete", true},
		{"a check-and-set with a time", is(kvs.CAS), Ties{TTL: time.Second}, "write delete", true},
		{"a check-and-set, of a key that may have one", is(kvs.CAS), Ties{}, "write", false},
		{"a fenced put with a time", set("k", "v"), Ties{TTL: 1, FenceKey: "f"}, "write delete read", true},
		{"the time begun anew", set("k", "v"), Ties{Touch: true}, "write", false},
		{"a key made to stay", set("k", "v"), Ties{Persist: true}, "write", false},
		{"a sequential put", set("k", "v"), Ties{Sequential: true}, "write-prefix", false},
		{"a lock that is deleted", lock(deleter), Ties{}, "write delete", true},
		{"by the session in other letters", lock(strings.ToUpper(deleter)), Ties{}, "write delete", true},
		{"a lock that is released", lock(releaser), Ties{}, "write", false},
		{"one with a time", lock(releaser), Ties{TTL: 1}, "write delete", true},
		{"a lock of a session that is not known", lock(nobody), Ties{}, "write", true},
		{"a lock of no session", lock(""), Ties{}, "write", true},
		{"a release", is(kvs.Unlock), Ties{}, "write", false},
		{"a release with a time", is(kvs.Unlock), Ties{TTL: 1}, "write delete", true},
		{"a delete", is(kvs.Delete), Ties{}, "delete", false},
		{"a delete of what ends with a session", is(kvs.Delete), Ties{Owner: deleter}, "delete", false},
		{"a delete by comparison", is(kvs.DeleteCAS), Ties{}, "delete", false},
		{"a delete of a tree", is(kvs.DeleteTree), Ties{}, "write-prefix", false},
		{"a check of the holder", is(kvs.CheckSession), Ties{}, "read", false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var asked []string
			need := func(_ acl.Resource, a acl.Access, name string) error {
				asked = append(asked, a.String())
				if name != "k" && (a != acl.AccessRead || name != "f") {
					t.Errorf("%s is asked for %q", a, name)
				}
				return nil
			}
			took := func() string {
				defer func() { asked = nil }()
				return strings.Join(asked, " ")
			}
			if err := NeedWrite(&tc.op, &tc.ties, testBehaviors, need); err != nil || took() != tc.needs {
				t.Errorf("needs %q, want %q: %v", took(), tc.needs, err)
			}
			before := strings.Replace(tc.needs, "write delete", "write", 1)
			if err := NeedWrite(&tc.op, &tc.ties, nil, need); err != nil {
				t.Error(err)
			} else if got := took(); got != before {
				t.Errorf("an entry of before needs %q, want %q", got, before)
			}
			checked := &acl.Checked{Accessor: "a"}
			c := Command{Write: &tc.op, Ties: tc.ties, Checked: checked}
			if got := c.MayEnd(testBehaviors); got != tc.may {
				t.Errorf("may end its key: %v, want %v", got, tc.may)
			}
			for _, checked := range []*acl.Checked{nil, {Trusted: true}} {
				if c.Checked = checked; c.MayEnd(testBehaviors) {
					t.Errorf("nobody is to be asked, %+v, and it may end its key", checked)
				}
			}
			if tc.ties != (Ties{}) {
				return
			}
			mixed := MixedOp{KV: &tc.op}
			if err := NeedOp(&tc.op, testBehaviors, need); err != nil {
				t.Error(err)
			} else if got := took(); got != tc.needs {
				t.Errorf("in a transaction it needs %q, want %q", got, tc.needs)
			}
			if err := NeedMixedOp(nil, &mixed, testBehaviors, need); err != nil {
				t.Error(err)
			} else if got := took(); got != tc.needs {
				t.Errorf("in one with the catalog it needs %q, want %q", got, tc.needs)
			}
			node := MixedOp{Catalog: &catalog.Op{}}
			for _, c := range []Command{{Txn: []kvs.Op{set("a", "1"), tc.op}}, {Mixed: []MixedOp{node, mixed}}} {
				if c.Checked = checked; c.MayEnd(testBehaviors) != tc.may {
					t.Errorf("a transaction may end its key: %v, want %v", !tc.may, tc.may)
				}
			}
		})
	}
}

// TestWriterWithoutTheRightToDeleteMakesNothingEnd: where a command is applied that makes
// a key end by itself, the right to delete is looked at, if its entry says so: again, when
// the tables have changed, and for a lock in any case, since the server that took the
// request may not have known the session. Without that word the entry means what it did.
func TestWriterWithoutTheRightToDeleteMakesNothingEnd(t *testing.T) {
	const (
		mayAll = `key_prefix "" { policy = "write" }`
		denied = `Permission denied: token with AccessorID 'acc-secret' lacks permission 'key:delete' on "k"`
	)
	lock := func(id string) kvs.Op { return kvs.Op{Verb: kvs.Lock, Key: "k", Session: id} }
	mixed := func(op kvs.Op) Command {
		return Command{Mixed: []MixedOp{{KV: &op}, {Catalog: &catalog.Op{Verb: catalog.Get, Node: &catalog.Node{Name: "n1"}}}}}
	}
	for _, tc := range []struct {
		rule    string
		c       Command
		same    bool // refused in the tables that were looked at
		changed bool // refused in others
	}{
		{"a put", write(set("k", "v")), false, false},
		{"a time", Command{Write: &kvs.Op{Verb: kvs.Set, Key: "k"}, Ties: Ties{TTL: time.Minute}}, false, true},
		{"a session", Command{Write: &kvs.Op{Verb: kvs.CAS, Key: "k"}, Ties: Ties{Owner: releaser}}, false, true},
		{"a key made to stay", Command{Write: &kvs.Op{Verb: kvs.Set, Key: "k"}, Ties: Ties{Persist: true}}, false, false},
		{"a lock that is released", write(lock(releaser)), false, false},
		{"a lock that is deleted", write(lock(deleter)), true, true},
		{"by the session in other letters", write(lock(strings.ToUpper(deleter))), true, true},
		{"a lock of no session", write(lock(nobody)), false, false},
		{"in a transaction", txn(set("a", "1"), lock(deleter)), true, true},
		{"released, in a transaction", txn(set("a", "1"), lock(releaser)), false, false},
		{"in one with the catalog", mixed(lock(deleter)), true, true},
		{"released, in one with the catalog", mixed(lock(releaser)), false, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			for _, changed := range []bool{false, true} {
				for _, flag := range []bool{false, true} {
					for _, rules := range []string{mayAll, strings.Replace(mayAll, "}", `delete = "deny" }`, 1)} {
						m := guarded(t)
						policy := m.policy("p", mayAll)
						m.token("secret", policy)
						p := *m.store.View().ACL().Policy(policy)
						p.Rules = rules
						m.must(change(acl.Change{SetPolicy: &p}))
						m.must(Command{Register: &catalog.Registration{Node: catalog.Node{Name: "n1", Address: "a"}}})
						checked := m.checked("secret")
						for id, behavior := range map[string]session.Behavior{deleter: session.Delete, releaser: session.Release} {
							m.must(Command{Session: &session.Session{ID: id, Node: "n1", Behavior: behavior}})
						}
						if changed {
							m.token("of somebody else")
						}
						before := plain(t, m.store)
						c := with(tc.c, checked)
						c.Ending = flag
						res := m.do(c)
						want := flag && rules != mayAll && (changed && tc.changed || !changed && tc.same)
						text := res.Denied
						for _, e := range res.Errors {
							text += e.What
						}
						if !want {
							if strings.Contains(text, "Permission") || strings.Contains(text, "ACL") {
								t.Errorf("tables changed %v, word %v, %s: refused with %q", changed, flag, rules, text)
							}
							continue
						}
						if res.Applied || text != denied {
							t.Errorf("tables changed %v: applied %v, %q", changed, res.Applied, text)
						}
						if at := slices.IndexFunc(tc.c.Txn, func(op kvs.Op) bool { return op.Verb == kvs.Lock }); at >= 0 &&
							cmp.Diff([]TxnError{{at, denied}}, res.Errors) != "" {
							t.Errorf("operation %d is the one: %+v", at, res.Errors)
						}
						m.sameBut(before)
					}
				}
			}
		})
	}
}

// TestLockBeforeTheTablesAreReady: who asked was found to be anonymous before there was a
// token of that name. No rule can have taken the right to delete away.
func TestLockBeforeTheTablesAreReady(t *testing.T) {
	m := newMachine(t)
	m.must(Command{Register: &catalog.Registration{Node: catalog.Node{Name: "n1", Address: "a"}}})
	m.must(Command{Session: &session.Session{ID: deleter, Node: "n1", Behavior: session.Delete}})
	checked := m.checked("")
	if checked.Accessor != acl.AnonymousAccessor || checked.Index != 0 {
		t.Fatalf("it was asked for %+v", checked)
	}
	m.must(ending(with(write(kvs.Op{Verb: kvs.Lock, Key: "k", Session: deleter}), checked)))
}
