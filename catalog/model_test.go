package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// modelNode is a node as plain maps.
type modelNode struct {
	name, address string
	services      map[string]modelService
	checks        map[string]modelCheck
	since, last   uint64
}

type modelService struct {
	name, tag   string
	since, last uint64
}

type modelCheck struct {
	status, service string
	since, last     uint64
}

// model is the catalog as a map by the lower-case name of the node.
type model map[string]*modelNode

func (m model) clone() model {
	next := model{}
	for name, n := range m {
		c := *n
		c.services, c.checks = maps.Clone(n.services), maps.Clone(n.checks)
		next[name] = &c
	}
	return next
}

// register returns the checks that are critical after it, and whether it applies.
func (m model) register(r Registration, index uint64) (ended []string, ok bool) {
	id := strings.ToLower(r.Node.Name)
	n := m[id]
	switch {
	case n == nil:
		n = &modelNode{r.Node.Name, r.Node.Address, map[string]modelService{}, map[string]modelCheck{}, index, index}
		m[id] = n
	case !r.SkipNode && (n.name != r.Node.Name || n.address != r.Node.Address):
		n.name, n.address, n.last = r.Node.Name, r.Node.Address, index
	}
	if s := r.Service; s != nil {
		old, had := n.services[s.ID]
		next := modelService{s.Name, s.Tags[0], index, index}
		if had {
			next.since = old.since
		}
		if !had || old.name != next.name || old.tag != next.tag {
			n.services[s.ID] = next
			for id, c := range n.checks {
				if had && c.service == s.ID {
					c.last = index
					n.checks[id] = c
				}
			}
		}
	}
	for _, c := range r.Checks {
		old, had := n.checks[c.ID]
		if c.CreateIndex != 0 && old.since != c.CreateIndex || c.ModifyIndex != 0 && old.last != c.ModifyIndex {
			continue
		}
		if _, has := n.services[c.ServiceID]; !has && c.ServiceID != "" {
			return nil, false
		}
		next := modelCheck{c.Status, c.ServiceID, index, index}
		if had {
			next.since = old.since
		}
		if !had || old.status != next.status || old.service != next.service {
			n.checks[c.ID] = next
		}
		if c.Status == Critical {
			ended = append(ended, c.ID)
		}
	}
	return ended, true
}

// deregister returns the checks that are gone, in order.
func (m model) deregister(node, service, check string) (ended []string) {
	n := m[strings.ToLower(node)]
	if n == nil {
		return nil
	}
	if _, has := n.services[service]; service != "" && !has {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(n.checks)) {
		if service == "" && (check == "" || check == id) || service != "" && n.checks[id].service == service {
			ended = append(ended, id)
			delete(n.checks, id)
		}
	}
	switch {
	case service != "":
		delete(n.services, service)
	case check == "":
		delete(m, strings.ToLower(node))
	}
	return ended
}

func (m model) rows() []string {
	var nodes, services, checks []string
	for _, id := range slices.Sorted(maps.Keys(m)) {
		n := m[id]
		nodes = append(nodes, fmt.Sprintf("%s %s %d/%d", n.name, n.address, n.since, n.last))
		for _, sid := range slices.Sorted(maps.Keys(n.services)) {
			s := n.services[sid]
			services = append(services, fmt.Sprintf("%s/%s %s [%s] %d/%d", id, sid, s.name, s.tag, s.since, s.last))
		}
		for _, cid := range slices.Sorted(maps.Keys(n.checks)) {
			c := n.checks[cid]
			s := n.services[c.service]
			checks = append(checks, fmt.Sprintf("%s/%s %s of %s=%s[%s] %d/%d", id, cid, c.status, c.service, s.name, s.tag, c.since, c.last))
		}
	}
	return slices.Concat(nodes, services, checks)
}

// modelRows are the rows of the catalog as model.rows has them. A service keeps the
// spelling of its node that it was registered under.
func (f *fixture) modelRows() []string {
	var rows []string
	v := f.view()
	v.Nodes(func(n *Node) bool {
		rows = append(rows, fmt.Sprintf("%s %s %d/%d", n.Name, n.Address, n.CreateIndex, n.ModifyIndex))
		return true
	})
	v.Services("", func(s *Service) bool {
		rows = append(rows, fmt.Sprintf("%s/%s %s %v %d/%d", strings.ToLower(s.Node), s.ID, s.Name, s.Tags, s.CreateIndex, s.ModifyIndex))
		return true
	})
	v.Checks("", func(c *Check) bool {
		tags := c.ServiceTags
		if tags == nil {
			tags = []string{""}
		}
		rows = append(rows, fmt.Sprintf("%s/%s %s of %s=%s%v %d/%d", strings.ToLower(c.Node), c.ID, c.Status, c.ServiceID, c.ServiceName, tags, c.CreateIndex, c.ModifyIndex))
		return true
	})
	return rows
}

