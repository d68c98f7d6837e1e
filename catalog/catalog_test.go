package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-memdb"
)

// tb is the part of testing.TB that a property of package rapid has too.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// fixture is a catalog in which each command has the next index.
type fixture struct {
	t     tb
	db    *memdb.MemDB
	index uint64
}

func newFixture(t tb) *fixture {
	t.Helper()
	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: Schema()})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t: t, db: db}
}

// do runs one command in a batch of its own. One that fails is taken back.
func (f *fixture) do(command func(*Tx) (Ended, error)) (Ended, Tables, error) {
	f.t.Helper()
	f.index++
	tx := Begin(f.db.Txn(false))
	tx.Command(f.index)
	ended, err := command(tx)
	changed := tx.Changed()
	if err != nil {
		tx.Reject()
		changed = Tables{}
	} else {
		tx.Accept()
	}
	txn := f.db.Txn(true)
	tx.Flush(txn)
	txn.Commit()
	return ended, changed, err
}

func (f *fixture) register(r Registration) (Ended, Tables) {
	f.t.Helper()
	ended, changed, err := f.do(func(tx *Tx) (Ended, error) { return tx.Register(r) })
	if err != nil {
		f.t.Fatalf("register %+v: %v", r, err)
	}
	return ended, changed
}

func (f *fixture) deregister(node, service, check string) (Ended, Tables) {
	f.t.Helper()
	ended, changed, _ := f.do(func(tx *Tx) (Ended, error) { return tx.Deregister(node, service, check), nil })
	return ended, changed
}

func (f *fixture) view() View { return NewView(f.db.Txn(false)) }

// rows are all rows of the catalog with their indexes, a line each.
func (f *fixture) rows() []string {
	rows := []string{}
	v := f.view()
	v.Nodes(func(n *Node) bool {
		rows = append(rows, fmt.Sprintf("node %s at %s %v %d/%d", n.Name, n.Address, n.Meta, n.CreateIndex, n.ModifyIndex))
		return true
	})
	v.Services("", func(s *Service) bool {
		rows = append(rows, fmt.Sprintf("service %s/%s %s:%d %v %d/%d", s.Node, s.ID, s.Name, s.Port, s.Tags, s.CreateIndex, s.ModifyIndex))
		return true
	})
	v.Checks("", func(c *Check) bool {
		rows = append(rows, fmt.Sprintf("check %s/%s %s of %q=%q%v %d/%d", c.Node, c.ID, c.Status, c.ServiceID, c.ServiceName, c.ServiceTags, c.CreateIndex, c.ModifyIndex))
		return true
	})
	return rows
}

func (f *fixture) expect(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, f.rows()); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func node(name, address string) Node { return Node{Name: name, Address: address} }

func web(tags ...string) *Service { return &Service{ID: "web-1", Name: "web", Port: 80, Tags: tags} }

func check(id, status, serviceID string) Check {
	return Check{ID: id, Name: id, Status: status, ServiceID: serviceID}
}

func TestRegisterIsOneStep(t *testing.T) {
	f := newFixture(t)
	_, changed := f.register(Registration{
		Node: node("db", "1.2.3.4"), Service: web("a", "b"),
		Checks: []Check{check("up", Passing, "web-1"), check("disk", Warning, "")},
	})
	if changed != (Tables{true, true, true}) {
		t.Errorf("changed is %+v", changed)
	}
	f.expect(t,
		"node db at 1.2.3.4 map[] 1/1",
		"service db/web-1 web:80 [a b] 1/1",
		`check db/disk warning of ""=""[] 1/1`,
		`check db/up passing of "web-1"="web"[a b] 1/1`)
}

