package report

import (
	"fmt"
	"math"
)

// Verdict is how a figure stands to its bar.
type Verdict int

// The verdicts. Unmeasured is a figure with a bar and without a value.
const (
	NoBar Verdict = iota
	Met
	Missed
	Unmeasured
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

// Bar is what a figure has to reach.
type Bar struct {
	OfRatio bool // the bar is on subject/limit, else on the subject's value
	AtLeast bool // the value must not be below Value, else not above
	Value   float64
	Unit    string // behind the number in the table; "" for a ratio
}

// RatioAtMost is a bar on a cost: no more than v times that of the limit.
func RatioAtMost(v float64) *Bar { return &Bar{OfRatio: true, Value: v} }

// RatioAtLeast is a bar on a throughput: no less than v times that of the limit.
func RatioAtLeast(v float64) *Bar { return &Bar{OfRatio: true, AtLeast: true, Value: v} }

// AtMost is a bar on the value itself.
func AtMost(v float64, unit string) *Bar { return &Bar{Value: v, Unit: unit} }

// String is the bar as the table shows it, such as "<= 1.5 x".
func (b *Bar) String() string {
	op, unit := "<=", b.Unit
	if b.AtLeast {
		op = ">="
	}
	if b.OfRatio {
		unit = "x"
	}
	s := fmt.Sprintf("%s %v", op, b.Value)
	if unit != "" {
		s += " " + unit
	}
	return s
}

func (b *Bar) judge(v float64) Verdict {
	switch {
	case math.IsNaN(v):
		return Unmeasured
	case b.AtLeast && v >= b.Value, !b.AtLeast && v <= b.Value:
		return Met
	default:
		return Missed
	}
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
