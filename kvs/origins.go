package kvs

import "unique"

// Origins are those of late: with thousands of tokens, to look each up among all that
// there ever were costs as much as the write itself takes in the tree. The zero value
// knows none. It is used by one goroutine.
type Origins struct {
	late [256]struct {
		by     Origin
		handle unique.Handle[Origin]
	}
}

// handle returns the handle of an origin; o may be nil.
func (o *Origins) handle(by Origin) unique.Handle[Origin] {
	if o == nil {
		return unique.Make(by)
	}
	n := uint(len(by.Reason))
	for _, s := range [...]string{by.Accessor, by.Address} {
		for i := max(0, len(s)-4); i < len(s); i++ {
			n = n*31 + uint(s[i])
		}
	}
	at := &o.late[n%uint(len(o.late))]
	if at.by != by || at.handle == (unique.Handle[Origin]{}) {
		at.by, at.handle = by, unique.Make(by)
	}
	return at.handle
}