func TestWhatIsRegisteredAgainUnchangedKeepsItsIndexes(t *testing.T) {
	f := newFixture(t)
	r := Registration{
		Node:    Node{ID: "id", Name: "db", Address: "x", Meta: map[string]string{"rack": "7"}, TaggedAddresses: map[string]string{"lan": "x"}},
		Service: web("a"), Checks: []Check{check("up", Passing, "web-1")},
	}
	f.register(r)
	before := f.rows()
	if ended, changed := f.register(r); changed != (Tables{}) || ended.Checks != nil {
		t.Errorf("changed %+v, ended %+v", changed, ended)
	}
	f.expect(t, before...)

	for _, tc := range []struct {
		rule   string
		change func(*Registration)
		want   Tables
	}{
		{"an address", func(r *Registration) { r.Node.Address = "y" }, Tables{Nodes: true}},
		{"the metadata", func(r *Registration) { r.Node.Meta = nil }, Tables{Nodes: true}},
		{"the case of a node's name", func(r *Registration) { r.Node.Name = "DB" }, Tables{Nodes: true}},
		{"a port", func(r *Registration) { s := *r.Service; s.Port = 81; r.Service = &s }, Tables{Services: true}},
		{"a weight", func(r *Registration) { s := *r.Service; s.PassingWeight = 5; r.Service = &s }, Tables{Services: true}},
		{"the tags of a service, which its checks show", func(r *Registration) { r.Service, r.Checks = web("b"), nil }, Tables{Services: true, Checks: true}},
		{"a status", func(r *Registration) { r.Checks = []Check{check("up", Warning, "web-1")} }, Tables{Checks: true}},
		{"an output", func(r *Registration) { r.Checks[0].Output = "well" }, Tables{Checks: true}},
		{"a TTL", func(r *Registration) { r.Checks[0].TTL = time.Second }, Tables{Checks: true}},
	} {
		t.Run("unlike "+tc.rule, func(t *testing.T) {
			f := newFixture(t)
			f.register(r)
			next := r
			next.Checks = []Check{r.Checks[0]}
			tc.change(&next)
			if _, changed := f.register(next); changed != tc.want {
				t.Errorf("changed %+v, want %+v", changed, tc.want)
			}
		})
	}
}

func TestAChangedRowKeepsItsCreateIndex(t *testing.T) {
	f := newFixture(t)
	f.register(Registration{Node: node("db", "x"), Service: web(), Checks: []Check{check("up", Passing, "")}})
	s := web("new")
	f.register(Registration{Node: node("db", "y"), Service: s, Checks: []Check{check("up", Critical, "")}})
	f.expect(t, "node db at y map[] 1/2", "service db/web-1 web:80 [new] 1/2", `check db/up critical of ""=""[] 1/2`)
}

func TestSkipNodeLeavesANodeAsItIs(t *testing.T) {
	f := newFixture(t)
	f.register(Registration{Node: node("db", "x")})
	f.register(Registration{Node: Node{Name: "DB"}, SkipNode: true, Checks: []Check{check("up", Passing, "")}})
	f.expect(t, "node db at x map[] 1/1", `check db/up passing of ""=""[] 2/2`)
	f.register(Registration{Node: Node{Name: "new"}, SkipNode: true})
	if f.view().Node("new") == nil {
		t.Error("a node that does not exist is not made")
	}
}

func TestChecksShowTheirServiceAsItIs(t *testing.T) {
	f := newFixture(t)
	f.register(Registration{Node: node("db", "x"), Service: web("a"), Checks: []Check{check("up", Passing, "web-1"), check("disk", Passing, "")}})
	f.register(Registration{Node: node("db", "x"), Service: &Service{ID: "web-1", Name: "shop", Tags: []string{"b"}}})
	f.expect(t, "node db at x map[] 1/1", "service db/web-1 shop:0 [b] 1/2",
		`check db/disk passing of ""=""[] 1/1`, `check db/up passing of "web-1"="shop"[b] 1/2`)
	f.register(Registration{Node: node("db", "x"), Service: &Service{ID: "web-1", Name: "shop", Port: 9, Tags: []string{"b"}}})
	if c := f.view().Check("db", "up"); c.ModifyIndex != 2 {
		t.Errorf("a new port changes a check: index %d, want 2", c.ModifyIndex)
	}
}

