package kvs

import "unique"

// Origins are those of late: with thousands of tokens, to look each up among all that
// there ever were costs as much as the write itself takes in the tree. The zero value
// knows none. It is used by one goroutine.
//
// There are places enough for some ten thousand tokens in turn, and each is one word, so
// that the garbage collector has little to look at.
type Origins struct {
	late [1 << 14]unique.Handle[Origin]
}

// handle returns the handle of an origin; o may be nil.
func (o *Origins) handle(by Origin) unique.Handle[Origin] {
	if o == nil {
		return unique.Make(by)
	}
	n := uint(len(by.Reason))
	for _, s := range [...]string{by.Accessor, by.Address} {
		for i := max(0, len(s)-6); i < len(s); i++ {
			n = n*31 + uint(s[i])
		}
	}
	at := &o.late[n%uint(len(o.late))]
	if *at == (unique.Handle[Origin]{}) || at.Value() != by {
		*at = unique.Make(by)
	}
	return *at
}
