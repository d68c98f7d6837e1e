package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-kv/holdfast/internal/bench/procfs"
)

var nan = math.NaN()

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestMedianAndRange(t *testing.T) {
	for _, tc := range []struct {
		rule                    string
		v                       Values
		median, least, greatest float64
	}{
		{"of nothing there is none", nil, nan, nan, nan},
		{"of one it is that", Values{3}, 3, 3, 3},
		{"of an odd count it is the middle one", Values{9, 1, 5}, 5, 1, 9},
		{"of an even count it is between the middle two", Values{4, 1, 9, 2}, 3, 1, 9},
		{"what was not measured does not count", Values{nan, 7, nan}, 7, 7, 7},
		{"nothing measured gives none", Values{nan, nan}, nan, nan, nan},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			before := append(Values(nil), tc.v...)
			if got := tc.v.Median(); !same(got, tc.median) {
				t.Errorf("median %v, want %v", got, tc.median)
			}
			if a, b := tc.v.Range(); !same(a, tc.least) || !same(b, tc.greatest) {
				t.Errorf("range %v to %v, want %v to %v", a, b, tc.least, tc.greatest)
			}
			if diff := cmp.Diff(before, tc.v, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("the values were changed:\n%s", diff)
			}
		})
	}
}

func TestRatioIsPairedByRound(t *testing.T) {
	for _, tc := range []struct {
		rule           string
		subject, limit Values
		ratios         Values
		median         float64
	}{
		// Medians of the sides would give 20/4 = 5; the pairs say 2.
		{"the median of ratios, not the ratio of medians", Values{2, 20, 60}, Values{1, 10, 4}, Values{2, 2, 15}, 2},
		{"a round that one side lacks is left out", Values{2, nan, 6}, Values{1, 1, 2}, Values{2, nan, 3}, 2.5},
		{"a shorter side leaves the rest out", Values{2, 4}, Values{1}, Values{2, nan}, 2},
		{"nothing is divided by 0", Values{2, 4}, Values{0, 2}, Values{nan, 2}, 2},
		{"without a limit there is none", Values{2}, nil, Values{nan}, nan},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := Figure{Subject: tc.subject, Limit: tc.limit}
			if diff := cmp.Diff(tc.ratios, f.Ratio(), cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("ratios (-want +got):\n%s", diff)
			}
			if got := f.Ratio().Median(); !same(got, tc.median) {
				t.Errorf("median %v, want %v", got, tc.median)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		rule string
		f    Figure
		want Verdict
	}{
		{"no bar, no verdict", Figure{Subject: Values{1}}, NoBar},
		{"a cost at the bar is met", Figure{Subject: Values{3}, Limit: Values{2}, Bar: RatioAtMost(1.5)}, Met},
		{"a cost above it is missed", Figure{Subject: Values{3.1}, Limit: Values{2}, Bar: RatioAtMost(1.5)}, Missed},
		{"a throughput at the bar is met", Figure{Subject: Values{6}, Limit: Values{10}, Bar: RatioAtLeast(0.6)}, Met},
		{"a throughput below it is missed", Figure{Subject: Values{5.9}, Limit: Values{10}, Bar: RatioAtLeast(0.6)}, Missed},
		{"a bar on the value needs no limit", Figure{Subject: Values{0, 0, 1}, Bar: AtMost(0, "")}, Met},
		{"a value above it is missed", Figure{Subject: Values{351}, Bar: AtMost(350, "MiB")}, Missed},
		{"what was not measured is neither", Figure{Subject: Values{nan}, Bar: AtMost(1, "s")}, Unmeasured},
		{"a ratio without a limit is neither", Figure{Subject: Values{1}, Bar: RatioAtMost(2)}, Unmeasured},
		{"a bar on the floor looks at nothing else", Figure{Subject: Values{3}, Limit: Values{9}, Floor: Values{2}, Bar: FloorAtMost(1.4)}, Missed},
		{"a rate is at least that share of the floor", Figure{Subject: Values{9}, Floor: Values{10}, Bar: FloorAtLeast(0.85)}, Met},
		{"a peer asks for nothing when there is none", Figure{Subject: Values{3}, Limit: Values{2}, Bar: RatioAtMost(1.5).AndPeer(0.1)}, Met},
		{"a peer's bar is missed alone", Figure{Subject: Values{3}, Limit: Values{2}, Peer: Values{20}, Bar: RatioAtMost(1.5).AndPeer(0.1)}, Missed},
		{"or met with the other", Figure{Subject: Values{3}, Limit: Values{2}, Peer: Values{40}, Bar: RatioAtMost(1.5).AndPeer(0.1)}, Met},
		{"which does not make up for a miss", Figure{Subject: Values{4}, Limit: Values{2}, Peer: Values{40}, Bar: RatioAtMost(1.5).AndPeer(0.1)}, Missed},
		{"a peer of unknown CPU time takes nothing away", Figure{Subject: Values{3}, Limit: Values{2}, Peer: Values{nan}, Bar: RatioAtMost(1.5).AndPeer(0.1)}, Met},
		{"a bar of the peer alone is none without it", Figure{Subject: Values{3}, Bar: PeerAtLeast(2)}, NoBar},
		{"and judged with it", Figure{Subject: Values{3}, Peer: Values{2}, Bar: PeerAtLeast(2)}, Missed},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := tc.f.Judge(); got != tc.want {
				t.Errorf("verdict %q, want %q", got, tc.want)
			}
		})
	}
}

