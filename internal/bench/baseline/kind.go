package baseline

import (
	"strings"

	"github.com/holdfast-kv/holdfast/internal/bench/report"
)

// Kind is what sort of figure something is. It is written to the file.
type Kind string

// The kinds of figures.
const (
	Rate    Kind = "rate"    // operations a second, writes made: the more the better
	CPU     Kind = "cpu"     // CPU time
	Latency Kind = "latency" // times to an answer
	Memory  Kind = "memory"  // resident memory
	Count   Kind = "count"   // requests, wakes, goroutines
)

// Tolerances say by which share a figure may be worse than the table, by kind: 0.15 is
// 15 %.
type Tolerances map[Kind]float64

// DefaultTolerances are what figures of one build differ by from run to run on a machine
// that does nothing else, with some room. CPU time for an operation is the steadiest of
// what is measured against a clock; a 99th percentile is the least steady.
func DefaultTolerances() Tolerances {
	return Tolerances{Rate: 0.2, CPU: 0.15, Latency: 0.5, Memory: 0.15, Count: 0.1}
}

// context is figures that explain others and are neither better nor worse themselves.
var context = map[string]bool{"tries/win": true, "answers/write": true, "writes meanwhile": true}

// kindOf tells a figure's kind by its name, of which the unit is a part, and whether it is
// timed: then it means nothing on another machine unless there is a limit to divide it by.
func kindOf(name string) (kind Kind, timed bool) {
	switch {
	case strings.HasPrefix(name, "CPU"):
		return CPU, true
	case strings.HasSuffix(name, "/s"), name == "writes made", name == "delivered":
		return Rate, true
	case name == "parked":
		return Rate, false
	case strings.Contains(name, "ms"), strings.HasPrefix(name, "seconds"):
		return Latency, true
	case strings.Contains(name, "MiB"), strings.Contains(name, "KiB"):
		return Memory, false
	default:
		return Count, false
	}
}

// Of says what an entry's value is.
type Of string

// What a value is.
const (
	OverLimit Of = "limit" // a ratio to the limit
	OverFloor Of = "floor" // a ratio to the floor
	Itself    Of = ""      // the figure itself
)

// pick chooses what is kept of a figure: the value, if the machine's speed is not in it;
// else what its bar is about; else the ratio to the limit, or to the floor.
func pick(f *report.Figure) (e Entry, found bool) {
	if context[f.Name] {
		return e, false
	}
	kind, timed := kindOf(f.Name)
	rounds := f.FloorRatio()
	ofFloor := f.Bar != nil && f.Bar.Of == report.OverFloor
	switch {
	case !timed:
		e.Of, rounds = Itself, f.Subject
	case known(f.Ratio().Median()) && !ofFloor:
		e.Of, rounds = OverLimit, f.Ratio()
	default:
		e.Of = OverFloor
	}
	e.Value = rounds.Median()
	least, greatest := rounds.Range()
	switch {
	case kind != Rate:
		e.Worst = greatest
	case least > 0:
		e.Worst = least
	default: // nothing was done in a round, and no later run could do less
		e.Worst = e.Value
	}
	return e, known(e.Value)
}
