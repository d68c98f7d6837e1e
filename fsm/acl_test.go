package fsm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/event"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

var theKey = []byte("0123456789abcdef0123456789abcdef")

func change(c acl.Change) Command { return Command{ACL: &c} }

// guarded is a machine whose ACL tables are ready.
func guarded(t tb) *machine {
	m := newMachine(t)
	m.must(change(acl.Change{Init: &acl.Init{Key: theKey, Anonymous: &acl.Token{
		Accessor: acl.AnonymousAccessor, Secret: acl.AnonymousSecret, Hash: acl.HashSecret(theKey, acl.AnonymousSecret),
	}}}))
	return m
}

// must applies a command that is not refused.
func (m *machine) must(c Command) Result {
	m.t.Helper()
	res := m.do(c)
	if !res.Applied {
		m.t.Fatalf("refused: %+v", res)
	}
	return res
}

// policy makes a policy and returns its id.
func (m *machine) policy(name, rules string) string {
	m.t.Helper()
	id := fmt.Sprintf("99999999-0000-0000-0000-%012x", m.index)
	m.must(change(acl.Change{SetPolicy: &acl.Policy{ID: id, Name: name, Rules: rules}}))
	return id
}

// token makes a token with policies and returns its accessor.
func (m *machine) token(secret string, policies ...string) string {
	m.t.Helper()
	accessor := "acc-" + secret
	m.must(change(acl.Change{SetToken: &acl.SetToken{Create: true, Token: &acl.Token{
		Accessor: accessor, Secret: secret, Hash: acl.HashSecret(theKey, secret), Links: acl.Links{Policies: policies},
	}}}))
	return accessor
}

// resolver finds identities in the present state of the machine.
func (m *machine) resolver() *acl.Resolver {
	return acl.NewResolver(func() acl.View { return m.store.View().ACL() }, acl.Settings{
		Datacenter: "dc1", NodeName: "n1", Now: func() time.Time { return time.Unix(int64(m.index), 0) },
	})
}

// checked is what a server has found out about a secret in the state as it is now.
func (m *machine) checked(secret string) *acl.Checked {
	m.t.Helper()
	id, err := m.resolver().Resolve(secret)
	if err != nil {
		m.t.Fatal(err)
	}
	return id.Checked
}

func with(c Command, checked *acl.Checked) Command {
	c.Checked, c.Origin.Accessor = checked, checked.Accessor
	return c
}

