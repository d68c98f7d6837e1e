package report

import (
	"fmt"
	"math"
	"strings"
)

// Verdict is how a figure stands to its bar.
type Verdict int

// The verdicts, the worse the later. Unmeasured is a figure with a bar and without a
// value.
const (
	NoBar Verdict = iota
	Met
	Unmeasured
	Missed
)

// String is the mark in the table.
func (v Verdict) String() string {
	switch v {
	case Met:
		return "ok"
	case Missed:
		return "MISSED"
	case Unmeasured:
		return "not measured"
	default:
		return ""
	}
}

// Base says what a bar's value is measured by.
type Base int

// The bases. Of a Relative bar there is no value but that of Bar.Peer.
const (
	Absolute  Base = iota // the subject's own value
	OverLimit             // subject/limit
	OverFloor             // subject/floor
	Relative              // to the peer only
)

// Bar is what a figure has to reach. Make one with the functions below, which say the
// direction: a cost is at most, a rate at least.
type Bar struct {
	Of      Base
	AtLeast bool // the value must not be below Value, else not above
	Value   float64
	Unit    string // behind the number in the table; "" for a ratio

	// Peer is the ratio to the peer that must be kept besides, in the same direction,
	// where a peer is measured; 0 is none.
	Peer float64
}

// RatioAtMost is a bar on a cost: no more than v times that of the limit.
func RatioAtMost(v float64) *Bar { return &Bar{Of: OverLimit, Value: v} }

// RatioAtLeast is a bar on a rate: no less than v times that of the limit.
func RatioAtLeast(v float64) *Bar { return &Bar{Of: OverLimit, AtLeast: true, Value: v} }

// FloorAtMost is a bar on a cost: no more than v times that of the floor.
func FloorAtMost(v float64) *Bar { return &Bar{Of: OverFloor, Value: v} }

// FloorAtLeast is a bar on a rate: no less than v times that of the floor.
func FloorAtLeast(v float64) *Bar { return &Bar{Of: OverFloor, AtLeast: true, Value: v} }

// AtMost is a bar on the value itself.
func AtMost(v float64, unit string) *Bar { return &Bar{Value: v, Unit: unit} }

// PeerAtMost is a bar on a cost that only a peer sets: no more than v times its own.
func PeerAtMost(v float64) *Bar { return &Bar{Of: Relative, Peer: v} }

// PeerAtLeast is a bar on a rate that only a peer sets: no less than v times its own.
func PeerAtLeast(v float64) *Bar { return &Bar{Of: Relative, AtLeast: true, Peer: v} }

// AndPeer adds what must be kept to a peer, where there is one.
func (b *Bar) AndPeer(v float64) *Bar {
	b.Peer = v
	return b
}

// Text is the bar as the table shows it, such as "<= 1.5 x". What is asked in relation
// to a peer is left out if there is none.
func (b *Bar) Text(peer bool) string {
	op := "<="
	if b.AtLeast {
		op = ">="
	}
	var parts []string
	if unit, found := map[Base]string{Absolute: b.Unit, OverLimit: "x", OverFloor: "x floor"}[b.Of]; found {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %v %s", op, b.Value, unit)))
	}
	if peer && b.Peer != 0 {
		parts = append(parts, fmt.Sprintf("%s %v x peer", op, b.Peer))
	}
	return strings.Join(parts, ", ")
}

// meets says whether v is on the right side of bound.
func (b *Bar) meets(v, bound float64) Verdict {
	switch {
	case math.IsNaN(v):
		return Unmeasured
	case b.AtLeast && v >= bound, !b.AtLeast && v <= bound:
		return Met
	default:
		return Missed
	}
}

// judge is the verdict on a figure; of two demands the one that is worse off.
func (b *Bar) judge(f *Figure) Verdict {
	verdict := NoBar
	switch b.Of {
	case Absolute:
		verdict = b.meets(f.Subject.Median(), b.Value)
	case OverLimit:
		verdict = b.meets(f.Ratio().Median(), b.Value)
	case OverFloor:
		verdict = b.meets(f.FloorRatio().Median(), b.Value)
	case Relative:
	}
	if b.Peer != 0 {
		// Of a peer whose process is not known there is no CPU time: then it sets no bar.
		if v := f.Subject.Over(f.Peer).Median(); !math.IsNaN(v) {
			verdict = max(verdict, b.meets(v, b.Peer))
		}
	}
	return verdict
}

// Tally counts verdicts over all rows.
type Tally struct {
	Met, Missed, Unmeasured int
	Broken                  int // cells that did not finish
}

// Count adds up the verdicts of rows.
func Count(rows []Row) Tally {
	var t Tally
	for i := range rows {
		if rows[i].Err != nil {
			t.Broken++
		}
		for j := range rows[i].Figures {
			switch rows[i].Figures[j].Judge() {
			case Met:
				t.Met++
			case Missed:
				t.Missed++
			case Unmeasured:
				t.Unmeasured++
			case NoBar:
			}
		}
	}
	return t
}
