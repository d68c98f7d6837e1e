package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// none stands for a value that is not there.
const none = "-"

// Table prints rows as they come, so that a long run shows where it is.
type Table struct {
	w    io.Writer
	cols []column
	err  error // the first error of w
}

type column struct {
	title string
	width int
	left  bool // aligned left, else right
	cell  func(*Figure) string
}

// NewTable prints the heading. peer adds the columns of a further server.
func NewTable(w io.Writer, peer bool) *Table {
	t := &Table{w: w, cols: []column{
		{"figure", 14, true, func(f *Figure) string { return f.Name }},
		{"holdfast", 11, false, func(f *Figure) string { return Number(f.Subject.Median()) }},
		{"limit", 11, false, func(f *Figure) string { return Number(f.Limit.Median()) }},
		{"ratio", 7, false, func(f *Figure) string { return Number(f.Ratio().Median()) }},
		{"rounds", 13, false, func(f *Figure) string { return spread(f.Ratio()) }},
		{"floor", 8, false, func(f *Figure) string { return Number(f.Floor.Median()) }},
		{"to floor", 8, false, func(f *Figure) string { return Number(f.FloorRatio().Median()) }},
	}}
	if peer {
		t.cols = append(t.cols,
			column{"peer", 11, false, func(f *Figure) string { return Number(f.Peer.Median()) }},
			column{"peer/limit", 10, false, func(f *Figure) string { return Number(f.PeerRatio().Median()) }},
		)
	}
	t.cols = append(t.cols, column{"reach", 0, true, reach})

	titles := make([]string, len(t.cols))
	for i, c := range t.cols {
		titles[i] = c.title
	}
	t.line("cell", titles)
	return t
}

// Row prints one cell: a line for each figure, or why there are none.
func (t *Table) Row(r Row) {
	switch {
	case r.Err != nil:
		t.printf("%s %s\n", pad(r.Cell, cellWidth, true), "BROKEN: "+oneLine(r.Err.Error()))
	case r.Skipped != "":
		t.printf("%s %s\n", pad(r.Cell, cellWidth, true), "skipped: "+r.Skipped)
	}
	name := r.Cell
	for i := range r.Figures {
		texts := make([]string, len(t.cols))
		for j, c := range t.cols {
			texts[j] = c.cell(&r.Figures[i])
		}
		t.line(name, texts)
		name = ""
	}
	if r.Note != "" {
		t.printf("%s (%s)\n", pad("", cellWidth, true), r.Note)
	}
}

// Summary prints the verdicts in one line.
func (t *Table) Summary(c Tally) {
	t.printf("\nbars: %d met, %d missed, %d not measured; cells that broke: %d\n", c.Met, c.Missed, c.Unmeasured, c.Broken)
}

// Err is the first error of writing.
func (t *Table) Err() error { return t.err }

const cellWidth = 24

func (t *Table) line(cell string, texts []string) {
	var b strings.Builder
	b.WriteString(pad(cell, cellWidth, true))
	for i, c := range t.cols {
		b.WriteByte(' ')
		b.WriteString(pad(texts[i], c.width, c.left))
	}
	t.printf("%s\n", strings.TrimRight(b.String(), " "))
}

func (t *Table) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

func pad(s string, width int, left bool) string {
	fill := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
	if left {
		return s + fill
	}
	return fill + s
}

func reach(f *Figure) string {
	v := f.Judge()
	if v == NoBar {
		return ""
	}
	return pad(f.Bar.Text(f.Peer != nil), 10, true) + " " + v.String()
}

// spread is the range of the rounds; nothing is said about a single one.
func spread(v Values) string {
	least, greatest := v.Range()
	if math.IsNaN(least) || least == greatest {
		return ""
	}
	return Number(least) + ".." + Number(greatest)
}

// Number prints three digits that matter, with commas in large numbers.
func Number(f float64) string {
	switch a := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return none
	case f == 0:
		return "0"
	case a >= 99.95:
		return commas(strconv.FormatFloat(f, 'f', 0, 64))
	case a >= 9.995:
		return strconv.FormatFloat(f, 'f', 1, 64)
	case a >= 0.9995:
		return strconv.FormatFloat(f, 'f', 2, 64)
	default:
		return strconv.FormatFloat(f, 'f', 3, 64)
	}
}

func commas(s string) string {
	sign := ""
	if rest, negative := strings.CutPrefix(s, "-"); negative {
		sign, s = "-", rest
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }
