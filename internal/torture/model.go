package torture

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// verb is what an operation on a key does.
type verb uint8

const (
	read verb = iota
	put
	cas       // writes if the current value is the expected one
	remove    // deletes
	casRemove // deletes if the current value is the expected one
)

func (v verb) String() string {
	return [...]string{"read", "put", "cas", "remove", "cas-remove"}[v]
}

// value names one write: every put of a load has one of its own. 0 is an absent key.
type value int

// input is an operation as it was asked for.
type input struct {
	verb   verb
	value  value // that is written: put, cas
	expect value // that must be current: cas, casRemove
}

// output is what was answered.
type output struct {
	known bool  // false: whether it happened is unknown; never so for a read
	ok    bool  // cas and casRemove: whether the condition held
	value value // read
}

// register is the model of one key: its current value. A condition on an index is one
// on the value with that index, since a value is written once.
//
// Source: contract, KV: put, cas, delete; a conditional delete of an absent key
// succeeds.
var register = porcupine.Model{
	Init: func() any { return value(0) },
	Step: func(state, in, out any) (bool, any) {
		return step(state.(value), in.(input), out.(output))
	},
	DescribeOperation: func(in, out any) string { return describe(in.(input), out.(output)) },
	DescribeState:     func(state any) string { return fmt.Sprint(state) },
}

// step says whether an operation on a key with the value current can have been answered
// with out, and what the key's value is afterwards.
func step(current value, in input, out output) (possible bool, next value) {
	switch in.verb {
	case read:
		return out.value == current, current
	case put:
		return true, in.value
	case remove:
		return true, 0
	case cas:
		holds := current == in.expect
		if holds {
			next = in.value
		} else {
			next = current
		}
		return !out.known || out.ok == holds, next
	case casRemove:
		holds := current == 0 || current == in.expect
		if !holds {
			next = current
		}
		return !out.known || out.ok == holds, next
	}
	return false, current
}

func describe(in input, out output) string {
	answer := "?"
	switch {
	case in.verb == read:
		return fmt.Sprintf("read → %d", out.value)
	case out.known && (in.verb == cas || in.verb == casRemove):
		answer = fmt.Sprint(out.ok)
	case out.known:
		answer = "done"
	}
	switch in.verb {
	case put:
		return fmt.Sprintf("put %d → %s", in.value, answer)
	case cas:
		return fmt.Sprintf("cas %d→%d → %s", in.expect, in.value, answer)
	case casRemove:
		return fmt.Sprintf("remove if %d → %s", in.expect, answer)
	}
	return fmt.Sprintf("remove → %s", answer)
}
