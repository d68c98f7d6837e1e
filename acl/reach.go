package acl

import (
	"cmp"
	"slices"
	"strings"
)

// reader is where policies and roles are looked up: a [View], or a [Tx].
type reader interface {
	Policy(id string) *Policy
	Role(id string) *Role
}

// reached is a policy that reaches a token, and how.
type reached struct {
	policy *Policy
	via    []string
}

// viaToken is the way of a policy that the token itself has. Whoever appends to it makes a copy.
var viaToken = slices.Clip([]string{"token"})

// reach returns the policies that links lead to, those of roles and of identities
// too, each once, as far as they hold in a datacenter; with "" all of them.
//
// Source: contract, ACL rules, section 4.
func reach(r reader, links *Links, datacenter string) []reached {
	var all []reached
	place := map[string]int{} // in all, by id
	add := func(p *Policy, via string) {
		if p == nil || datacenter != "" && len(p.Datacenters) > 0 && !slices.Contains(p.Datacenters, datacenter) {
			return
		}
		i, known := place[p.ID]
		if !known {
			i = len(all)
			place[p.ID] = i
			all = append(all, reached{policy: p})
		}
		switch {
		case via == "token" && all[i].via == nil: // as nearly always, so all share one
			all[i].via = viaToken
		case !slices.Contains(all[i].via, via):
			all[i].via = append(all[i].via, via)
		}
	}
	from := func(l *Links, via string) {
		for _, id := range l.Policies {
			add(r.Policy(id), cmp.Or(via, "token"))
		}
		for _, s := range SyntheticPolicies(*l, datacenter) {
			if via == "" {
				add(s.Policy, s.Via)
			} else {
				add(s.Policy, via+" "+s.Via)
			}
		}
	}
	from(links, "")
	for _, id := range links.Roles {
		if role := r.Role(id); role != nil {
			from(&role.Links, "role:"+role.Name)
		}
	}
	return all
}

// Expand returns what reaches a token: the policies, the synthetic ones included, and
// the roles, for whoever asks to see them.
func (v View) Expand(links *Links, datacenter string) (policies []*Policy, roles []*Role) {
	for _, x := range reach(v, links, datacenter) {
		policies = append(policies, x.policy)
	}
	for _, id := range links.Roles {
		if role := v.Role(id); role != nil {
			roles = append(roles, role)
		}
	}
	return policies, roles
}

// signature is the same for the same rules under the same names, and for no others.
func signature(all []reached, vars map[string]string, def Default) string {
	var b strings.Builder
	b.WriteString(def.String())
	for _, x := range all {
		b.WriteString(x.policy.ID)
		b.Write(x.policy.ContentHash)
		for _, via := range x.via {
			b.WriteByte(0)
			b.WriteString(via)
		}
		b.WriteByte(1)
	}
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b.WriteByte(2)
		b.WriteString(name)
		b.WriteByte(0)
		b.WriteString(vars[name])
	}
	return b.String()
}