// rightful is every kind of command that somebody may ask for, and what it needs.
func rightful(m *machine) map[string]struct {
	c     Command
	rules string
	text  string // of the refusal, behind the token's name; "" for the words alone
} {
	type row = struct {
		c     Command
		rules string
		text  string
	}
	m.must(Command{Register: &catalog.Registration{Node: catalog.Node{Name: "n1", Address: "a"}}})
	m.must(Command{Register: &catalog.Registration{
		Node: catalog.Node{Name: "n1", Address: "a"}, SkipNode: true, Service: &catalog.Service{ID: "i1", Name: "web"},
		Checks: []catalog.Check{{ID: "c1", ServiceID: "i1", Status: catalog.Passing}, {ID: "c2", Status: catalog.Passing}},
	}})
	m.must(Command{Session: &session.Session{ID: "5e551010-0000-0000-0000-000000000001", Node: "n1", Behavior: session.Release}})
	return map[string]row{
		"set":               {write(set("k", "v")), `key "k" { policy = "write" }`, `'key:write' on "k"`},
		"delete":            {write(del("k")), `key "k" { policy = "write" }`, `'key:write' on "k"`},
		"delete a tree":     {write(kvs.Op{Verb: kvs.DeleteTree, Key: "k"}), `key_prefix "k" { policy = "write" }`, `'key:write' on "k"`},
		"sequential":        {Command{Write: &kvs.Op{Verb: kvs.Set, Key: "q/"}, Ties: Ties{Sequential: true}}, `key_prefix "q/" { policy = "write" }`, `'key:write' on "q/"`},
		"fenced":            {Command{Write: &kvs.Op{Verb: kvs.Set, Key: "k"}, Ties: Ties{FenceKey: "l", Fence: 1}}, `key "k" { policy = "write" } key "l" { policy = "read" }`, `'key:write' on "k"`},
		"session":           {Command{Session: &session.Session{ID: "5e551010-0000-0000-0000-000000000002", Node: "n1", Behavior: session.Release}}, `session "n1" { policy = "write" }`, `'session:write' on "n1"`},
		"end of a session":  {Command{EndSession: &EndSession{IDs: []string{"5e551010-0000-0000-0000-000000000001"}}}, `session "n1" { policy = "write" }`, `'session:write' on "n1"`},
		"node":              {Command{Register: &catalog.Registration{Node: catalog.Node{Name: "n2", Address: "a"}}}, `node "n2" { policy = "write" }`, `'node:write' on "n2"`},
		"service":           {Command{Register: &catalog.Registration{Node: catalog.Node{Name: "n1", Address: "a"}, Service: &catalog.Service{ID: "i2", Name: "db"}}}, `service "db" { policy = "write" }`, `'service:write' on "db"`},
		"check of a node":   {Command{Register: &catalog.Registration{Node: catalog.Node{Name: "n1", Address: "a"}, Checks: []catalog.Check{{ID: "c2", Status: catalog.Warning}}}}, `node "n1" { policy = "write" }`, `'node:write' on "n1"`},
		"other's service":   {Command{Register: &catalog.Registration{Node: catalog.Node{Name: "n1", Address: "a"}, Service: &catalog.Service{ID: "i1", Name: "mine"}}}, `service "web" { policy = "write" } service "mine" { policy = "write" }`, `'service:write' on "web"`},
		"no more a service": {Command{Deregister: &Deregistration{Node: "n1", ServiceID: "i1"}}, `service "web" { policy = "write" }`, `'service:write' on "web"`},
		"no more a check":   {Command{Deregister: &Deregistration{Node: "n1", CheckID: "c1"}}, `service "web" { policy = "write" }`, `'service:write' on "web"`},
		"no more a node":    {Command{Deregister: &Deregistration{Node: "n1"}}, `node "n1" { policy = "write" }`, `'node:write' on "n1"`},
		"event":             {Command{Event: &event.Event{ID: "e", Name: "go"}}, `event "go" { policy = "write" }`, ""},
		"a place":           {Command{Contend: &Contend{Action: Enter, Contender: kvs.Contender{Queue: kvs.LockPrefix + "x", Session: "5e551010-0000-0000-0000-000000000001", Slots: 1}}}, `key "` + kvs.LockPrefix + `x" { policy = "write" }`, `'key:write' on "` + kvs.LockPrefix + `x"`},
		"autopilot":         {Command{Autopilot: &SetAutopilot{}}, `operator = "write"`, `'operator:write'`},
		"a policy":          {change(acl.Change{SetPolicy: &acl.Policy{ID: "77777777-0000-0000-0000-000000000000", Name: "x"}}), `acl = "write"`, `'acl:write'`},
		"other's token":     {change(acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{"acc-other"}}}), `acl = "write"`, `'acl:write'`},
		"other's secret":    {change(acl.Change{Rotate: &acl.Rotate{Accessor: "acc-other", Hash: "h"}}), `acl = "write"`, `'acl:write'`},
		"history":           {prune(kvs.Plan{Through: 1}), `operator = "write"`, `'operator:write'`},
	}
}

