package cells

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/internal/bench/report"
)

var update = flag.Bool("update", false, "write the listing of bars instead of comparing it")

// TestBars: testdata/bars.txt lists every bar there is, with what is asked in relation to a peer.
// Who loosens one, or drops it, shows that in the diff.
func TestBars(t *testing.T) {
	const file = "testdata/bars.txt"
	var got strings.Builder
	for _, g := range groups(&Options{Sizes: DefaultSizes()}) {
		for _, c := range g.cells {
			for _, figure := range slices.Sorted(maps.Keys(c.bars)) {
				fmt.Fprintf(&got, "%s, %s: %s\n", c.name, figure, c.bars[figure].Text(true))
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the bars are\n%s\n%s has\n%s\n-update writes it", got.String(), file, want)
	}
}

// TestABarNeedsItsFigure: one that is set on a figure nobody measures breaks the cell.
func TestABarNeedsItsFigure(t *testing.T) {
	figures := []report.Figure{{Name: p50}, {Name: p99}}
	bar := report.RatioAtMost(1.5)
	if err := (bars{p99: bar}).set(figures); err != nil || figures[1].Bar != bar || figures[0].Bar != nil {
		t.Errorf("error %v, figures %+v", err, figures)
	}
	if err := (bars{p99: bar, cpuPerOp: bar}).set(figures); err == nil {
		t.Error("a bar without a figure is taken")
	}
}
