package fsm

import (
	"testing"

	"github.com/holdfast-kv/holdfast/acl"
)

// TestWhoWaitsWithATokenIsTold of changes of that token and of rules, and of no other
// token.
func TestWhoWaitsWithATokenIsTold(t *testing.T) {
	for _, tc := range []struct {
		rule         string
		change       func(m *machine, accessor string) acl.Change
		token, rules bool // who is told
	}{
		{"it is deleted", func(_ *machine, id string) acl.Change {
			return acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{"x", id}}}
		}, true, false},
		{"it gets a new secret", func(_ *machine, id string) acl.Change {
			return acl.Change{Rotate: &acl.Rotate{Accessor: id, Hash: "other"}}
		}, true, false},
		{"it is changed", func(m *machine, id string) acl.Change {
			row := *m.store.View().ACL().Token(id)
			row.Description = "other"
			return acl.Change{SetToken: &acl.SetToken{Token: &row}}
		}, true, false},
		{"another is made", func(*machine, string) acl.Change {
			return acl.Change{SetToken: &acl.SetToken{Token: &acl.Token{Accessor: "y", Hash: "y"}, Create: true}}
		}, false, false},
		{"a policy is changed", func(*machine, string) acl.Change {
			return acl.Change{SetPolicy: &acl.Policy{ID: "q", Name: "q"}}
		}, false, true},
		{"a role is changed", func(*machine, string) acl.Change {
			return acl.Change{SetRole: &acl.Role{ID: "r", Name: "r"}}
		}, false, true},
		{"a method is changed", func(*machine, string) acl.Change {
			return acl.Change{SetMethod: &acl.AuthMethod{Name: "m", Type: "cert"}}
		}, false, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			m := guarded(t)
			id := m.token("s")
			token, rules := m.store.Topics().WatchKey(TopicToken(id)), m.store.Topics().WatchKey(TopicRules)
			m.must(change(tc.change(m, id)))
			for _, told := range []struct {
				name string
				c    <-chan struct{}
				want bool
			}{{"the token's", token.C, tc.token}, {"the rules'", rules.C, tc.rules}} {
				select {
				case <-told.c:
					if !told.want {
						t.Errorf("who waits for %s change is told", told.name)
					}
				default:
					if told.want {
						t.Errorf("who waits for %s change is not told", told.name)
					}
				}
			}
			token.Stop()
			rules.Stop()
			if n := m.store.Topics().Len(); n != 0 {
				t.Errorf("%d topics are left", n)
			}
		})
	}
}
