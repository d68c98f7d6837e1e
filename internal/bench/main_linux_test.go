package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-kv/holdfast/internal/bench/baseline"
	"github.com/holdfast-kv/holdfast/internal/bench/cells"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/standin"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

func TestMain(m *testing.M) {
	standin.Dispatch()
	goleak.VerifyTestMain(m)
}

func noEnv(string) string { return "" }

func TestParse(t *testing.T) {
	c, err := parse([]string{"-cell", "^put-", "-rounds", "3", "-server-config", "a.hcl", "-server-config", "b.json"},
		func(name string) string {
			return map[string]string{"BENCH_PEER": "http://127.0.0.1:8500/", "BENCH_PEER_PID": "42"}[name]
		}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	o := c.options
	if !o.Cell.MatchString("put-c1") || o.Cell.MatchString("get-default-c1") {
		t.Errorf("cells %v", o.Cell)
	}
	if o.Rounds != 3 || o.Round != 1500*time.Millisecond || o.Loops < 1 || o.Sizes.LoadKeys != 200_000 {
		t.Errorf("options %+v", o)
	}
	if !slices.Equal(o.Server.Config, []string{"a.hcl", "b.json"}) {
		t.Errorf("files %v", o.Server.Config)
	}
	if *o.Peer != (target.Target{Addr: "127.0.0.1:8500", PID: 42}) {
		t.Errorf("peer %+v", o.Peer)
	}
}

func TestQuickIsShortUnlessToldOtherwise(t *testing.T) {
	c, err := parse([]string{"-quick", "-rounds", "9"}, noEnv, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if o := c.options; o.Rounds != 9 || o.Round != quickRound || o.Sizes.LoadKeys != quickLoad {
		t.Errorf("rounds %d of %v, %d keys", o.Rounds, o.Round, o.Sizes.LoadKeys)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		rule string
		args []string
		env  map[string]string
		want string
	}{
		{"an unknown flag", []string{"-fast"}, nil, "-fast"},
		{"an argument", []string{"put"}, nil, `no argument "put"`},
		{"a bad expression", []string{"-cell", "("}, nil, "-cell"},
		{"no rounds", []string{"-rounds", "0"}, nil, "want at least 1"},
		{"no time", []string{"-round", "0s"}, nil, "want at least 1ms"},
		{"no threads", []string{"-loops", "0"}, nil, "want at least 1"},
		{"a table of a part", []string{"-record", "f", "-cell", "^put"}, nil, "-record takes all cells"},
		{"too small a store", []string{"-load-keys", "5"}, nil, "want at least 1000"},
		{"a process of no subject", []string{"-subject-pid", "5"}, nil, "goes with -subject-url"},
		{"a subject with TLS", []string{"-subject-url", "https://a:1"}, nil, "want http://host:port"},
		{"a peer below a path", nil, map[string]string{"BENCH_PEER": "http://a:1/x"}, "BENCH_PEER"},
		{"a peer's process that is no number", nil, map[string]string{"BENCH_PEER": "a:1", "BENCH_PEER_PID": "x"}, "BENCH_PEER_PID"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			_, err := parse(tc.args, func(name string) string { return tc.env[name] }, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestLineIsACommandThatMakesSuchARun(t *testing.T) {
	for _, tc := range []struct {
		rule string
		args []string
		peer string
		want string
	}{
		{"nothing is nothing", nil, "", "go run ./internal/bench"},
		{"in the order of the alphabet", []string{"-rounds", "3", "-quick"}, "", "go run ./internal/bench -quick=true -rounds=3"},
		{"without what says where files are", []string{"-dir", "/d", "-json", "j", "-baseline", "b", "-markdown", "m", "-server-bin", "s"}, "", "go run ./internal/bench"},
		{"quoted for the shell", []string{"-cell", "^(put|it's)$"}, "", `go run ./internal/bench -cell='^(put|it'\''s)$'`},
		{"with the peer", []string{"-loops", "2"}, "http://127.0.0.1:8500", "BENCH_PEER=http://127.0.0.1:8500 go run ./internal/bench -loops=2"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c, err := parse(tc.args, func(name string) string { return map[string]string{"BENCH_PEER": tc.peer}[name] }, &bytes.Buffer{})
			if err != nil || c.line() != tc.want {
				t.Errorf("error %v, line:\n%s\nwant:\n%s", err, c.line(), tc.want)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for _, tc := range []struct{ url, want string }{
		{"http://127.0.0.1:8500", "127.0.0.1:8500"},
		{"127.0.0.1:8500", "127.0.0.1:8500"},
		{"http://store.example", "store.example:80"},
		{"http://[::1]:8500/", "[::1]:8500"},
	} {
		if got, err := address(tc.url); err != nil || got != tc.want {
			t.Errorf("%s is %q, error %v; want %q", tc.url, got, err, tc.want)
		}
	}
}

func TestRun(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	faulty := filepath.Join(dir, "false-wakes.hcl")
	if err := os.WriteFile(faulty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	short := []string{"-dir", dir, "-server-bin", exe, "-rounds", "1", "-round", "5ms"}
	for _, tc := range []struct {
		rule   string
		args   []string
		status int
		out    string // in what is printed
		errOut string
	}{
		{"a list of cells", []string{"-list"}, exitDone, "fanout-5000\n", ""},
		{"help is no failure", []string{"-help"}, exitDone, "", "-cell regexp"},
		{"a wrong flag", []string{"-rounds", "x"}, exitBroken, "", "invalid value"},
		{"a cell", append(short, "-cell", "^get-default-c1$"), exitDone, "get-default-c1 ", ""},
		{"a quick run", []string{"-dir", dir, "-server-bin", exe, "-quick", "-cell", "^fanout-1$"}, exitDone, "A quick run", ""},
		{"no such cell", append(short, "-cell", "^nothing$"), exitBroken, "", "no cell matches"},
		{"a missed bar", append(short, "-cell", "^wake-missing$", "-server-config", faulty), exitDone, "MISSED", ""},
		{"a missed bar that counts", append(short, "-cell", "^wake-missing$", "-server-config", faulty, "-check"), exitMissed, "1 missed", ""},
		{"a server that does not start", append(short, "-cell", "^put-c1$", "-server-config", "none.hcl"), exitBroken, "BROKEN: setup", ""},
		{"no place for files", []string{"-dir", filepath.Join(dir, "none"), "-server-bin", exe}, exitBroken, "", "folder for files"},
		{"a JSON file that cannot be written", append(short, "-cell", "^get-default-c1$", "-json", filepath.Join(dir, "none", "f")), exitBroken, "", "no such file"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var out, errOut bytes.Buffer
			if got := run(t.Context(), tc.args, noEnv, &out, &errOut); got != tc.status {
				t.Errorf("exit status %d, want %d", got, tc.status)
			}
			if !strings.Contains(out.String(), tc.out) || !strings.Contains(errOut.String(), tc.errOut) {
				t.Errorf("printed:\n%s\nerrors:\n%s\nwant %q and %q in them", out.String(), errOut.String(), tc.out, tc.errOut)
			}
		})
	}
	left, err := filepath.Glob(filepath.Join(dir, "holdfast-bench-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}

func TestVerdictFails(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		v     verdict
		check bool
		want  bool
	}{
		{"bars that are met do not", verdict{tally: report.Tally{Met: 3}}, true, false},
		{"a missed one does", verdict{tally: report.Tally{Met: 3, Missed: 1}}, true, true},
		{"so does one that could not be judged", verdict{tally: report.Tally{Met: 3, Unmeasured: 1}}, true, true},
		{"unless nobody asked", verdict{tally: report.Tally{Missed: 1, Unmeasured: 1}}, false, false},
		{"what has fallen behind does in any case", verdict{behind: true}, false, true},
	} {
		if got := tc.v.fails(tc.check); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.rule, got, tc.want)
		}
	}
}

func TestRunThatIsInterrupted(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The table's heading is printed when the run is about to begin.
	out := onWrite{"ratio", cancel}
	var errOut bytes.Buffer
	args := []string{"-dir", dir, "-server-bin", exe, "-round", "1h"}
	if got := run(ctx, args, noEnv, out, &errOut); got != exitInterrupted {
		t.Errorf("exit status %d, want %d; errors:\n%s", got, exitInterrupted, errOut.String())
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// onWrite calls do when text is written.
type onWrite struct {
	text string
	do   func()
}

func (w onWrite) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.text) {
		w.do()
	}
	return len(b), nil
}

func TestRunWritesJSON(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "run.json")
	args := []string{"-dir", t.TempDir(), "-server-bin", exe, "-rounds", "2", "-round", "5ms", "-cell", "^get-stale-c16$", "-json", file}
	var errOut bytes.Buffer
	if got := run(t.Context(), args, noEnv, &bytes.Buffer{}, &errOut); got != exitDone {
		t.Fatalf("exit status %d: %s", got, errOut.String())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Machine struct{ Cores int }
		Options map[string]string
		Cells   []struct {
			Cell    string
			Figures []struct {
				Ratio  *float64
				Rounds struct{ Subject, Limit []float64 }
			}
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Machine.Cores < 1 || got.Options["rounds"] != "2" || len(got.Cells) != 1 || got.Cells[0].Cell != "get-stale-c16" {
		t.Fatalf("file:\n%s", b)
	}
	for _, f := range got.Cells[0].Figures {
		if f.Ratio == nil || len(f.Rounds.Subject) != 2 || len(f.Rounds.Limit) != 2 {
			t.Errorf("figure %+v", f)
		}
	}
}

// TestRunComparesWithWhatIsCommitted: a run passes against a table that it does not fall
// behind, and says what did if it does.
func TestRunComparesWithWhatIsCommitted(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule   string
		table  string
		status int
		out    string
	}{
		{"what keeps up passes", `{"get-default-c1": {"ops/s": "0.0001 x limit"}}`, exitDone, "nothing has fallen behind"},
		{"what is new is told", `{}`, exitDone, "note  get-default-c1: new"},
		{"what falls behind is measured again, and fails", `{"get-default-c1": {"ops/s": "1000 x limit"}}`, exitMissed, "measured again"},
		{"and is named", `{"get-default-c1": {"ops/s": "1000 x limit"}}`, exitMissed, "FAILS get-default-c1, ops/s: "},
		{"what is missing fails", `{"get-default-c1000": {"ops/s": "1 x limit"}}`, exitMissed, "FAILS get-default-c1000: missing"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "ratios.json")
			if err := os.WriteFile(file, []byte(`{"cells": `+tc.table+`}`), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errOut bytes.Buffer
			args := []string{"-dir", t.TempDir(), "-server-bin", exe, "-rounds", "1", "-round", "5ms", "-cell", "^get-default-c1(000)?$", "-baseline", file}
			if got := run(t.Context(), args, noEnv, &out, &errOut); got != tc.status || !strings.Contains(out.String(), tc.out) {
				t.Errorf("exit status %d, want %d; printed:\n%s\nerrors:\n%s\nwant %q in it", got, tc.status, out.String(), errOut.String(), tc.out)
			}
		})
	}
	var errOut bytes.Buffer
	if got := run(t.Context(), []string{"-dir", t.TempDir(), "-server-bin", exe, "-baseline", "none"}, noEnv, &bytes.Buffer{}, &errOut); got != exitBroken {
		t.Errorf("exit status %d without a table, want %d", got, exitBroken)
	}
}

func TestRunWritesIntoAPage(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("# Before\n<!-- results: begin, written by the benchmark -->\nold\n<!-- results: end -->\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-dir", t.TempDir(), "-server-bin", exe, "-rounds", "1", "-round", "5ms", "-cell", "^get-default-c64$", "-markdown", page}
	var errOut bytes.Buffer
	if got := run(t.Context(), args, noEnv, &bytes.Buffer{}, &errOut); got != exitDone {
		t.Fatalf("exit status %d: %s", got, errOut.String())
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Before\n<!--", "-cell='^get-default-c64$' -round=5ms -rounds=1", "| get-default-c64 | CPU µs/op |", "`<= 1.25 x`", "<!-- results: end -->\nafter\n"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %q in the page:\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "old\n") {
		t.Errorf("the old results are still there:\n%s", got)
	}
}

// TestTheCommittedTableNamesCellsThatAreThere: a cell that was renamed takes its row along.
func TestTheCommittedTableNamesCellsThatAreThere(t *testing.T) {
	table, err := baseline.Read("ratios.json")
	if err != nil {
		t.Fatal(err)
	}
	names := cells.Names(cells.Options{Sizes: cells.DefaultSizes()})
	for cell := range table.Cells {
		if !slices.Contains(names, cell) {
			t.Errorf("%s is in the table and not in the benchmark", cell)
		}
	}
}
