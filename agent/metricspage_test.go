package agent

import (
	goflag "flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

var update = goflag.Bool("update", false, "write the reference page instead of comparing it")

// metricsPage is where the reference page of the metrics is kept. Its tables are made
// from what a server shows; the text around them is written by hand.
const metricsPage = "../website/reference/metrics.md"

const (
	tablesBegin = "<!-- Generated from the metrics of a server. Do not edit: run \"go generate ./agent\". -->\n"
	tablesEnd   = "<!-- End of what is generated. -->\n"
)

// parts are the sections of the page, by the first word of a name.
var parts = []struct{ part, title string }{
	{"http", "Requests"},
	{"acl", "Access control"},
	{"store", "The state"},
	{"history", "History"},
	{"raft", "Raft"},
	{"snapshot", "Snapshots"},
	{"disk", "Disk"},
	{"tls", "Certificates"},
	{"config", "Configuration"},
	{"audit", "The audit log"},
	{"log", "The server's log"},
	{"process", "The process"},
	{"build", "The build"},
}

// metricsTables writes a table for each part.
func metricsTables(t *testing.T, families map[string]*dto.MetricFamily) string {
	t.Helper()
	var names []string
	for name := range families {
		if strings.HasPrefix(name, "holdfast_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	written := 0
	for _, p := range parts {
		fmt.Fprintf(&b, "\n## %s\n\n| Metric | Kind | Labels | Meaning |\n|---|---|---|---|\n", p.title)
		for _, name := range names {
			if !strings.HasPrefix(name, "holdfast_"+p.part+"_") {
				continue
			}
			f := families[name]
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), labelCell(f), f.GetHelp())
			written++
		}
	}
	if written != len(names) {
		t.Errorf("%d of %d metrics have a section: a part is missing in the list", written, len(names))
	}
	b.WriteString("\n")
	return b.String()
}

// labelCell names the labels of a metric, with their values where these are few and
// always the same.
func labelCell(f *dto.MetricFamily) string {
	var names []string
	values := map[string][]string{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if !slices.Contains(names, l.GetName()) {
				names = append(names, l.GetName())
			}
			if !slices.Contains(values[l.GetName()], l.GetValue()) {
				values[l.GetName()] = append(values[l.GetName()], l.GetValue())
			}
		}
	}
	var cells []string
	for _, name := range names {
		cell := "`" + name + "`"
		switch name {
		case "route", "peer", "version", "revision", "go_version": // explained above the tables
		default:
			slices.Sort(values[name])
			cell += ": " + strings.Join(values[name], ", ")
		}
		cells = append(cells, cell)
	}
	return strings.Join(cells, "; ")
}

func TestMetricsPageIsFresh(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	if err := m.raft.AddNonvoter("peer-1", "127.0.0.1:1", 0, 0).Error(); err != nil { // so that all series are there
		t.Fatal(err)
	}
	families := m.scrape(t)
	data, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), tablesBegin)
	_, after, okEnd := strings.Cut(rest, tablesEnd)
	if !ok || !okEnd {
		t.Fatalf("%s does not have the two lines that the tables stand between", metricsPage)
	}
	want := before + tablesBegin + metricsTables(t, families) + tablesEnd + after
	if *update {
		if err := os.WriteFile(metricsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(data) != want {
		t.Errorf("%s is not what the server shows; go generate ./agent writes it", metricsPage)
	}
	// What the text and the alerts name must exist.
	for _, name := range regexp.MustCompile(`holdfast_[a-z_]+`).FindAllString(before+after, -1) {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if families[name] == nil && families[base] == nil {
			t.Errorf("the page names %s, which does not exist", name)
		}
	}
}