// TestRevokedTokenOnALaggingFollowerWritesNothing: a server has found in its state that
// somebody may write; by the time that the command is applied the right is gone. Whatever
// the command, and however the right was taken away, nothing has changed.
func TestRevokedTokenOnALaggingFollowerWritesNothing(t *testing.T) {
	for name := range rightful(guarded(t)) {
		for way, revoke := range map[string]func(m *machine, policy, accessor string) acl.Change{
			"the token is deleted": func(_ *machine, _, accessor string) acl.Change {
				return acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{accessor}}}
			},
			"the policy is deleted": func(_ *machine, policy, _ string) acl.Change { return acl.Change{DeletePolicy: policy} },
			"the rules are others": func(m *machine, policy, _ string) acl.Change {
				p := *m.store.View().ACL().Policy(policy)
				p.Rules = `key_prefix "" { policy = "read" } node_prefix "" { policy = "read" } acl = "read" operator = "read"`
				return acl.Change{SetPolicy: &p}
			},
			"the secret is another": func(_ *machine, _, accessor string) acl.Change {
				return acl.Change{Rotate: &acl.Rotate{Accessor: accessor, Hash: acl.HashSecret(theKey, "another")}}
			},
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				m := guarded(t)
				m.token("other")
				row := rightful(m)[name]
				policy := m.policy("p", row.rules)
				accessor := m.token("secret", policy)
				checked := m.checked("secret")

				// Before anything is revoked, also where the tables have changed otherwise.
				n := guarded(t)
				n.token("other")
				rightful(n)
				n.token("secret", n.policy("p", row.rules))
				n.token("of somebody else")
				if res := n.do(with(row.c, checked)); !res.Applied && name != "fenced" || res.Denied != "" || res.Errors != nil {
					t.Fatalf("somebody who may is refused: %+v", res)
				}

				m.must(change(revoke(m, policy, accessor)))
				before := plain(t, m.store)
				res := m.do(with(row.c, checked))
				if res.Applied || res.Denied == "" {
					t.Fatalf("applied: %+v", res)
				}
				want := acl.ErrNotFound.Error()
				if strings.Contains(way, "policy") || strings.Contains(way, "rules") {
					want = "Permission denied"
					if row.text != "" {
						want = "Permission denied: token with AccessorID 'acc-secret' lacks permission " + row.text
					}
				}
				if res.Denied != want {
					t.Errorf("refused with %q, want %q", res.Denied, want)
				}
				m.sameBut(before)
			})
		}
	}
}

// sameBut fails unless the state is as it was, but for what every command changes: the
// index, the time, the version needed and the hash.
func (m *machine) sameBut(before []byte) {
	m.t.Helper()
	db, st, err := readSnapshot(strings.NewReader(string(before)))
	if err != nil {
		m.t.Fatal(err)
	}
	now := m.store.View().state
	st.Index, st.LastTime, st.Used, st.Chain = now.Index, now.LastTime, now.Used, now.Chain
	old := NewStore()
	old.publish(db, st, 1, false)
	if diff := cmp.Diff(plain(m.t, old), plain(m.t, m.store)); diff != "" {
		m.t.Error("the state has changed")
	}
}

// TestRightsOfATransactionAreLookedAtAgain: every operation by itself, and what is only
// shown is left out.
func TestRightsOfATransactionAreLookedAtAgain(t *testing.T) {
	m := guarded(t)
	m.must(write(set("a", "1")))
	m.must(write(set("b", "1")))
	policy := m.policy("p", `key_prefix "" { policy = "write" }`)
	m.token("secret", policy)
	checked := m.checked("secret")
	p := *m.store.View().ACL().Policy(policy)
	p.Rules = `key "a" { policy = "write" } key "b" { policy = "deny" }`
	m.must(change(acl.Change{SetPolicy: &p}))

	before := plain(t, m.store)
	ops := []kvs.Op{set("a", "2"), set("b", "2"), {Verb: kvs.CheckNotExists, Key: "b/none"}, get("b"), {Verb: kvs.DeleteTree, Key: "a"}}
	mixedOps := make([]MixedOp, len(ops))
	for i := range ops {
		mixedOps[i] = MixedOp{KV: &ops[i]}
	}
	mixedOps = append(mixedOps, MixedOp{Catalog: &catalog.Op{Verb: catalog.Set, Node: &catalog.Node{Name: "n", Address: "a"}}})
	const denied = "Permission denied: token with AccessorID 'acc-secret' lacks permission "
	want := []TxnError{
		{1, denied + `'key:write' on "b"`}, {2, denied + `'key:write' on "b/none"`}, {4, denied + `'key:write' on "a"`},
	}
	res := m.do(with(txn(ops...), checked))
	if diff := cmp.Diff(want, res.Errors); diff != "" || res.Applied || res.Denied != "" {
		t.Errorf("transaction: applied %v, %q (-want +got):\n%s", res.Applied, res.Denied, diff)
	}
	m.sameBut(before)
	res = m.do(with(Command{Mixed: mixedOps}, checked))
	if diff := cmp.Diff(append(want, TxnError{5, denied + `'node:write' on "n"`}), res.Errors); diff != "" || res.Applied {
		t.Errorf("with the catalog: applied %v (-want +got):\n%s", res.Applied, diff)
	}
	m.sameBut(before)

	res = m.do(with(txn(set("a", "2"), get("a"), get("b")), checked))
	if !res.Applied || len(res.Shown) != 2 || res.Shown[1].Entry.Key != "a" {
		t.Errorf("shown: %+v", res)
	}
	a, b := set("a", "3"), get("b")
	res = m.do(with(Command{Mixed: []MixedOp{{KV: &a}, {KV: &b}}}, checked))
	if !res.Applied || len(res.Mixed) != 1 {
		t.Errorf("shown with the catalog: %+v", res)
	}
}

