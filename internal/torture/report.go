package torture

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Bars are what a fault may cost at most. 0 is not judged.
type Bars struct {
	SilenceMedian time.Duration // of the runs
	Silence       time.Duration // of each run
	Equal         time.Duration
	Late          time.Duration
}

// Row is what the runs of one fault have found.
type Row struct {
	Fault   string
	Servers int
	Bars    Bars
	Runs    []Run

	// Aside are runs that tell nothing, each of which was done again: see Run.Disturbed.
	Aside []Run
}

// Run is one run of a fault.
type Run struct {
	Seed   uint64
	Result *Result

	// Spared are the servers that the fault left alone: only what their clients suffered
	// counts. None: any client that gets through will do.
	Spared []int
}

// Silence is a time in which writing was not possible.
type Silence struct {
	At     time.Duration // when it began
	Length time.Duration
	Stall  time.Duration // how long the longest bare flush beside it took, as in a Result
}

// Silence is the longest one, for those who could expect that writing was possible.
func (r Run) Silence() Silence {
	if len(r.Spared) == 0 {
		return Silence{r.Result.SilenceAt, r.Result.Silence, r.Result.SilenceStall}
	}
	var longest Silence
	for _, id := range r.Spared {
		if length := r.Result.ServerSilence[id]; length > longest.Length {
			longest = Silence{r.Result.ServerSilenceAt[id], length, r.Result.ServerStall[id]}
		}
	}
	return longest
}

// Disturbed reports whether a run misses the bar of its silence only since the machine stood still:
// less the longest bare flush beside it, the silence is below the bar. Who breaks a promise is not
// excused by that.
func (r Run) Disturbed(b Bars) bool {
	s := r.Silence()
	return b.Silence > 0 && s.Length > b.Silence && s.Length-max(0, s.Stall) <= b.Silence && len(r.Result.Faults) == 0
}

// MayBeAside is how many runs of so many may be set aside: one of five, and one in any case. More
// of them count as they are: where the machine stands still so often, nothing can be promised.
func MayBeAside(runs int) int { return max(1, runs/5) }

// Verdict is what a row misses, nothing if it is well.
func (r Row) Verdict() []string {
	var missed []string
	over := func(what string, got, bar time.Duration) {
		if bar > 0 && got > bar {
			missed = append(missed, fmt.Sprintf("%s %s > %s", what, rounded(got), bar))
		}
	}
	silence, equal, late := r.spans()
	over("median silence", median(silence), r.Bars.SilenceMedian)
	over("silence", worst(silence), r.Bars.Silence)
	if i := slices.Index(silence, worst(silence)); i >= 0 && r.Bars.Silence > 0 && silence[i] > r.Bars.Silence {
		missed[len(missed)-1] += fmt.Sprintf(" (a bare write and flush beside it took %s)", seen(r.Runs[i].Silence().Stall))
	}
	over("equal after", worst(equal), r.Bars.Equal)
	over("watchers late by", worst(late), r.Bars.Late)
	if n := r.faults(); n > 0 {
		missed = append(missed, fmt.Sprintf("%d broken promises", n))
	}
	return missed
}

func (r Row) spans() (silence, equal, late []time.Duration) {
	for _, run := range r.Runs {
		silence = append(silence, run.Silence().Length)
		equal = append(equal, run.Result.Equal)
		late = append(late, run.Result.Late)
	}
	return silence, equal, late
}

func (r Row) faults() int {
	n := 0
	for _, run := range r.Runs {
		n += len(run.Result.Faults)
	}
	return n
}

// Report writes the rows as a table, with the broken promises below it, and reports
// whether all of them are well. Beside the silence stand the longest one before the
// fault, and the longest bare flush of a file: a machine that is busy stops everybody for a while,
// and no bar can be judged there. Runs that were set aside for that are told below.
func Report(w io.Writer, rows []Row) (ok bool) {
	ok = true
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "fault\tservers\truns\tset aside\tsilence: median\tbar\tworst\tbar\tbefore it\tbare flush\tequal after\tbar\twatchers late\tbar\twrites\tkeys checked\tunknown\tbroken promises\t")
	for _, r := range rows {
		silence, equal, late := r.spans()
		var writes, keys, open int
		var calm time.Duration
		stall := time.Duration(noWitness)
		for _, run := range r.Runs {
			writes += run.Result.Writes
			keys += run.Result.Keys
			open += run.Result.Unknown
			calm = max(calm, run.Result.CalmSilence)
			stall = max(stall, run.Result.Stall)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t\n", r.Fault, r.Servers, len(r.Runs), len(r.Aside),
			rounded(median(silence)), bar(r.Bars.SilenceMedian), rounded(worst(silence)), bar(r.Bars.Silence), rounded(calm), seen(stall),
			rounded(worst(equal)), bar(r.Bars.Equal), rounded(worst(late)), bar(r.Bars.Late), writes, keys, open, r.faults())
	}
	_ = t.Flush() // as the other writes: who cannot read the table has the exit code
	for _, r := range rows {
		for _, run := range r.Aside {
			s := run.Silence()
			fmt.Fprintf(w, "%s, seed %d: set aside and done again: a silence of %s, but a bare write and flush beside it took %s\n", r.Fault, run.Seed, rounded(s.Length), seen(s.Stall))
		}
		if missed := r.Verdict(); len(missed) > 0 {
			ok = false
			fmt.Fprintf(w, "%s MISSES: %s\n", r.Fault, strings.Join(missed, ", "))
		}
		for _, run := range r.Runs {
			for _, fault := range run.Result.Faults {
				fmt.Fprintf(w, "%s, seed %d: %s\n", r.Fault, run.Seed, fault)
			}
		}
	}
	return ok
}

func bar(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.String()
}

// seen is what a witness has seen, or that there was none.
func seen(d time.Duration) string {
	switch {
	case d < 0:
		return "?"
	case d < stallFrom:
		return "<" + stallFrom.String()
	}
	return rounded(d).String()
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// median is the middle one, the greater of the two of an even number; 0 of none.
func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(d))[len(d)/2]
}

func worst(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Max(d)
}