func TestRegisterRefuses(t *testing.T) {
	for _, tc := range []struct {
		rule string
		r    Registration
		err  string
	}{
		{"a node without a name", Registration{}, "Must provide node"},
		{"a service without a name", Registration{Node: node("n", "x"), Service: &Service{ID: "a"}}, "Must provide service name"},
		{"a service without an id", Registration{Node: node("n", "x"), Service: &Service{Name: "a"}}, "Must provide service name"},
		{"a check without an id", Registration{Node: node("n", "x"), Checks: []Check{{Name: "a"}}}, "Must provide check ID or its name"},
		{"a check of a service that is not there", Registration{Node: node("n", "x"), Checks: []Check{check("c", Passing, "s")}}, "Unknown service ID 's' for check ID 'c'"},
		{"a check of a service that another node has", Registration{Node: node("n", "x"), Checks: []Check{check("c", Passing, "web-1")}}, "Unknown service ID 'web-1' for check ID 'c'"},
		{"a zero byte in a node's name", Registration{Node: node("db\x00n", "x")}, `Name "db\x00n" has a zero byte`},
		{"or in the id of a service", Registration{Node: node("n", "x"), Service: &Service{ID: "a\x00", Name: "a"}}, "zero byte"},
		{"or in its name", Registration{Node: node("n", "x"), Service: &Service{ID: "a", Name: "a\x00"}}, "zero byte"},
		{"or in the id of a check", Registration{Node: node("n", "x"), Checks: []Check{check("a\x00", Passing, "")}}, "zero byte"},
		{"or in that of its service", Registration{Node: node("n", "x"), Checks: []Check{check("a", Passing, "\x00")}}, "zero byte"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := newFixture(t)
			f.register(Registration{Node: node("other", "x"), Service: web()})
			before := f.rows()
			_, _, err := f.do(func(tx *Tx) (Ended, error) { return tx.Register(tc.r) })
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error is %v, want %s", err, tc.err)
			}
			f.expect(t, before...)
		})
	}
}

func TestAChangeOfACheckThatWasReadBefore(t *testing.T) {
	changed := func(create, modify uint64) Check {
		c := check("up", Critical, "")
		c.CreateIndex, c.ModifyIndex = create, modify
		return c
	}
	for _, tc := range []struct {
		rule  string
		check Check
		made  bool
	}{
		{"is made if the check is as it was", changed(2, 3), true},
		{"is not if it was changed since", changed(2, 2), false},
		{"is made, by its create index alone, though it was changed", changed(2, 0), true},
		{"is not if the check is another of that name", changed(1, 0), false},
		{"nor if only the last change agrees", changed(1, 3), false},
		{"without an index it is always made", changed(0, 0), true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := newFixture(t)
			f.register(Registration{Node: node("db", "x")})
			f.register(Registration{Node: node("db", "x"), Checks: []Check{check("up", Passing, "")}})
			f.register(Registration{Node: node("db", "x"), Checks: []Check{check("up", Warning, "")}})
			ended, tables := f.register(Registration{Node: node("db", "x"), Checks: []Check{tc.check, check("other", Passing, "")}})
			if got := f.view().Check("db", "up").Status == Critical; got != tc.made {
				t.Errorf("made: %v, want %v", got, tc.made)
			}
			if (ended.Checks != nil) != tc.made {
				t.Errorf("ended %+v", ended)
			}
			if f.view().Check("db", "other") == nil || !tables.Checks {
				t.Error("the rest of the registration is left out too")
			}
		})
	}
	t.Run("does not bring back one that is gone, nor ask for its service", func(t *testing.T) {
		f := newFixture(t)
		c := changed(2, 0)
		c.ServiceID = "gone"
		f.register(Registration{Node: node("db", "x"), Checks: []Check{c}})
		if f.view().Check("db", "up") != nil {
			t.Error("the check is there")
		}
	})
}

