package acl

import "time"

// Given is a right that a server has found somebody to have, for what no log entry does:
// the server that does it knows more, and looks again.
type Given struct {
	Who      *Checked
	Resource Resource
	Access   Access
	Name     string
}

// Still returns why who asked has the right no longer, in the words of the wire; nil when
// it is still given. It is for a state that is as new as the one in which it was given,
// or newer.
func (g *Given) Still(v View, now time.Time, with *Compiler) error {
	c := g.Who
	switch {
	case c.Trusted:
		return nil
	case c.Expires != 0 && now.UnixNano() >= c.Expires:
		return ErrNotFound
	case c.Index == v.Index():
		return nil
	}
	auth := recheck(v, c, now.UnixNano(), with)
	if auth == nil {
		return ErrNotFound
	}
	if !auth.Allow(g.Resource, g.Access, g.Name) {
		return auth.Refuse(c.Accessor, g.Resource, g.Access, g.Name)
	}
	return nil
}
