package report

import (
	"encoding/json"
	"math"
	"slices"
)

// Values holds one number for each round, NaN where there is none. It is
// written to JSON with null for NaN.
type Values []float64

// MarshalJSON implements json.Marshaler.
func (v Values) MarshalJSON() ([]byte, error) {
	out := make([]*float64, len(v))
	for i := range v {
		out[i] = number(v[i])
	}
	return json.Marshal(out)
}

// number is nil for what JSON cannot say.
func number(f float64) *float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return &f
}

// Median of the values that are there; NaN if there are none.
func (v Values) Median() float64 {
	s := slices.Sorted(v.present)
	if len(s) == 0 {
		return math.NaN()
	}
	mid := len(s) / 2
	if len(s)%2 == 1 {
		return s[mid]
	}
	return (s[mid-1] + s[mid]) / 2
}

// Range is the least and the greatest value that is there; NaN if there is none.
func (v Values) Range() (least, greatest float64) {
	s := slices.Collect(v.present)
	if len(s) == 0 {
		return math.NaN(), math.NaN()
	}
	return slices.Min(s), slices.Max(s)
}

func (v Values) present(yield func(float64) bool) {
	for _, f := range v {
		if !math.IsNaN(f) && !yield(f) {
			return
		}
	}
}

// Over divides round by round. A round that either side lacks, or where the
// divisor is 0, gives NaN.
func (v Values) Over(w Values) Values {
	out := make(Values, max(len(v), len(w)))
	for i := range out {
		out[i] = math.NaN()
		if i < len(v) && i < len(w) && w[i] != 0 {
			out[i] = v[i] / w[i]
		}
	}
	return out
}

// Figure is one measured quantity of a cell.
type Figure struct {
	Name string // with its unit, such as "p99 ms"

	Subject Values // the server under test
	Limit   Values // nil if there is no limit for it
	Floor   Values // nil if there is no floor for it
	Peer    Values // nil if there is no peer

	Bar *Bar // nil if none is set
}

// Ratio is subject over limit, by round.
func (f *Figure) Ratio() Values { return f.Subject.Over(f.Limit) }

// FloorRatio is subject over floor, by round.
func (f *Figure) FloorRatio() Values { return f.Subject.Over(f.Floor) }

// PeerRatio is peer over limit, by round.
func (f *Figure) PeerRatio() Values { return f.Peer.Over(f.Limit) }

// Judge says how the figure stands to its bar.
func (f *Figure) Judge() Verdict {
	if f.Bar == nil {
		return NoBar
	}
	return f.Bar.judge(f)
}

// Row is what one cell gave.
type Row struct {
	Cell    string
	Figures []Figure

	// Note says what a reader must know beside the figures; one line.
	Note string

	// Skipped says why the cell was not run, Err why it broke. At most one of
	// them is set, and then there are no figures.
	Skipped string
	Err     error
}