func TestNumber(t *testing.T) {
	for _, tc := range []struct {
		f    float64
		want string
	}{
		{0, "0"},
		{0.0123, "0.012"},
		{0.9996, "1.00"},
		{1.234, "1.23"},
		{9.996, "10.0"},
		{12.34, "12.3"},
		{99.96, "100"},
		{123.4, "123"},
		{1234.5, "1,234"},
		{12345678, "12,345,678"},
		{-1234, "-1,234"},
		{nan, "-"},
		{math.Inf(1), "-"},
	} {
		if got := Number(tc.f); got != tc.want {
			t.Errorf("Number(%v) = %q, want %q", tc.f, got, tc.want)
		}
	}
}

func rows() []Row {
	return []Row{
		{Cell: "get-c64", Note: "a note", Figures: []Figure{
			{Name: "ops/s", Subject: Values{40000, 50000, 42000}, Limit: Values{60000, 61000, 62000}, Peer: Values{16000, 16000, 16000}},
			{Name: "CPU us/op", Subject: Values{15, 16, 17}, Limit: Values{13, 13, 13}, Bar: RatioAtMost(1.5)},
			{Name: "p99 ms", Subject: Values{15, 16, 17}, Limit: Values{5, 5, 5}, Bar: RatioAtMost(2)},
		}},
		{Cell: "restart", Skipped: "the server is not ours to restart"},
		{Cell: "txn", Err: errors.New("answered with status 500:\nno leader")},
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	tab := NewTable(&out, true)
	for _, r := range rows() {
		tab.Row(r)
	}
	tab.Summary(Count(rows()))
	if tab.Err() != nil {
		t.Fatal(tab.Err())
	}
	want := strings.TrimLeft(`
cell                     figure            holdfast       limit   ratio        rounds    floor to floor        peer peer/limit reach
get-c64                  ops/s               42,000      61,000   0.677  0.667..0.820        -        -      16,000      0.262
                         CPU us/op             16.0        13.0    1.23    1.15..1.31        -        -           -          - <= 1.5 x   ok
                         p99 ms                16.0        5.00    3.20    3.00..3.40        -        -           -          - <= 2 x     MISSED
                         (a note)
restart                  skipped: the server is not ours to restart
txn                      BROKEN: answered with status 500:; no leader

bars: 1 met, 1 missed, 0 not measured; cells that broke: 1
`, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestTableReportsAWriterThatFails(t *testing.T) {
	tab := NewTable(brokenPipe{}, false)
	tab.Row(rows()[0])
	if !errors.Is(tab.Err(), errBroken) {
		t.Errorf("error %v, want %v", tab.Err(), errBroken)
	}
}

var errBroken = errors.New("broken pipe")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

func TestJSONHasNullForWhatWasNotMeasured(t *testing.T) {
	var out bytes.Buffer
	run := Run{Started: "2026-01-02T03:04:05Z", Rows: []Row{
		{Cell: "c", Figures: []Figure{{Name: "ops/s", Subject: Values{1, nan, 3}, Limit: Values{2, 2, 2}, Bar: RatioAtLeast(0.6)}}},
		{Cell: "d", Err: errors.New("broke")},
	}}
	if err := run.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Cells []struct {
			Error   string
			Figures []struct {
				Subject, Limit, Peer, Ratio *float64
				Rounds                      struct{ Subject []*float64 }
				Bar, Verdict                string
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Cells) != 2 || got.Cells[1].Error != "broke" {
		t.Fatalf("cells %+v", got.Cells)
	}
	f := got.Cells[0].Figures[0]
	if f.Peer != nil || f.Rounds.Subject[1] != nil {
		t.Error("what was not measured is not null")
	}
	if f.Subject == nil || *f.Subject != 2 || f.Ratio == nil || *f.Ratio != 1 || f.Bar != ">= 0.6 x" || f.Verdict != "ok" {
		t.Errorf("figure in %s", out.String())
	}
}

func TestMarkdown(t *testing.T) {
	run := Run{Started: "2026-01-02T03:04:05Z", Command: "go run x", Machine: procfs.Machine{Cores: 2, CPU: "a cpu"}, Rows: append(rows(), Row{
		Cell: "fanout", Figures: []Figure{
			{Name: "last ms", Subject: Values{3}, Limit: Values{4}, Floor: Values{2}, Bar: FloorAtMost(1.6)},
			{Name: "only with a peer", Subject: Values{3}, Bar: PeerAtMost(1)},
		},
	})}
	var out bytes.Buffer
	if err := run.WriteMarkdown(&out); err != nil {
		t.Fatal(err)
	}
	want := `
Measured 2026-01-02T03:04:05Z with

~~~sh
go run x
~~~

on 2 cores (a cpu), 0.0 GiB,  , Linux , unknown, load unknown.

### What has to be reached

| cell | figure | Holdfast | compared with | ratio | bar | reached |
|---|---|---:|---:|---:|---:|---:|
| get-c64 | CPU us/op | 16.0 | limit: 13.0 | 1.23 | §<= 1.5 x§ | yes |
| get-c64 | p99 ms | 16.0 | limit: 5.00 | 3.20 | §<= 2 x§ | **no** |
| fanout | last ms | 3.00 | floor: 2.00 | 1.50 | §<= 1.6 x floor§ | yes |

### All figures

| cell | figure | Holdfast | limit | ratio | floor | to floor | peer | peer/limit |
|---|---|---:|---:|---:|---:|---:|---:|---:|
| get-c64 | ops/s | 42,000 | 61,000 | 0.677 | - | - | 16,000 | 0.262 |
| get-c64 | CPU us/op | 16.0 | 13.0 | 1.23 | - | - | - | - |
| get-c64 | p99 ms | 16.0 | 5.00 | 3.20 | - | - | - | - |
| fanout | last ms | 3.00 | 4.00 | 0.750 | 2.00 | 1.50 | - | - |
| fanout | only with a peer | 3.00 | - | - | - | - | - | - |

- get-c64: a note.
- restart was skipped: the server is not ours to restart
- txn broke: answered with status 500:; no leader

`
	want = strings.NewReplacer("~~~", "```", "§", "`").Replace(want)
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("markdown (-want +got):\n%s", diff)
	}
	if err := run.WriteMarkdown(brokenPipe{}); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want %v", err, errBroken)
	}
}

func TestAPageWithoutPlaceForResultsIsLeftAsItIs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	text := []byte("# A page\n" + markdownBegin)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := UpdatePage(file, Run{}); !errors.Is(err, ErrNoPlace) {
		t.Errorf("error %v, want %v", err, ErrNoPlace)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, text) {
		t.Errorf("it is now %q, error %v", got, err)
	}
}