func TestEnded(t *testing.T) {
	start := func(t *testing.T) *fixture {
		f := newFixture(t)
		f.register(Registration{Node: node("db", "x"), Service: web(), Checks: []Check{
			check("a", Passing, "web-1"), check("b", Passing, ""), check("c", Passing, "web-1"),
		}})
		f.register(Registration{Node: node("db2", "x"), Service: web(), Checks: []Check{check("a", Passing, "web-1")}})
		return f
	}
	for _, tc := range []struct {
		rule string
		do   func(*fixture) (Ended, Tables)
		want Ended
		left []string // checks
	}{
		{
			"a check becomes critical", func(f *fixture) (Ended, Tables) {
				return f.register(Registration{Node: node("DB", "x"), Checks: []Check{check("b", Critical, ""), check("a", Warning, "web-1")}})
			},
			Ended{OnNode: "DB", Checks: []string{"b"}},
			[]string{"db/a", "db/b", "db/c", "db2/a"},
		},
		{
			"a check is removed", func(f *fixture) (Ended, Tables) { return f.deregister("DB", "", "a") },
			Ended{OnNode: "DB", Checks: []string{"a"}},
			[]string{"db/b", "db/c", "db2/a"},
		},
		{
			"a service is removed with its checks", func(f *fixture) (Ended, Tables) { return f.deregister("db", "web-1", "") },
			Ended{OnNode: "db", Checks: []string{"a", "c"}},
			[]string{"db/b", "db2/a"},
		},
		{
			"a service wins over a check", func(f *fixture) (Ended, Tables) { return f.deregister("db", "web-1", "b") },
			Ended{OnNode: "db", Checks: []string{"a", "c"}},
			[]string{"db/b", "db2/a"},
		},
		{
			"a node is removed with everything", func(f *fixture) (Ended, Tables) { return f.deregister("DB", "", "") },
			Ended{Node: "db", OnNode: "DB", Checks: []string{"a", "b", "c"}},
			[]string{"db2/a"},
		},
		{
			"a node that is not there", func(f *fixture) (Ended, Tables) { return f.deregister("none", "", "") },
			Ended{},
			[]string{"db/a", "db/b", "db/c", "db2/a"},
		},
		{
			"a service that is not there", func(f *fixture) (Ended, Tables) { return f.deregister("db", "none", "") },
			Ended{},
			[]string{"db/a", "db/b", "db/c", "db2/a"},
		},
		{
			"a check that is not there", func(f *fixture) (Ended, Tables) { return f.deregister("db", "", "none") },
			Ended{OnNode: "db"},
			[]string{"db/a", "db/b", "db/c", "db2/a"},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := start(t)
			got, changed := tc.do(f)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ended (-want +got):\n%s", diff)
			}
			if nothing := got.Node == "" && got.Checks == nil; nothing != (changed == Tables{}) {
				t.Errorf("changed %+v", changed)
			}
			var left []string
			f.view().Checks("", func(c *Check) bool {
				left = append(left, strings.ToLower(c.Node)+"/"+c.ID)
				return true
			})
			if diff := cmp.Diff(tc.left, left); diff != "" {
				t.Errorf("checks left (-want +got):\n%s", diff)
			}
			if got.Node != "" && (f.view().Node("db") != nil || f.view().Service("db", "web-1") != nil) {
				t.Error("the node is removed but not all of it")
			}
		})
	}
}

func TestView(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"b", "a", "ab"} {
		f.register(Registration{Node: node(name, "x"), Service: web(), Checks: []Check{check("disk", Passing, ""), check("up", Passing, "web-1")}})
		f.register(Registration{Node: node(name, "x"), Service: &Service{ID: "web", Name: "Web"}})
		f.register(Registration{Node: node(name, "x"), Service: &Service{ID: "x", Name: "webb"}, Checks: []Check{check("x", Passing, "x")}})
	}
	v := f.view()
	names := func(walk func(func(string) bool)) string {
		var list []string
		walk(func(name string) bool { list = append(list, name); return true })
		return strings.Join(list, " ")
	}
	services := func(visit func(string) bool) func(*Service) bool {
		return func(s *Service) bool { return visit(s.Node + "/" + s.ID) }
	}
	checks := func(visit func(string) bool) func(*Check) bool {
		return func(c *Check) bool { return visit(c.Node + "/" + c.ID) }
	}
	for _, tc := range []struct {
		rule string
		walk func(func(string) bool)
		want string
	}{
		{"nodes come by name", func(visit func(string) bool) { v.Nodes(func(n *Node) bool { return visit(n.Name) }) }, "a ab b"},
		{"services of a node, not of one that begins like it", func(visit func(string) bool) { v.Services("A", services(visit)) }, "a/web a/web-1 a/x"},
		{"instances by name in any case, and no other name", func(visit func(string) bool) { v.Instances("WEB", services(visit)) }, "a/web a/web-1 ab/web ab/web-1 b/web b/web-1"},
		{"no instances", func(visit func(string) bool) { v.Instances("we", services(visit)) }, ""},
		{"checks of a node", func(visit func(string) bool) { v.Checks("a", checks(visit)) }, "a/disk a/up a/x"},
		{"checks of the node alone", func(visit func(string) bool) { v.ChecksOf("A", "", checks(visit)) }, "a/disk"},
		{"checks of a service of a node", func(visit func(string) bool) { v.ChecksOf("a", "web-1", checks(visit)) }, "a/up"},
		{"not of one whose id it begins with", func(visit func(string) bool) { v.ChecksOf("a", "web", checks(visit)) }, ""},
		{"checks of a service on all nodes", func(visit func(string) bool) { v.ChecksOfService("Web", checks(visit)) }, "a/up ab/up b/up"},
		{"checks without a service have no name", func(visit func(string) bool) { v.ChecksOfService("", checks(visit)) }, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := names(tc.walk); got != tc.want {
				t.Errorf("visited %q, want %q", got, tc.want)
			}
			n := 0
			tc.walk(func(string) bool { n++; return false })
			if n > 1 {
				t.Errorf("a walk goes on after it was told to stop, %d times", n)
			}
		})
	}
	t.Run("one row at a time", func(t *testing.T) {
		if v.Node("AB") == nil || v.Service("AB", "web") == nil || v.Check("AB", "up") == nil {
			t.Error("a row is not found by a node in another case")
		}
		if v.Node("c") != nil || v.Service("a", "WEB") != nil || v.Check("a", "UP") != nil {
			t.Error("a row is found that is not there: ids do not ignore case")
		}
	})
}