func drawRegistration(t *rapid.T, most uint64) Registration {
	pick := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	r := Registration{Node: node(pick("node", "a", "A", "ab"), pick("address", "x", "y")), SkipNode: rapid.Bool().Draw(t, "skip")}
	if rapid.Bool().Draw(t, "service") {
		r.Service = &Service{ID: pick("service id", "s", "t"), Name: pick("name", "web", "db"), Tags: []string{pick("tag", "1", "2")}}
	}
	for range rapid.IntRange(0, 2).Draw(t, "checks") {
		c := check(pick("check", "c", "d", "e"), pick("status", Passing, Warning, Critical), pick("of", "", "s", "t"))
		if rapid.IntRange(0, 2).Draw(t, "conditional") == 0 {
			c.CreateIndex = rapid.Uint64Range(0, most).Draw(t, "create")
			c.ModifyIndex = rapid.Uint64Range(0, most).Draw(t, "modify")
		}
		r.Checks = append(r.Checks, c)
	}
	return r
}

// TestCatalogIsAMap registers and removes at random, several commands in a batch,
// and compares with plain maps.
func TestCatalogIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, m := newFixture(t), model{}
		for range rapid.IntRange(1, 6).Draw(t, "batches") {
			tx := Begin(f.db.Txn(false))
			for range rapid.IntRange(1, 4).Draw(t, "commands") {
				f.index++
				tx.Command(f.index)
				next := m.clone()
				var got Ended
				var ended []string
				applied := true
				if rapid.IntRange(0, 2).Draw(t, "kind") > 0 {
					r := drawRegistration(t, f.index)
					var err error
					got, err = tx.Register(r)
					if ended, applied = next.register(r, f.index); applied != (err == nil) {
						t.Fatalf("register %+v: %v, the model applies it: %v", r, err, applied)
					}
				} else {
					name := rapid.SampledFrom([]string{"a", "AB", "none"}).Draw(t, "node")
					service := rapid.SampledFrom([]string{"", "", "s", "none"}).Draw(t, "service")
					check := rapid.SampledFrom([]string{"", "c", "none"}).Draw(t, "check")
					got, ended = tx.Deregister(name, service, check), next.deregister(name, service, check)
				}
				if !applied {
					tx.Reject()
					continue
				}
				tx.Accept()
				if diff := cmp.Diff(ended, got.Checks); diff != "" {
					t.Fatalf("ended checks (-model +catalog):\n%s", diff)
				}
				changed := tx.Changed() != (Tables{})
				if same := cmp.Diff(m.rows(), next.rows()) == ""; same == changed {
					t.Fatalf("the tables changed: %+v, in the model: %v", tx.Changed(), !same)
				}
				m = next
			}
			txn := f.db.Txn(true)
			tx.Flush(txn)
			txn.Commit()
			if diff := cmp.Diff(m.rows(), f.modelRows()); diff != "" {
				t.Fatalf("rows (-model +catalog):\n%s", diff)
			}
			f.compareIndexes(m)
		}
	})
}

// compareIndexes looks rows up by the indexes beside that by id.
func (f *fixture) compareIndexes(m model) {
	f.t.Helper()
	v := f.view()
	instances, checks, owned := map[string]int{}, map[string]int{}, map[string]int{}
	for id, n := range m {
		for _, s := range n.services {
			instances[s.name]++
		}
		for _, c := range n.checks {
			checks[n.services[c.service].name]++
			owned[id+"/"+c.service]++
		}
	}
	for _, name := range []string{"web", "db"} {
		n := 0
		v.Instances(strings.ToUpper(name), func(*Service) bool { n++; return true })
		v.ChecksOfService(name, func(*Check) bool { n++; return true })
		if want := instances[name] + checks[name]; n != want {
			f.t.Fatalf("%d rows of service %s are found by name, want %d", n, name, want)
		}
	}
	for id := range m {
		for _, service := range []string{"", "s", "t"} {
			n := 0
			v.ChecksOf(id, service, func(*Check) bool { n++; return true })
			if want := owned[id+"/"+service]; n != want {
				f.t.Fatalf("%d checks of %q on %s, want %d", n, service, id, want)
			}
		}
	}
}
