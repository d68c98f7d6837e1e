package kvs

import "unique"

// Nobody is the origin of what nobody asked for.
var Nobody = unique.Make(Origin{})

// Origins are those of late: with thousands of tokens, to look each up among all that
// there ever were costs as much as the write itself takes in the tree. The zero value
// knows none. It is used by one goroutine.
//
// There are places enough for some ten thousand tokens in turn, and each is one word, so
// that the garbage collector has little to look at.
type Origins struct {
	late [1 << placeBits]unique.Handle[Origin]
}

const placeBits = 14

// Handle returns the handle of an origin.
func (o *Origins) Handle(by Origin) unique.Handle[Origin] {
	at := &o.late[placeFor(by.Accessor, by.Address, len(by.Reason))]
	if *at == (unique.Handle[Origin]{}) || at.Value() != by {
		*at = unique.Make(by)
	}
	return *at
}

// Of returns the handle of the origin with these texts and no reason. One of late needs
// no memory.
func (o *Origins) Of(accessor, address []byte) unique.Handle[Origin] {
	at := &o.late[placeFor(accessor, address, 0)]
	if *at != (unique.Handle[Origin]{}) {
		if by := at.Value(); by.Accessor == string(accessor) && by.Address == string(address) && by.Reason == "" {
			return *at
		}
	}
	*at = unique.Make(Origin{Accessor: string(accessor), Address: string(address)})
	return *at
}

// placeFor is where an origin is, if it is one of late. Ids and addresses differ most at
// their ends.
func placeFor[T string | []byte](accessor, address T, reason int) uint64 {
	n := (tail(accessor)*31+tail(address))*31 + uint64(reason)
	return n * 0x9e3779b97f4a7c15 >> (64 - placeBits)
}

// tail is the number that the last eight bytes are.
func tail[T string | []byte](text T) (n uint64) {
	for i := max(0, len(text)-8); i < len(text); i++ {
		n = n<<8 | uint64(text[i])
	}
	return n
}
