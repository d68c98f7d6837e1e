package cells

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/standin"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

func TestMain(m *testing.M) {
	standin.Dispatch()
	goleak.VerifyTestMain(m)
}

// small are options with which all cells together take a second or two.
func small(t *testing.T) Options {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Dir:    t.TempDir(),
		Server: target.ServerOptions{Bin: exe},
		Rounds: 2,
		Round:  5 * time.Millisecond,
		Loops:  2,
		Rest:   time.Millisecond,
		Listen: 20 * time.Millisecond,
		Sizes: Sizes{
			Clients: []int{1, 3}, ValueBytes: 100, ListClients: 2, Entries: 30, Names: 70, Trees: 3,
			TxnOps: 8, TxnBytes: 50, TxnClients: 3, Watchers: []int{1, 20}, Deliveries: 2, WakeKeys: 40, Parked: 20, ParkedTLS: 10, LoadKeys: 300,
			Sessions: 20, SessionClients: 3, LiveSessions: 20, LiveTTL: 400 * time.Millisecond, Expiring: 20, ExpiringTTL: 600 * time.Millisecond,
			Policies: 5, Tokens: 20,
			Scattered: 50, Multitude: 30, Rearming: 20, RearmWrites: 100, RearmFor: 100 * time.Millisecond, Failovers: 2,
			Readers: 4, Spread: 12, SpreadKeys: 4, SpreadWrites: 100, SpreadFor: 200 * time.Millisecond,
		},
	}
}

func measure(t *testing.T, o Options) map[string]report.Row {
	t.Helper()
	rows := map[string]report.Row{}
	if err := Run(t.Context(), o, func(r report.Row) { rows[r.Cell] = r }); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) != 0 {
		for _, e := range left {
			if e.Name() != subjectArchive && e.Name() != peerArchive {
				t.Errorf("%s was left behind", e.Name())
			}
		}
	}
	return rows
}

