package acl

import (
	"sync"
)

// Bounds of what is kept; more is made anew when it is wanted.
const (
	keptRules       = 16 << 10 // texts of policies, parsed
	keptAuthorizers = 16 << 10
)

// Compiler makes Authorizers and keeps what it made, so that tokens with the same
// policies share one. What it returns depends on its arguments alone. Goroutines may
// share it.
type Compiler struct {
	rules       kept[*Rules]      // by content of the policy
	authorizers kept[*Authorizer] // by signature
}

// NewCompiler returns a Compiler that keeps nothing yet.
func NewCompiler() *Compiler {
	return &Compiler{
		rules:       kept[*Rules]{most: keptRules},
		authorizers: kept[*Authorizer]{most: keptAuthorizers},
	}
}

// authorizer merges what reaches a token.
func (c *Compiler) authorizer(all []reached, vars map[string]string, def Default) *Authorizer {
	return c.authorizers.get(signature(all, vars, def), func() *Authorizer {
		sources := make([]Source, 0, len(all))
		for _, x := range all {
			sources = append(sources, Source{Rules: c.parsed(x.policy), ID: x.policy.ID, Name: x.policy.Name, Vars: vars, Via: x.via})
		}
		return NewAuthorizer(def, sources)
	})
}

// parsed returns the rules of a policy. A text that does not parse was let in by
// another version: it gives nothing.
func (c *Compiler) parsed(p *Policy) *Rules {
	return c.rules.get(p.ID+string(p.ContentHash), func() *Rules {
		rules, err := Parse(p.Rules)
		if err != nil {
			return nil
		}
		return rules
	})
}

// kept is a map with a bound. When it is full, something goes: no matter what, since
// it can be made again.
type kept[V any] struct {
	most int

	mu sync.RWMutex
	m  map[string]V // guarded by mu
}

// get returns what is kept under a key, or else what make returns.
func (k *kept[V]) get(key string, make func() V) V {
	k.mu.RLock()
	v, ok := k.m[key]
	k.mu.RUnlock()
	if ok {
		return v
	}
	v = make()
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, ok := k.m[key]; ok { // of somebody else in between: all shall have the same
		return old
	}
	if k.m == nil {
		k.m = map[string]V{}
	}
	if len(k.m) >= k.most {
		//archtest:any-order what is dropped is made again, the same
		for other := range k.m {
			delete(k.m, other)
			break
		}
	}
	k.m[key] = v
	return v
}