// TestExpiredTokenWritesNothing: the time that counts is that of the proposal, which the
// leader has put into the entry, whatever the server thought that took the request.
func TestExpiredTokenWritesNothing(t *testing.T) {
	m := guarded(t)
	m.must(change(acl.Change{SetToken: &acl.SetToken{Create: true, Token: &acl.Token{
		Accessor: "acc", Hash: acl.HashSecret(theKey, "s"), Links: acl.Links{Policies: []string{acl.ManagementID}}, Expires: time.Unix(5, 0),
	}}}))
	checked := m.checked("s")
	for m.index < 3 {
		m.must(write(set("x", "1")))
	}
	if res := m.do(with(write(set("k", "at 4")), checked)); !res.Applied {
		t.Errorf("before its end: %+v", res)
	}
	if res := m.do(with(write(set("k", "at 5")), checked)); res.Applied || res.Denied != "ACL not found" {
		t.Errorf("at its end: %+v", res)
	}
	// The same where the tables have moved, and the check was made before it had an end.
	m.must(change(acl.Change{SetToken: &acl.SetToken{Create: true, Token: &acl.Token{Accessor: "acc2", Hash: "h"}}}))
	endless := *checked
	endless.Expires = 0
	if res := m.do(with(write(set("k", "later")), &endless)); res.Applied || res.Denied != "ACL not found" {
		t.Errorf("after it: %+v", res)
	}
}

// TestFormerSecretWritesUntilItsGraceEnds.
func TestFormerSecretWritesUntilItsGraceEnds(t *testing.T) {
	m := guarded(t)
	accessor := m.token("first", acl.ManagementID)
	checked := m.checked("first")
	until := time.Unix(int64(m.index)+3, 0)
	m.must(change(acl.Change{Rotate: &acl.Rotate{Accessor: accessor, Hash: acl.HashSecret(theKey, "second"), FormerUntil: until}}))
	if res := m.do(with(write(set("k", "v")), checked)); !res.Applied {
		t.Errorf("within the grace: %+v", res)
	}
	if res := m.do(with(write(set("k", "v")), checked)); res.Applied || res.Denied != "ACL not found" {
		t.Errorf("after it: %+v", res)
	}
}

// TestOwnTokenNeedsNoRight: everybody may log out and replace the own secret, as long as
// the token is there.
func TestOwnTokenNeedsNoRight(t *testing.T) {
	m := guarded(t)
	accessor := m.token("secret")
	checked := m.checked("secret")
	m.token("other") // the tables move
	rotate := acl.Rotate{Accessor: accessor, Hash: acl.HashSecret(theKey, "next"), FormerUntil: time.Unix(1000, 0)}
	if res := m.do(with(change(acl.Change{Rotate: &rotate}), checked)); !res.Applied {
		t.Errorf("rotate: %+v", res)
	}
	both := acl.DeleteTokens{Accessors: []string{accessor, "acc-other"}}
	if res := m.do(with(change(acl.Change{DeleteTokens: &both}), checked)); res.Applied {
		t.Errorf("deletes another token with its own: %+v", res)
	}
	own := acl.DeleteTokens{Accessors: []string{accessor}}
	if res := m.do(with(change(acl.Change{DeleteTokens: &own}), checked)); !res.Applied || res.Ended != 1 {
		t.Errorf("log out: %+v", res)
	}
	if res := m.do(with(change(acl.Change{DeleteTokens: &own}), checked)); res.Applied || res.Denied != "ACL not found" {
		t.Errorf("log out again: %+v", res)
	}
}

