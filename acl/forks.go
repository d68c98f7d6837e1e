package acl

import "math/bits"

// Forks are the way to a label among many. A binary search by the labels themselves goes
// to the memory for an entry and for its text at every step, and what it finds there is in
// no cache when thousands of tokens take turns. Forks lie side by side, eight bytes each,
// and say by which single bit of a name to go on; only the entry at the end is looked at.
//
// They are a PATRICIA tree, depth first: a fork, then those on its left side, then those
// on its right.
//
// Whether a label is at an end is one more bit, in front of each byte: a label comes
// before those that begin with it, and bytes of zero are as good as others.
type fork struct {
	where uint32 // of the first bit that differs: 16 × the byte's place + the bit's, from 0 for the one in front
	left  uint32 // how many labels have a 0 there
}

// at returns the place of a byte and how many bits of it are behind the fork's.
func (f fork) at() (place int, behind uint32) { return int(f.where >> 4), 8 - f.where&15 }

// symbol is the byte at a place with the bit in front.
func symbol(s string, place int) uint32 {
	if place < len(s) {
		return 1<<8 | uint32(s[place])
	}
	return 0
}

// follow finds, among so many labels, one that begins like the name for as long as any
// does. Up to the first bit in which the name is like no label, the forks lead to those
// that are like it; of these, one is as good as the other.
func follow(forks []fork, labels int, name string) int {
	first, fork := 0, 0
	for labels > 1 {
		f := forks[fork]
		left := int(f.left)
		place, behind := f.at()
		if place >= len(name) { // all that are left begin with it, the first as well as any
			break
		}
		if symbol(name, place)>>behind&1 == 0 {
			fork++
			labels = left
		} else {
			fork += left // itself, and one fewer than there are labels on its left side
			first += left
			labels -= left
		}
	}
	return first
}

// newForks returns the forks of entries in order.
func newForks(entries []entry) []fork {
	if len(entries) < 2 {
		return nil
	}
	// Between any two neighbours there is a fork. Of those between some labels the one
	// that comes first in the text is above the others: there is one alone, since bits
	// before it are the same in all of these labels.
	type node struct {
		where       uint32
		left, right int32 // -1 for none
	}
	nodes := make([]node, len(entries)-1)
	var path []int32 // from the root to the last node, along the right side
	for i := range nodes {
		n := node{where: whereOf(entries[i].label, entries[i+1].label), left: -1, right: -1}
		for len(path) > 0 && nodes[path[len(path)-1]].where > n.where {
			n.left = path[len(path)-1]
			path = path[:len(path)-1]
		}
		if len(path) > 0 {
			nodes[path[len(path)-1]].right = int32(i)
		}
		nodes[i] = n
		path = append(path, int32(i))
	}

	forks := make([]fork, 0, len(nodes))
	first, next := 0, path[0]
	todo := path[:0] // nodes whose right side is still to come; the path is done with
	for {
		for ; next >= 0; next = nodes[next].left {
			forks = append(forks, fork{where: nodes[next].where, left: uint32(int(next) + 1 - first)})
			todo = append(todo, next)
		}
		if len(todo) == 0 {
			return forks
		}
		last := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		first, next = int(last)+1, nodes[last].right
	}
}

// whereOf is where two labels first differ, a before b.
func whereOf(a, b string) uint32 {
	place := common(a, b)
	return uint32(place)<<4 | uint32(9-bits.Len32(symbol(a, place)^symbol(b, place)))
}
