package baseline

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-kv/holdfast/internal/bench/procfs"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
)

// Table is what the file holds.
type Table struct {
	Recorded   string                      `json:"recorded"` // RFC 3339
	Command    string                      `json:"command"`
	Machine    procfs.Machine              `json:"machine"`
	Tolerances Tolerances                  `json:"tolerances"`
	Cells      map[string]map[string]Entry `json:"cells"` // by cell and figure
}

// Entry is one figure. In the file it is a text such as "1.23 x limit, at worst 1.4", or without
// one of these parts, or both.
type Entry struct {
	Of    Of
	Value float64 // the median of the rounds
	Worst float64 // of the worst round
}

// MarshalText implements encoding.TextMarshaler.
func (e Entry) MarshalText() ([]byte, error) {
	b := strconv.AppendFloat(nil, e.Value, 'g', -1, 64)
	if e.Of != Itself {
		b = append(b, " x "+e.Of...)
	}
	if e.Worst != e.Value {
		b = strconv.AppendFloat(append(b, atWorst...), e.Worst, 'g', -1, 64)
	}
	return b, nil
}

const atWorst = ", at worst "

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Entry) UnmarshalText(b []byte) (err error) {
	figure, worst, spread := strings.Cut(string(b), atWorst)
	number, of, _ := strings.Cut(figure, " x ")
	e.Of = Of(of)
	if e.Value, err = strconv.ParseFloat(number, 64); err != nil {
		return fmt.Errorf("figure %q: %w", b, err)
	}
	e.Worst = e.Value
	if spread {
		if e.Worst, err = strconv.ParseFloat(worst, 64); err != nil {
			return fmt.Errorf("figure %q: %w", b, err)
		}
	}
	if !slices.Contains([]Of{OverLimit, OverFloor, Itself}, e.Of) {
		return fmt.Errorf("figure %q: want a number, and x limit or x floor behind it", b)
	}
	return nil
}

// Record makes a table of a run. A cell of which no figure is kept, since its seconds are judged by
// their bars alone, stands in it empty: that it is measured at all is part of what must stay so.
func Record(run report.Run) Table {
	t := Table{
		Recorded: run.Started, Command: run.Command, Machine: run.Machine,
		Tolerances: DefaultTolerances(), Cells: map[string]map[string]Entry{},
	}
	for i := range run.Rows {
		row := &run.Rows[i]
		if row.Err != nil || row.Skipped != "" {
			continue
		}
		t.Cells[row.Cell] = map[string]Entry{}
		for j := range row.Figures {
			f := &row.Figures[j]
			e, found := pick(f)
			if !found {
				continue
			}
			e.Value, e.Worst = rounded(e.Value), rounded(e.Worst)
			t.Cells[row.Cell][f.Name] = e
		}
	}
	return t
}

// rounded keeps three digits that matter: the rest is noise, and makes a diff of two
// tables harder to read.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// Read reads the table in a file.
func Read(file string) (Table, error) {
	var t Table
	b, err := os.ReadFile(file)
	if err != nil {
		return t, fmt.Errorf("baseline: %w", err)
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return t, fmt.Errorf("baseline %s: %w", file, err)
	}
	for kind, share := range DefaultTolerances() {
		// A table that says nothing of a kind has not been made by hand to allow anything.
		if _, found := t.Tolerances[kind]; !found {
			if t.Tolerances == nil {
				t.Tolerances = Tolerances{}
			}
			t.Tolerances[kind] = share
		}
	}
	return t, nil
}

// Write writes the table to a file.
func (t Table) Write(file string) error {
	b, err := json.MarshalIndent(t, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	return nil
}

// Finding is one thing that differs from the table.
type Finding struct {
	Cell  string
	Fails bool
	Text  string // of the cell and the figure
}

// Compare says what of the rows differs from the table. Only cells that match are looked
// at; nil is all. The findings are sorted by cell.
func (t Table) Compare(rows []report.Row, cell *regexp.Regexp) []Finding {
	var all []Finding
	ran := map[string]bool{}
	for i := range rows {
		ran[rows[i].Cell] = true
		all = append(all, t.compareRow(&rows[i])...)
	}
	for name := range t.Cells {
		if !ran[name] && (cell == nil || cell.MatchString(name)) {
			all = append(all, Finding{name, true, name + ": missing: the table has it, the run has not"})
		}
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return strings.Compare(a.Text, b.Text) })
	return all
}

func (t Table) compareRow(row *report.Row) []Finding {
	var all []Finding
	had, isOld := t.Cells[row.Cell]
	switch {
	case row.Err != nil:
		return []Finding{{row.Cell, true, fmt.Sprintf("%s: broke: %v", row.Cell, row.Err)}}
	case row.Skipped != "" && isOld:
		return []Finding{{row.Cell, true, fmt.Sprintf("%s: skipped: %s", row.Cell, row.Skipped)}}
	case row.Skipped != "":
		return nil
	case !isOld:
		all = append(all, Finding{row.Cell, false, row.Cell + ": new: the table has no such cell"})
	}
	measured := map[string]bool{}
	for i := range row.Figures {
		f := &row.Figures[i]
		measured[f.Name] = true
		switch f.Judge() {
		case report.Missed:
			all = append(all, Finding{row.Cell, true, fmt.Sprintf("%s, %s: the bar of %s is missed", row.Cell, f.Name, f.Bar.Text(f.Peer != nil))})
		case report.Unmeasured: // a bar that only a peer sets is none without one
			all = append(all, Finding{row.Cell, true, fmt.Sprintf("%s, %s: the bar of %s could not be judged", row.Cell, f.Name, f.Bar.Text(f.Peer != nil))})
		case report.NoBar, report.Met:
		}
		old, found := had[f.Name]
		switch {
		case found:
			all = append(all, t.compareFigure(row.Cell, f, old)...)
		case isOld:
			if _, kept := pick(f); kept {
				all = append(all, Finding{row.Cell, false, fmt.Sprintf("%s, %s: new: the table has no such figure", row.Cell, f.Name)})
			}
		}
	}
	for name := range had {
		if !measured[name] {
			all = append(all, Finding{row.Cell, true, fmt.Sprintf("%s, %s: missing: the table has it, the run has not", row.Cell, name)})
		}
	}
	return all
}

// compareFigure compares with what the table has, in its own terms: what is kept of a
// figure may have changed since.
func (t Table) compareFigure(cell string, f *report.Figure, old Entry) []Finding {
	now := f.Subject.Median()
	switch old.Of {
	case OverLimit:
		now = f.Ratio().Median()
	case OverFloor:
		now = f.FloorRatio().Median()
	case Itself:
	}
	kind, _ := kindOf(f.Name)
	share := t.Tolerances[kind]
	switch {
	case !known(now):
		return []Finding{{cell, true, fmt.Sprintf("%s, %s: not measured; the table has %s", cell, f.Name, report.Number(old.Value))}}
	case worse(kind, old.Value, now, share) && worse(kind, old.Worst, now, 0):
		return []Finding{{cell, true, fmt.Sprintf("%s, %s: %s, the table has %s, at worst %s; more than %.0f %% worse", cell, f.Name,
			report.Number(now), report.Number(old.Value), report.Number(old.Worst), 100*share)}}
	}
	return nil
}

// steady is how much a count may differ that was 0, or next to it: a share of nothing is
// nothing.
const steady = 0.01

func worse(kind Kind, old, now, share float64) bool {
	if kind == Rate {
		return now < old*(1-share)
	}
	return now > old*(1+share) && now > old+steady
}

func known(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