func TestHolds(t *testing.T) {
	r := Registration{Node: node("db", "x"), Service: web("a"), Checks: []Check{check("up", Passing, "web-1"), check("disk", Passing, "")}}
	f := newFixture(t)
	if f.view().Holds(&r) {
		t.Error("an empty catalog holds it")
	}
	f.register(r)
	if !f.view().Holds(&r) {
		t.Error("what was registered is not held")
	}
	for _, tc := range []struct {
		rule  string
		other Registration
		want  bool
	}{
		{"another address", Registration{Node: node("db", "y")}, false},
		{"another address of a node that is to stay as it is", Registration{Node: node("db", "y"), SkipNode: true}, true},
		{"another node", Registration{Node: node("db2", "x")}, false},
		{"no more than the node", Registration{Node: node("db", "x")}, true},
		{"another service", Registration{Node: node("db", "x"), Service: &Service{ID: "z", Name: "z"}}, false},
		{"other tags", Registration{Node: node("db", "x"), Service: web("b")}, false},
		{"another status", Registration{Node: node("db", "x"), Checks: []Check{check("disk", Critical, "")}}, false},
		{"another check", Registration{Node: node("db", "x"), Checks: []Check{check("mem", Passing, "")}}, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := f.view().Holds(&tc.other); got != tc.want {
				t.Errorf("held: %v, want %v", got, tc.want)
			}
			if _, changed := f.register(tc.other); (changed == Tables{}) != tc.want {
				t.Errorf("held: %v, but to register it changes %+v", tc.want, changed)
			}
			f.deregister("db", "z", "")
			f.deregister("db", "", "mem")
			f.register(r)
		})
	}
}

func TestReapAfter(t *testing.T) {
	ttl := Check{Type: TypeTTL, TTL: time.Second, ServiceID: "web"}
	if got := ttl.ReapAfter(); got != 0 {
		t.Errorf("without a time it is %s, want never", got)
	}
	ttl.Reap = 90 * time.Minute
	if got := ttl.ReapAfter(); got != 90*time.Minute {
		t.Errorf("%s, want 90m", got)
	}
	for rule, change := range map[string]func(*Check){
		"a check of no service has none to remove": func(c *Check) { c.ServiceID = "" },
		"nobody times a check of another kind":     func(c *Check) { c.Type = "http" },
		"nobody times a check without a TTL":       func(c *Check) { c.TTL = 0 },
		"a time in the past is none":               func(c *Check) { c.Reap = -time.Second },
	} {
		c := ttl
		change(&c)
		if got := c.ReapAfter(); got != 0 {
			t.Errorf("%s: %s, want never", rule, got)
		}
	}
}

func TestValidStatus(t *testing.T) {
	for status, want := range map[string]bool{Passing: true, Warning: true, Critical: true, "": false, "Passing": false, "maintenance": false} {
		if got := ValidStatus(status); got != want {
			t.Errorf("%q is valid: %v, want %v", status, got, want)
		}
	}
}

func TestImport(t *testing.T) {
	f := newFixture(t)
	txn := f.db.Txn(true)
	for _, err := range []error{
		ImportNode(txn, &Node{Name: "db", Indexes: Indexes{3, 4}}),
		ImportService(txn, &Service{Node: "db", ID: "a", Name: "web", Indexes: Indexes{5, 6}}),
		ImportCheck(txn, &Check{Node: "db", ID: "up", ServiceID: "a", ServiceName: "web", Indexes: Indexes{7, 8}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	txn.Commit()
	f.expect(t, "node db at  map[] 3/4", "service db/a web:0 [] 5/6", `check db/up  of "a"="web"[] 7/8`)
	n := 0
	f.view().ChecksOfService("web", func(*Check) bool { n++; return true })
	f.view().Instances("web", func(*Service) bool { n++; return true })
	if n != 2 {
		t.Errorf("%d rows are found by name, want 2", n)
	}
}
