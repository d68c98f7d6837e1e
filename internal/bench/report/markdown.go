package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The results stand between these lines of a page, so that the text around them stays.
const (
	markdownBegin = "<!-- results: begin, written by the benchmark -->\n"
	markdownEnd   = "<!-- results: end -->\n"
)

// ErrNoPlace says that a page has no lines between which results could stand.
var ErrNoPlace = errors.New("it has no lines that begin and end the results")

// UpdatePage replaces the results in a page of documentation by those of a run.
func UpdatePage(file string, run Run) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	before, rest, begins := bytes.Cut(page, []byte(markdownBegin))
	_, after, ends := bytes.Cut(rest, []byte(markdownEnd))
	if !begins || !ends {
		return fmt.Errorf("page %s: %w", file, ErrNoPlace)
	}
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(markdownBegin)
	err = run.WriteMarkdown(&out)
	out.WriteString(markdownEnd)
	out.Write(after)
	if err == nil {
		err = os.WriteFile(file, out.Bytes(), 0o644)
	}
	return err
}

// WriteMarkdown writes the run as tables: first the figures that have to reach something,
// then all.
func (r Run) WriteMarkdown(w io.Writer) error {
	p := &printer{w: w}
	p.f("\nMeasured %s with\n\n```sh\n%s\n```\n\non %s.\n", r.Started, r.Command, r.Machine.Line())
	p.f("\n### What has to be reached\n\n")
	p.table("cell", "figure", "Holdfast", "compared with", "ratio", "bar", "reached")
	r.each(func(cell string, f *Figure) {
		v := f.Judge()
		if v == NoBar {
			return
		}
		with, ratio := f.comparison()
		p.row(cell, f.Name, Number(f.Subject.Median()), with, ratio, "`"+f.Bar.Text(f.Peer != nil)+"`", map[Verdict]string{Met: "yes", Missed: "**no**", Unmeasured: "not measured"}[v])
	})
	p.f("\n### All figures\n\n")
	peer := r.hasPeer()
	titles := []string{"cell", "figure", "Holdfast", "limit", "ratio", "floor", "to floor"}
	if peer {
		titles = append(titles, "peer", "peer/limit")
	}
	p.table(titles...)
	r.each(func(cell string, f *Figure) {
		texts := []string{cell, f.Name}
		for _, v := range []Values{f.Subject, f.Limit, f.Ratio(), f.Floor, f.FloorRatio()} {
			texts = append(texts, Number(v.Median()))
		}
		if peer {
			texts = append(texts, Number(f.Peer.Median()), Number(f.PeerRatio().Median()))
		}
		p.row(texts...)
	})
	p.f("\n")
	for i := range r.Rows {
		row := &r.Rows[i]
		switch {
		case row.Err != nil:
			p.f("- %s broke: %s\n", row.Cell, oneLine(row.Err.Error()))
		case row.Skipped != "":
			p.f("- %s was skipped: %s\n", row.Cell, row.Skipped)
		case row.Note != "":
			p.f("- %s: %s.\n", row.Cell, row.Note)
		}
	}
	p.f("\n")
	return p.err
}

// each calls do for each figure; the cell's name is given with the first of it only.
func (r Run) each(do func(cell string, f *Figure)) {
	for i := range r.Rows {
		for j := range r.Rows[i].Figures {
			do(r.Rows[i].Cell, &r.Rows[i].Figures[j])
		}
	}
}

func (r Run) hasPeer() bool {
	found := false
	r.each(func(_ string, f *Figure) { found = found || f.Peer != nil })
	return found
}

// comparison is what the bar is about: the other's value, and the ratio to it.
func (f *Figure) comparison() (with, ratio string) {
	switch f.Bar.Of {
	case OverLimit:
		return "limit: " + Number(f.Limit.Median()), Number(f.Ratio().Median())
	case OverFloor:
		return "floor: " + Number(f.Floor.Median()), Number(f.FloorRatio().Median())
	case Relative:
		return "peer: " + Number(f.Peer.Median()), Number(f.Subject.Over(f.Peer).Median())
	case Absolute:
	}
	return "", ""
}

// printer remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// table begins one: names to the left, numbers to the right.
func (p *printer) table(titles ...string) {
	p.row(titles...)
	rule := strings.Repeat("---|", 2) + strings.Repeat("---:|", len(titles)-2)
	p.f("|%s\n", rule)
}

func (p *printer) row(texts ...string) { p.f("| %s |\n", strings.Join(texts, " | ")) }