// TestCertificateIsLookedAtAgain: it has no token, but the roles that it was given, which
// may have lost their rights.
func TestCertificateIsLookedAtAgain(t *testing.T) {
	m := guarded(t)
	policy := m.policy("p", `key_prefix "${service}/" { policy = "write" }`)
	m.must(change(acl.Change{SetRole: &acl.Role{ID: "r", Name: "r", Links: acl.Links{Policies: []string{policy}}}}))
	id, err := m.resolver().ResolveLinks("cert:m:web", acl.Links{Roles: []string{"r"}}, map[string]string{"service": "web"}, time.Unix(1000, 0))
	if err != nil {
		t.Fatal(err)
	}
	m.token("other")
	if res := m.do(with(write(set("web/k", "v")), id.Checked)); !res.Applied {
		t.Errorf("its own: %+v", res)
	}
	if res := m.do(with(write(set("db/k", "v")), id.Checked)); res.Applied ||
		res.Denied != `Permission denied: token with AccessorID 'cert:m:web' lacks permission 'key:write' on "db/k"` {
		t.Errorf("another's: %+v", res)
	}
	m.must(change(acl.Change{DeleteRole: "r"}))
	if res := m.do(with(write(set("web/k", "v")), id.Checked)); res.Applied || res.Denied == "" {
		t.Errorf("without the role: %+v", res)
	}
	// Which rule has led to a role is not known here.
	m.must(change(acl.Change{SetMethod: &acl.AuthMethod{Name: "m", Type: "cert"}}))
	if res := m.do(with(write(set("web/k", "v")), id.Checked)); res.Applied || res.Denied != "ACL not found" {
		t.Errorf("with other methods: %+v", res)
	}
}

// TestTrustedIsNotLookedAt: a server's own recovery token is in no table.
func TestTrustedIsNotLookedAt(t *testing.T) {
	m := guarded(t)
	if res := m.do(with(write(set("k", "v")), &acl.Checked{Trusted: true, Accessor: "agent-recovery:n1"})); !res.Applied {
		t.Errorf("refused: %+v", res)
	}
}

// TestACLsSurviveASnapshot, with everything that can be found in them.
func TestACLsSurviveASnapshot(t *testing.T) {
	m := guarded(t)
	p := m.policy("One", `key_prefix "" { policy = "write" }`)
	m.must(change(acl.Change{SetRole: &acl.Role{ID: "r", Name: "Role", Links: acl.Links{
		Policies: []string{p}, ServiceIdentities: []acl.ServiceIdentity{{Service: "s", Datacenters: []string{"dc1", "dc2"}}},
	}}}))
	m.must(change(acl.Change{SetMethod: &acl.AuthMethod{
		Name: "m", Type: "jwt", DisplayName: "M", Description: "d", MaxTokenTTL: time.Hour, Locality: "global", Config: []byte(`{"a":1}`),
	}}))
	m.must(change(acl.Change{SetBinding: &acl.BindingRule{
		ID: "b", Method: "m", Selector: "x == y", BindType: "role", BindName: "Role", BindVars: map[string]string{"name": "z", "a": "b"},
	}}))
	m.must(change(acl.Change{SetToken: &acl.SetToken{Create: true, Login: true, Token: &acl.Token{
		Accessor: "acc", Secret: "s", Hash: acl.HashSecret(theKey, "s"), Description: "d \xff", Method: "m", Local: true,
		Vars: map[string]string{"x": "1", "y": "2"}, Expires: time.Date(2500, 1, 2, 3, 4, 5, 6, time.UTC), Created: time.Unix(1, 2).UTC(),
		Links: acl.Links{
			Policies: []string{p}, Roles: []string{"r"}, ServiceIdentities: []acl.ServiceIdentity{{Service: "s"}},
			NodeIdentities: []acl.NodeIdentity{{Node: "n", Datacenter: "dc1"}},
			Templates:      []acl.TemplateLink{{ID: "i", Template: "builtin/dns", Name: "n", Datacenters: []string{"dc1"}}},
		},
	}}}))
	m.must(change(acl.Change{Rotate: &acl.Rotate{Accessor: "acc", Hash: acl.HashSecret(theKey, "t"), Secret: "t", FormerUntil: time.Unix(99, 5).UTC()}}))
	m.must(change(acl.Change{Bootstrap: &acl.Bootstrap{Token: &acl.Token{Accessor: "boot", Hash: "hash"}}}))

	n := newMachine(t)
	if err := n.restore(compressed(t, m.store)); err != nil {
		t.Fatal(err)
	}
	if string(plain(t, m.store)) != string(plain(t, n.store)) {
		t.Error("the snapshot of what was restored is another")
	}
	if diff := cmp.Diff(aclRows(m.store.View().ACL()), aclRows(n.store.View().ACL())); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	v := n.store.View().ACL()
	for what, ok := range map[string]bool{
		"secret": v.TokenByHash(acl.HashSecret(theKey, "t")) != nil, "former secret": v.TokenByHash(acl.HashSecret(theKey, "s")) != nil,
		"name of a policy": v.PolicyByName("oNE") != nil, "name of a role": v.RoleByName("rOLE") != nil,
		"bootstrap": v.BootstrapIndex() == m.index, "index": v.Index() == m.index,
	} {
		if !ok {
			t.Errorf("not found after the restore: %s", what)
		}
	}
	n.index = m.index
	n.must(change(acl.Change{DeleteMethod: "m"})) // with its rule and its token
	if v := n.store.View().ACL(); v.Token("acc") != nil || v.Binding("b") != nil {
		t.Error("what belongs to a method that was restored is still there")
	}
}

// aclRows is all that the tables have.
func aclRows(v acl.View) []any {
	all := []any{*v.Meta()}
	v.Tokens(func(t *acl.Token) bool { all = append(all, *t); return true })
	v.Policies(func(p *acl.Policy) bool { all = append(all, *p); return true })
	v.Roles(func(r *acl.Role) bool { all = append(all, *r); return true })
	v.Methods(func(m *acl.AuthMethod) bool { all = append(all, *m); return true })
	v.Bindings("", func(r *acl.BindingRule) bool { all = append(all, *r); return true })
	return all
}

// TestACLWatchersAreTold of every change.
func TestACLWatchersAreTold(t *testing.T) {
	m := guarded(t)
	w := m.store.Topics().WatchKey(TopicACL)
	defer w.Stop()
	m.must(write(set("k", "v")))
	select {
	case <-w.C:
		t.Error("told of a change of keys")
	default:
	}
	m.token("s")
	select {
	case <-w.C:
	default:
		t.Error("not told of a new token")
	}
}

// TestRestoredTablesAreLookedAtAgain: an archive brings tables from before, in which
// somebody may have had no right, though their index is lower than the one that was
// looked at.
func TestRestoredTablesAreLookedAtAgain(t *testing.T) {
	m := guarded(t)
	m.token("secret")
	archive := plain(t, m.store)
	policy := m.policy("p", `key_prefix "" { policy = "write" }`)
	next := *m.store.View().ACL().Token("acc-secret")
	next.Policies = []string{policy}
	m.must(change(acl.Change{SetToken: &acl.SetToken{Token: &next}}))
	checked := m.checked("secret")
	if res := m.do(with(write(set("k", "v")), checked)); !res.Applied {
		t.Fatalf("refused before: %+v", res)
	}
	if err := m.restore(archive); err != nil {
		t.Fatal(err)
	}
	if at := m.store.View().ACL().Index(); at >= checked.Index {
		t.Fatalf("the archive is not from before: %d, %d", at, checked.Index)
	}
	if res := m.do(with(write(set("k2", "v")), checked)); res.Applied || res.Denied == "" {
		t.Errorf("after: %+v", res)
	}
}

// TestTheTimeOfTheLeaderCounts for a command of another server, which leaves a place for
// it in the entry.
func TestTheTimeOfTheLeaderCounts(t *testing.T) {
	for name, late := range map[string]bool{"in time": false, "late": true} {
		m := guarded(t)
		m.must(change(acl.Change{SetToken: &acl.SetToken{Create: true, Token: &acl.Token{
			Accessor: "acc", Hash: acl.HashSecret(theKey, "s"), Links: acl.Links{Policies: []string{acl.ManagementID}}, Expires: time.Unix(1000, 0),
		}}}))
		c := with(write(set("k", "v")), m.checked("s"))
		data, err := EncodeToStamp(&c)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(1000, 0).UnixNano()
		if !late {
			now--
		}
		if err := Stamp(data, now); err != nil {
			t.Fatal(err)
		}
		m.index++
		res, ok := m.fsm.Apply(&raft.Log{Index: m.index, Type: raft.LogCommand, Data: data}).(Result)
		if !ok || res.Applied == late || (res.Denied == "ACL not found") != late {
			t.Errorf("%s: %+v", name, res)
		}
	}
}
