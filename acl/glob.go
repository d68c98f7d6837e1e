package acl

import "strings"

// A glob is a label with wildcards: * stands for any bytes but a slash, ** for any.
type glob struct {
	pattern string
	prefix  bool // whatever follows a match matches too
	grant
}

// literal is what a pattern begins with before its first wildcard.
func literal(pattern string) string {
	i := strings.IndexByte(pattern, '*')
	if i < 0 {
		return pattern
	}
	return pattern[:i]
}

// literals counts the bytes of a pattern that are no wildcards.
func literals(pattern string) int { return len(pattern) - strings.Count(pattern, "*") }

// stars counts the wildcards.
func stars(pattern string) int {
	n := 0
	for i := 0; i < len(pattern); n++ {
		j := strings.IndexByte(pattern[i:], '*')
		if j < 0 {
			break
		}
		_, i = star(pattern, i+j)
	}
	return n
}

// star reads the wildcard at i: whether it crosses slashes, and where the pattern goes
// on.
func star(pattern string, i int) (crosses bool, next int) {
	next = i
	for next < len(pattern) && pattern[next] == '*' {
		next++
	}
	return next-i > 1, next
}

// matches tells whether a name is one of those the pattern stands for.
//
// When a byte does not fit, the last * takes one byte more; when it cannot, the last
// ** does. Going back further is never needed: what stands between two wildcards may
// as well match as early as it can.
func (g *glob) matches(name string) bool {
	p, n := 0, 0
	one, oneAt := -1, 0   // behind the last *, and where in the name it was tried
	many, manyAt := -1, 0 // likewise for **
	for {
		switch {
		case p == len(g.pattern):
			if g.prefix || n == len(name) {
				return true
			}
		case g.pattern[p] == '*':
			crosses, next := star(g.pattern, p)
			p = next
			if crosses {
				many, manyAt, one = p, n, -1
			} else {
				one, oneAt = p, n
			}
			continue
		case n < len(name) && g.pattern[p] == name[n]:
			p, n = p+1, n+1
			continue
		}
		switch {
		case one >= 0 && oneAt < len(name) && name[oneAt] != '/':
			oneAt++
			p, n = one, oneAt
		case many >= 0 && manyAt < len(name):
			manyAt++
			p, n, one = many, manyAt, -1
		default:
			return false
		}
	}
}

// reaches tells whether the pattern matches anything that begins with prefix.
//
// It follows every way to read the prefix at once. If one is left at the end, or one
// had read the whole pattern of a prefix rule, there is such a name: whatever a
// pattern still asks for can be written behind the prefix.
func (g *glob) reaches(prefix string) bool {
	at := make([]bool, len(g.pattern)+1)
	g.enter(at, 0)
	for i := range len(prefix) {
		if g.prefix && at[len(g.pattern)] {
			return true
		}
		next := make([]bool, len(at))
		for p, here := range at[:len(g.pattern)] {
			switch {
			case !here:
			case g.pattern[p] != '*':
				if g.pattern[p] == prefix[i] {
					g.enter(next, p+1)
				}
			default:
				if crosses, _ := star(g.pattern, p); crosses || prefix[i] != '/' {
					g.enter(next, p)
				}
			}
		}
		at = next
	}
	for _, here := range at {
		if here {
			return true
		}
	}
	return false
}

// enter notes that the pattern may go on at p, and behind the wildcards that stand
// there.
func (g *glob) enter(at []bool, p int) {
	at[p] = true
	for p < len(g.pattern) && g.pattern[p] == '*' {
		_, p = star(g.pattern, p)
		at[p] = true
	}
}