func figure(t *testing.T, r report.Row, name string) report.Figure {
	t.Helper()
	for _, f := range r.Figures {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("%s has no figure %q; it has %+v, error %v", r.Cell, name, r.Figures, r.Err)
	return report.Figure{}
}

func TestEveryCellGivesEveryFigure(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some twenty processes")
	}
	o := small(t)
	peer, err := target.StartServer(t.Context(), target.ServerOptions{Bin: o.Server.Bin, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	p := peer.Target()
	o.Peer = &p
	o.PeerRestore = true
	rows := measure(t, o)

	for _, name := range Names(o) {
		r, found := rows[name]
		alone := name == "park-rss-tls" // there is no limit that speaks TLS
		// The stand-in has neither sessions nor locks, no history, no cluster and no access control.
		if name == "lock-handover" || name == "history-full" || strings.HasPrefix(name, "trio-") || strings.HasPrefix(name, "acl-") {
			if r.Skipped == "" || r.Err != nil {
				t.Errorf("%s: skipped %q, error %v, want it skipped", name, r.Skipped, r.Err)
			}
			continue
		}
		if !found || r.Err != nil || r.Skipped != "" || len(r.Figures) == 0 {
			t.Errorf("%s: found %v, error %v, skipped %q, %d figures", name, found, r.Err, r.Skipped, len(r.Figures))
			continue
		}
		for i := range r.Figures {
			f := &r.Figures[i]
			if math.IsNaN(f.Subject.Median()) {
				t.Errorf("%s, %s: not measured: %v", name, f.Name, f.Subject)
			}
			if limited := !alone && !slices.Contains([]string{"wake", "load", "restart", "snapshot", "session"}, strings.Split(name, "-")[0]); limited && math.IsNaN(f.Ratio().Median()) && len(f.Limit)+len(f.Floor) == 0 {
				t.Errorf("%s, %s: no ratio to the limit: %v / %v", name, f.Name, f.Subject, f.Limit)
			}
			// These are about servers that are started in a way a peer was not.
			if alone || name == "park-many" || strings.HasPrefix(name, "put-boltdb") {
				continue
			}
			if f.Name != "disk MiB" && name != "restart" && !strings.HasPrefix(name, "session") && math.IsNaN(f.Peer.Median()) {
				t.Errorf("%s, %s: the peer was not measured: %v; note %q", name, f.Name, f.Peer, r.Note)
			}
		}
	}
	if f := figure(t, rows["rearm-20"], "missed"); f.Subject.Median() != 0 || f.Limit.Median() != 0 || f.Floor.Median() != 0 {
		t.Errorf("missed: %+v of servers that miss nothing", f)
	}
	if f := figure(t, rows["cas-c16"], "log entries/win"); f.Subject.Median() < 1 || f.Subject.Median() > 1.01 {
		t.Errorf("%v log entries a win of a server that writes none for a loss", f.Subject)
	}
	for _, name := range []string{"wake-existing", "wake-missing"} {
		if f := figure(t, rows[name], "false wakes"); f.Subject.Median() != 0 {
			t.Errorf("%s: %v false wakes of a server that has none", name, f.Subject)
		}
	}
}

func TestPeerIsLeftAsItWas(t *testing.T) {
	peer, err := standin.NewHandler("")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(peer)
	defer srv.Close()
	o := small(t)
	o.Cell = regexp.MustCompile("^(get-default-c1|txn)")
	tgt := target.Target{Addr: strings.TrimPrefix(srv.URL, "http://")}
	o.Peer = &tgt
	if err := put(t.Context(), tgt, "mine", []byte("1")); err != nil {
		t.Fatal(err)
	}
	measure(t, o)
	r, err := tgt.Do(t.Context(), "GET", "/v1/kv/?keys", nil)
	if err != nil || string(r.Body) != `["mine"]` {
		t.Errorf("keys of the peer afterwards: %s, error %v", r.Body, err)
	}
}

func TestAPeerThatFailsDoesNotSpoilTheCell(t *testing.T) {
	peer, err := standin.NewHandler("")
	if err != nil {
		t.Fatal(err)
	}
	peer.Faults.Refuse = true
	srv := httptest.NewServer(peer)
	defer srv.Close()
	o := small(t)
	o.Cell = regexp.MustCompile("^put-c3$")
	o.Peer = &target.Target{Addr: strings.TrimPrefix(srv.URL, "http://")}
	r := measure(t, o)["put-c3"]
	if r.Err != nil || !strings.Contains(r.Note, "peer: answered with status 500: no space left") {
		t.Errorf("error %v, note %q", r.Err, r.Note)
	}
	if f := figure(t, r, opsPerSecond); math.IsNaN(f.Ratio().Median()) || f.Peer != nil {
		t.Errorf("figure %+v", f)
	}
}

func TestFalseWakesAreCounted(t *testing.T) {
	o := small(t)
	o.Cell = regexp.MustCompile("^wake-missing$")
	faulty := filepath.Join(t.TempDir(), "false-wakes.hcl")
	if err := os.WriteFile(faulty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Server.Config = []string{faulty}
	f := figure(t, measure(t, o)["wake-missing"], "false wakes")
	// Each write wakes everybody, and one of them rightly. On a busy machine some
	// of those may come too late to be seen.
	if got, least := f.Subject.Median(), float64(o.Sizes.WakeKeys-1)*wakeWrites*float64(o.Rounds)/2; got < least {
		t.Errorf("%v false wakes, want at least %v", got, least)
	}
	if f.Judge() != report.Missed {
		t.Errorf("the bar of no false wake is %v", f.Judge())
	}
}

func TestAServerOfSomebodyElseIsNeitherKilledNorRestarted(t *testing.T) {
	h, err := standin.NewHandler("")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	o := small(t)
	o.Server = target.ServerOptions{}
	o.Subject = &target.Target{Addr: strings.TrimPrefix(srv.URL, "http://")}
	o.Cell = regexp.MustCompile("^(load|restart|park-rss)$")
	rows := measure(t, o)
	for _, name := range []string{"restart", "park-rss"} {
		if r := rows[name]; r.Skipped == "" || r.Err != nil {
			t.Errorf("%s: skipped %q, error %v", name, r.Skipped, r.Err)
		}
	}
	if f := figure(t, rows["load"], "CPU µs/key"); !math.IsNaN(f.Subject.Median()) {
		t.Errorf("CPU %v of a process nobody knows", f.Subject)
	}
}

func TestAWrongAnswerBreaksTheCell(t *testing.T) {
	h, err := standin.NewHandler("")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	o := small(t)
	o.Subject = &target.Target{Addr: strings.TrimPrefix(srv.URL, "http://")}
	s, err := open(t.Context(), &o, "p/")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close(t.Context())
	if err := put(t.Context(), s.subject(), "p/key", []byte("another value")); err != nil {
		t.Fatal(err)
	}
	g := getGroup(&o)
	if _, err := g.cells[0].run(t.Context(), s); err == nil || !strings.Contains(err.Error(), "not the one entry that was written") {
		t.Errorf("error %v", err)
	}
}

func TestRunEndsWithItsContextAndCleansUp(t *testing.T) {
	o := small(t)
	o.Round = time.Hour
	o.Cell = regexp.MustCompile("^get-default-c1$")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := Run(ctx, o, func(r report.Row) { t.Errorf("row %+v of a run that was ended", r) })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) != 0 {
		t.Errorf("%v was left behind", left)
	}
}

func TestRunOfNoCellIsAnError(t *testing.T) {
	o := small(t)
	o.Cell = regexp.MustCompile("^nothing$")
	if err := Run(t.Context(), o, nil); err == nil {
		t.Error("no error")
	}
}

func TestBarsStandWhereTheyBelong(t *testing.T) {
	o := Options{Sizes: DefaultSizes()}
	want := []string{
		"get-default-c1", "get-default-c16", "get-default-c64", "get-default-c256",
		"get-consistent-c16", "get-consistent-c64", "get-stale-c16", "get-stale-c64",
		"get-random-100000", "mixed-100-to-1", "recurse-1000", "recurse-1000-gzip", "keys-10000", "recurse-random-1000",
		"put-c1", "put-c16", "put-c64", "put-c256", "put-boltdb-c1", "put-boltdb-c16", "put-boltdb-c64", "txn-64", "cas-c16",
		"fanout-1", "fanout-1000", "fanout-5000", "wake-existing", "wake-missing", "rearm-1000", "park-rss", "park-rss-tls", "park-many", "lock-handover",
		"session-ops", "session-live", "session-expiry", "acl-get-c64", "acl-put-c64", "acl-get-all", "acl-put-all", "acl-fanout-1000", "acl-park-rss", "load", "restart", "snapshot-save", "snapshot-restore", "history-full",
		"trio-put-leader-c1", "trio-put-follower-c1", "trio-put-leader-c16", "trio-put-follower-c16",
		"trio-put-leader-c64", "trio-put-follower-c64", "trio-put-leader-c256", "trio-put-follower-c256",
		"trio-get-leader-default", "trio-get-follower-default", "trio-get-all-default",
		"trio-get-leader-consistent", "trio-get-follower-consistent", "trio-get-all-consistent",
		"trio-get-leader-stale", "trio-get-follower-stale", "trio-get-all-stale",
		"trio-cost-put-c64", "trio-cost-get-consistent-c64", "trio-watch-1000", "trio-failover",
	}
	if got := Names(o); !slices.Equal(got, want) {
		t.Errorf("cells %v\nwant  %v", got, want)
	}
	if full := (&filled{o: &o}); full.bars(bars{seconds: report.AtMost(1, "s")}) == nil {
		t.Error("the full store has no bars")
	}
	o.Sizes.LoadKeys = 1000
	if part := (&filled{o: &o}); part.bars(bars{seconds: report.AtMost(1, "s")}) != nil {
		t.Error("a small store is judged by the bars of the full one")
	}
}

// TestWatchersSeeEveryWrite: of a server that tells every change, every watcher gets each
// value of its key once.
func TestWatchersSeeEveryWrite(t *testing.T) {
	h, err := standin.NewHandler("")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	at := target.Target{Addr: strings.TrimPrefix(srv.URL, "http://")}
	w := spread{sizes: small(t).Sizes, prefix: "spread/", watched: []target.Target{at, at, at}, writer: at}
	got, err := w.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// 20 writes to 4 keys, each watched by 3.
	if got[0]+got[1] != 60 || got[0] < 12 {
		t.Errorf("%v delivered and %v missed, want 60 together, and 12 last ones at least", got[0], got[1])
	}
	if got[2] <= 0 || got[3] < got[2] || got[4] < got[3] {
		t.Errorf("p50, p99 and worst are %v ms", got[2:])
	}
}

// TestWholeRounds: what slices have counted is added, and one miss in any of them stays.
func TestWholeRounds(t *testing.T) {
	of := func(name string, subject, limit, peer report.Values) report.Figure {
		return report.Figure{Name: name, Subject: subject, Limit: limit, Peer: peer}
	}
	figures := []report.Figure{
		of("missed", report.Values{0, 1, 0, 0}, report.Values{0, 0, 0, 0}, report.Values{0, 0, 0}),
		of(cpuPerAnswer, report.Values{10, 20, 30, 60}, report.Values{40, 40, 40, 40}, report.Values{1, 2, 3}),
		of("writes made", report.Values{2, 2, 2, 1}, report.Values{2, 2, 2, 2}, report.Values{2, 2, 2}),
		of("answers/write", report.Values{5, 5, 9, 6}, report.Values{10, 10, 10, 10}, report.Values{1, 2, 3}),
	}
	wholeRounds(figures, 2)
	want := []report.Figure{
		of("missed", report.Values{1}, report.Values{0}, report.Values{0}),
		of(cpuPerAnswer, report.Values{3, 6}, report.Values{4, 4}, report.Values{1}),
		of("writes made", report.Values{4, 3}, report.Values{4, 4}, report.Values{4}),
		of("answers/write", report.Values{2.5, 5}, report.Values{5, 5}, report.Values{0.75}),
	}
	for i, f := range figures {
		w := want[i]
		if !slices.Equal(f.Subject, w.Subject) || !slices.Equal(f.Limit, w.Limit) || !slices.Equal(f.Peer, w.Peer) || f.Floor != nil {
			t.Errorf("%+v, want %+v", f, w)
		}
	}
}

// TestPersistTriesUntilAWriteIsAcknowledged: what a survivor refuses while there is no
// leader is sent again.
func TestPersistTriesUntilAWriteIsAcknowledged(t *testing.T) {
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 4 {
			http.Error(w, "No cluster leader", http.StatusInternalServerError)
		}
	}))
	defer srv.Close()
	o := small(t)
	s := &stage{opts: &o}
	at := target.Target{Addr: strings.TrimPrefix(srv.URL, "http://")}
	if err := s.persist(t.Context(), at, "key"); err != nil || asked.Load() != 4 {
		t.Errorf("error %v after %d writes, want none after 4", err, asked.Load())
	}
	asked.Store(-1 << 40) // it refuses for ever
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.persist(ctx, at, "key"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestCasClientCountsTriesAndWins(t *testing.T) {
	var c casClient
	for i, tc := range []struct {
		length int64
		write  bool
	}{{500, false}, {5, true}, {500, false}, {4, true}, {4, false}} {
		if got := c.take(rawhttp.Response{Status: 200, Length: tc.length}); got != tc.write {
			t.Errorf("answer %d is taken for a write: %v", i, got)
		}
	}
	if c.tries != 2 || c.wins != 1 {
		t.Errorf("%d tries and %d wins, want 2 and 1", c.tries, c.wins)
	}
}

func TestUnpackedIsWhatTheServerCompressed(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte("text")) // into memory
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule string
		head string
		body []byte
		err  bool
	}{
		{"a plain body is left as it is", "HTTP/1.1 200 OK\r\nVary: x", []byte("text"), false},
		{"a compressed one is unpacked", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip", z.Bytes(), false},
		{"one that only says so is an error", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip", []byte("text"), true},
	} {
		got, err := unpacked(rawhttp.Response{Status: 200, Head: []byte(tc.head), Body: tc.body})
		if (err != nil) != tc.err || err == nil && string(got) != "text" {
			t.Errorf("%s: %q, error %v", tc.rule, got, err)
		}
	}
}
