package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var backends = []string{WAL, BoltDB}

// forBackends runs a test for each kind of log.
func forBackends(t *testing.T, test func(t *testing.T, backend string)) {
	for _, b := range backends {
		t.Run(b, func(t *testing.T) { test(t, b) })
	}
}

// testSegment is small, so that a few entries fill it.
const testSegment = 8 << 10

func testOptions(backend string) Options {
	return Options{Backend: backend, SegmentBytes: testSegment, NoSync: true}
}

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func dataOf(index uint64) []byte {
	return append(fmt.Appendf(nil, "value of entry %d ", index), bytes.Repeat([]byte{'x', 0}, int(index%40))...)
}

func entry(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 2, Type: raft.LogCommand, Data: dataOf(index)}
}

func entries(first, last uint64) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, entry(i))
	}
	return logs
}

func mustStore(t testing.TB, s *Store, first, last uint64) {
	t.Helper()
	if err := s.StoreLogs(entries(first, last)); err != nil {
		t.Fatal(err)
	}
}

// mustHold wants exactly the entries from first to last, as they were stored.
func mustHold(t testing.TB, s *Store, first, last uint64) {
	t.Helper()
	f, _ := s.FirstIndex()
	l, _ := s.LastIndex()
	if f != first || l != last {
		t.Fatalf("log has %d to %d, want %d to %d", f, l, first, last)
	}
	if first > 0 {
		mustNotHave(t, s, first-1)
	}
	mustNotHave(t, s, last+1)
	for i := max(first, 1); i <= last; i++ {
		var got raft.Log
		if err := s.GetLog(i, &got); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if got.Index != i || got.Term != 2 || got.Type != raft.LogCommand || !bytes.Equal(got.Data, dataOf(i)) || got.Extensions != nil {
			t.Fatalf("entry %d = %+v", i, got)
		}
	}
}

func mustNotHave(t testing.TB, s *Store, index uint64) {
	t.Helper()
	var got raft.Log
	// raft compares with ==, so must we.
	if err := s.GetLog(index, &got); err != raft.ErrLogNotFound {
		t.Fatalf("entry %d: %v, want raft.ErrLogNotFound itself", index, err)
	}
}

func TestStoreKeepsWhatItWasGiven(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir := filepath.Join(t.TempDir(), "raft")
		o := testOptions(backend)
		s := mustOpen(t, dir, o)
		if s.Backend() != backend {
			t.Errorf("backend = %q", s.Backend())
		}
		mustHold(t, s, 0, 0)
		for i := uint64(1); i <= 300; i += 3 {
			mustStore(t, s, i, i+2)
		}
		mustHold(t, s, 1, 300)
		if err := s.Stable().SetUint64([]byte(keyTerm), 2); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		o.CacheBytes = -1
		s = mustOpen(t, dir, o)
		mustHold(t, s, 1, 300)
		if err := s.DeleteRange(1, 120); err != nil {
			t.Fatal(err)
		}
		mustHold(t, s, 121, 300)
		if err := s.DeleteRange(290, 300); err != nil {
			t.Fatal(err)
		}
		mustHold(t, s, 121, 289)
		mustStore(t, s, 290, 291)
		mustHold(t, s, 121, 291)
		if err := s.DeleteRange(0, 1000); err != nil {
			t.Fatal(err)
		}
		mustHold(t, s, 0, 0)
		mustStore(t, s, 500, 510)
		mustHold(t, s, 500, 510)
	})
}

func TestBoltWithItsFreelistOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	o := testOptions(BoltDB)
	o.BoltFreelistSync = true
	for round := range uint64(4) {
		s := mustOpen(t, dir, o)
		if round == 0 {
			mustSeed(t, s)
		}
		mustStore(t, s, 4+round*50, 53+round*50)
		mustHold(t, s, 1, 53+round*50)
		mustClose(t, s)
		o.BoltFreelistSync = round%2 == 0 // it may be switched at any time
	}
}

// What was read to check it is at hand when raft reads it next.
func TestOpeningFillsTheCache(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir := filepath.Join(t.TempDir(), "raft")
		s := mustOpen(t, dir, testOptions(backend))
		mustSeed(t, s)
		mustStore(t, s, 4, 300)
		mustClose(t, s)
		s = mustOpen(t, dir, testOptions(backend))
		for i := uint64(1); i <= 300; i++ {
			var l raft.Log
			if !s.cache.get(i, &l) || !bytes.Equal(l.Data, dataOf(i)) || l.Extensions != nil {
				t.Fatalf("entry %d in the cache: %+v", i, l)
			}
		}
	})
}

func TestExtensionsOfOthersAreKept(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		o := testOptions(backend)
		o.CacheBytes = -1
		s := mustOpen(t, filepath.Join(t.TempDir(), "raft"), o)
		given := &raft.Log{Index: 1, Term: 1, Type: raft.LogBarrier, Data: []byte("d"), Extensions: []byte("chunk 1 of 2")}
		if err := s.StoreLog(given); err != nil {
			t.Fatal(err)
		}
		if string(given.Extensions) != "chunk 1 of 2" {
			t.Errorf("the entry that raft still uses was changed: %q", given.Extensions)
		}
		var got raft.Log
		if err := s.GetLog(1, &got); err != nil {
			t.Fatal(err)
		}
		if string(got.Extensions) != "chunk 1 of 2" || got.Type != raft.LogBarrier || string(got.Data) != "d" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestEntriesAreConsecutive(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		s := mustOpen(t, filepath.Join(t.TempDir(), "raft"), testOptions(backend))
		mustStore(t, s, 1, 5)
		for _, tc := range []struct {
			rule string
			logs []*raft.Log
		}{
			{"a gap", entries(7, 8)},
			{"an entry that is there", entries(5, 6)},
			{"a gap inside", []*raft.Log{entry(6), entry(8)}},
			{"backwards", []*raft.Log{entry(6), entry(5)}},
		} {
			err := s.StoreLogs(tc.logs)
			var failed *WriteError
			if !errors.As(err, &failed) || !failed.Absent || !strings.Contains(err.Error(), "does not follow") {
				t.Errorf("%s: %v", tc.rule, err)
			}
			if s.Err() == nil {
				t.Errorf("%s: Err is nil", tc.rule)
			}
		}
		if err := s.DeleteRange(2, 4); err == nil || !strings.Contains(err.Error(), "only the start or the end") {
			t.Errorf("removed from the middle: %v", err)
		}
		mustHold(t, s, 1, 5)
		mustStore(t, s, 6, 6)
		if s.Err() != nil {
			t.Errorf("Err after a write that succeeded: %v", s.Err())
		}
	})
}

// After the restore of a snapshot raft asks for the old entries to go, but goes
// on if that fails.
func TestAGapThatASnapshotCoversEmptiesTheLog(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		s := mustOpen(t, filepath.Join(t.TempDir(), "raft"), testOptions(backend))
		mustStore(t, s, 1, 5)
		makeSnapshot(t, s, 9)
		if err := s.StoreLogs(entries(11, 12)); err == nil {
			t.Error("a gap that the snapshot does not cover was accepted")
		}
		mustStore(t, s, 10, 12)
		mustHold(t, s, 10, 12)
	})
}

func TestAClosedStoreSaysSo(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		s := mustOpen(t, filepath.Join(t.TempDir(), "raft"), testOptions(backend))
		mustStore(t, s, 1, 300)
		mustClose(t, s)
		mustClose(t, s)
		if err := s.StoreLogs(entries(301, 301)); !errors.Is(err, ErrClosed) {
			t.Errorf("store: %v", err)
		}
		if err := s.DeleteRange(1, 2); !errors.Is(err, ErrClosed) {
			t.Errorf("delete: %v", err)
		}
		s.cache = nil
		if err := s.GetLog(1, &raft.Log{}); !errors.Is(err, ErrClosed) {
			t.Errorf("get: %v", err)
		}
	})
}

func TestStableStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	s := mustOpen(t, dir, testOptions(WAL))
	st := s.Stable()
	if _, err := st.GetUint64([]byte(keyTerm)); err == nil || err.Error() != "not found" {
		t.Errorf("a key that is not there: %v; raft knows the text %q", err, "not found")
	}
	if _, err := st.Get([]byte("LastVoteCand")); err == nil || err.Error() != "not found" {
		t.Errorf("a key that is not there: %v", err)
	}
	for _, term := range []uint64{1, 77, 1 << 60} {
		if err := st.SetUint64([]byte(keyTerm), term); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Set([]byte("LastVoteCand"), []byte("127.0.0.1:8300")); err != nil {
		t.Fatal(err)
	}
	mustStore(t, s, 1, 1)
	mustClose(t, s)
	st = mustOpen(t, dir, testOptions(WAL)).Stable()
	if term, err := st.GetUint64([]byte(keyTerm)); err != nil || term != 1<<60 {
		t.Errorf("term = %d, %v", term, err)
	}
	if v, err := st.Get([]byte("LastVoteCand")); err != nil || string(v) != "127.0.0.1:8300" {
		t.Errorf("candidate = %q, %v", v, err)
	}
}

func TestBackendChoice(t *testing.T) {
	dirs := map[string]string{}
	for _, b := range backends {
		dirs[b] = filepath.Join(t.TempDir(), "raft")
		s := mustOpen(t, dirs[b], testOptions(b))
		mustSeed(t, s)
		mustClose(t, s)
	}
	for _, tc := range []struct {
		rule       string
		there      string // "": a new data dir
		configured string
		explicit   bool
		want       string // "": a BackendError
	}{
		{"a new log is a wal", "", "", false, WAL},
		{"unless configured otherwise", "", BoltDB, true, BoltDB},
		{"an existing one stays", BoltDB, "", false, BoltDB},
		{"also against the default", BoltDB, WAL, false, BoltDB},
		{"but not silently against a setting", BoltDB, WAL, true, ""},
		{"in either direction", WAL, BoltDB, true, ""},
		{"the right setting is fine", WAL, WAL, true, WAL},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "raft")
			if tc.there != "" {
				dir = dirs[tc.there]
			}
			s, err := Open(dir, Options{Backend: tc.configured, BackendExplicit: tc.explicit, SegmentBytes: testSegment})
			if tc.want == "" {
				var mismatch *BackendError
				if !errors.As(err, &mismatch) || !strings.Contains(err.Error(), fmt.Sprintf("set to %q", tc.configured)) ||
					!strings.Contains(err.Error(), "take the setting out") {
					t.Errorf("error = %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer mustClose(t, s)
			if s.Backend() != tc.want {
				t.Errorf("backend = %q, want %q", s.Backend(), tc.want)
			}
		})
	}
	if _, err := Open(t.TempDir(), Options{Backend: "rocksdb"}); err == nil || !strings.Contains(err.Error(), `"rocksdb"`) {
		t.Errorf("an unknown backend: %v", err)
	}
}

// mustSeed stores what every server in use has.
func mustSeed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Stable().SetUint64([]byte(keyTerm), 2); err != nil {
		t.Fatal(err)
	}
	mustStore(t, s, 1, 3)
}

func TestMemory(t *testing.T) {
	s := Memory()
	mustStore(t, s, 1, 10)
	mustHold(t, s, 1, 10)
	if err := s.DeleteRange(1, 4); err != nil {
		t.Fatal(err)
	}
	mustHold(t, s, 5, 10)
	if err := s.Stable().SetUint64([]byte(keyTerm), 3); err != nil {
		t.Fatal(err)
	}
	if st, err := s.State(); err != nil || st.Term != 3 || st.LastIndex != 10 || st.Fresh() {
		t.Errorf("state = %+v, %v", st, err)
	}
	if s.Backend() != "memory" {
		t.Errorf("backend = %q", s.Backend())
	}
	mustClose(t, s)
}

// Random operations against a plain map, with a cache so small that it matters,
// and with reopening in between.
func TestModel(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		base := t.TempDir()
		rapid.Check(t, func(rt *rapid.T) {
			dir, err := os.MkdirTemp(base, "")
			if err != nil {
				rt.Fatal(err)
			}
			dir = filepath.Join(dir, "raft")
			o := testOptions(backend)
			o.SegmentBytes = 1 << 10
			o.CacheBytes = rapid.SampledFrom([]int{-1, 200, 1000, 0}).Draw(rt, "cache")
			s, err := Open(dir, o)
			if err != nil {
				rt.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if err := s.Stable().SetUint64([]byte(keyTerm), 2); err != nil {
				rt.Fatal(err)
			}
			m := model{next: 1, data: map[uint64]string{}}
			rt.Repeat(map[string]func(*rapid.T){
				"store":    func(t *rapid.T) { m.store(t, s) },
				"compact":  func(rt *rapid.T) { m.compact(rt, t, s) },
				"truncate": func(t *rapid.T) { m.truncate(t, s) },
				"reopen": func(t *rapid.T) {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					if s, err = Open(dir, o); err != nil {
						t.Fatal(err)
					}
				},
				"": func(t *rapid.T) { m.check(t, s) },
			})
		})
	})
}

// model is what a log should hold.
type model struct {
	first, last uint64 // 0 and 0: it is empty
	next        uint64
	covered     uint64 // by a snapshot
	data        map[uint64]string
	n           int
}

func (m *model) store(t *rapid.T, s *Store) {
	var logs []*raft.Log
	if m.last == 0 {
		m.first = m.next
	}
	for range rapid.IntRange(1, 20).Draw(t, "entries") {
		m.n++
		data := fmt.Sprintf("%d:%s", m.n, strings.Repeat("v", rapid.IntRange(0, 120).Draw(t, "bytes")))
		logs = append(logs, &raft.Log{Index: m.next, Term: 2, Data: []byte(data)})
		m.data[m.next] = data
		m.last = m.next
		m.next++
	}
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
}

// compact makes a snapshot and removes from the start.
func (m *model) compact(t *rapid.T, base testing.TB, s *Store) {
	if m.last == 0 {
		return
	}
	if m.last > m.covered {
		makeSnapshot(base, s, m.last)
		m.covered = m.last
	}
	upTo := rapid.Uint64Range(m.first, m.last).Draw(t, "up to")
	if err := s.DeleteRange(rapid.Uint64Range(0, m.first).Draw(t, "from"), upTo); err != nil {
		t.Fatal(err)
	}
	for i := m.first; i <= upTo; i++ {
		delete(m.data, i)
	}
	m.first = upTo + 1
	if m.first > m.last {
		m.first, m.last = 0, 0
	}
}

// truncate removes from the end, which raft does only behind a snapshot.
func (m *model) truncate(t *rapid.T, s *Store) {
	if m.last <= max(m.covered, 1) {
		return
	}
	from := rapid.Uint64Range(max(m.covered, m.first, 1)+1, m.last+1).Draw(t, "from")
	if err := s.DeleteRange(from, m.last+rapid.Uint64Range(0, 3).Draw(t, "beyond")); err != nil {
		t.Fatal(err)
	}
	for i := from; i <= m.last; i++ {
		delete(m.data, i)
	}
	m.last, m.next = from-1, from
}

func (m *model) check(t *rapid.T, s *Store) {
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first != m.first || last != m.last {
		t.Fatalf("log has %d to %d, want %d to %d", first, last, m.first, m.last)
	}
	for i := uint64(0); i <= m.last+1; i++ {
		var l raft.Log
		err := s.GetLog(i, &l)
		want, there := m.data[i]
		if there != (err == nil) || there && (string(l.Data) != want || l.Index != i) {
			t.Fatalf("entry %d: %q, %v, want %q, %v", i, l.Data, err, want, there)
		}
	}
}

// Readers beside the one writer see an entry whole or not at all.
func TestConcurrentReaders(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		o := testOptions(backend)
		o.CacheBytes = 4000
		s := mustOpen(t, filepath.Join(t.TempDir(), "raft"), o)
		mustStore(t, s, 1, 5)
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for i := uint64(1); ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					last, _ := s.LastIndex()
					first, _ := s.FirstIndex()
					index := first + i%max(1, last-first+1)
					var l raft.Log
					switch err := s.GetLog(index, &l); {
					case errors.Is(err, raft.ErrLogNotFound):
					case err != nil:
						t.Errorf("entry %d: %v", index, err)
						return
					case l.Index != index || !bytes.Equal(l.Data, dataOf(index)):
						t.Errorf("entry %d = %+v", index, l)
						return
					}
				}
			})
		}
		next := uint64(6)
		for i := range 200 {
			mustStore(t, s, next, next+uint64(i%7))
			next += uint64(i%7) + 1
			if i%20 == 19 {
				if err := s.DeleteRange(1, next-10); err != nil {
					t.Error(err)
				}
			}
			if i%33 == 32 {
				if err := s.DeleteRange(next-3, next-1); err != nil {
					t.Error(err)
				}
				next -= 3
			}
		}
		close(stop)
		readers.Wait()
	})
}

func TestStalledTellsHowLongAWriteTakes(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "raft"), testOptions(WAL))
	if s.Stalled() != 0 {
		t.Error("stalled without a write")
	}
	end := s.begin()
	if s.Stalled() <= 0 {
		t.Error("a write under way does not count")
	}
	end()
	if s.Stalled() != 0 {
		t.Error("stalled after the write")
	}
}

func TestOnInitialisedComesBeforeTheFirstAcknowledgement(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir := filepath.Join(t.TempDir(), "raft")
		o := testOptions(backend)
		calls, fail := 0, errors.New("no room")
		o.OnInitialised = func() error { calls++; return fail }
		s := mustOpen(t, dir, o)
		err := s.StoreLogs(entries(1, 2))
		var failed *WriteError
		if !errors.As(err, &failed) || !errors.Is(err, fail) || !failed.Absent {
			t.Fatalf("store: %v", err)
		}
		mustHold(t, s, 0, 0)
		fail = nil
		mustStore(t, s, 1, 2)
		mustStore(t, s, 3, 4)
		if calls != 2 {
			t.Errorf("called %d times, want once for each try until it worked", calls)
		}
		mustHold(t, s, 1, 4)
		if err := s.Stable().SetUint64([]byte(keyTerm), 1); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		// The process ended between storing and noting it: the next start notes it.
		mustOpen(t, dir, o)
		if calls != 3 {
			t.Errorf("called %d times after the reopening, want 3", calls)
		}
	})
}

func TestStateIsFreshOnlyIfNothingWasEverThere(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir := filepath.Join(t.TempDir(), "raft")
		s := mustOpen(t, dir, testOptions(backend))
		if st, err := s.State(); err != nil || !st.Fresh() {
			t.Errorf("new: %+v, %v", st, err)
		}
		mustSeed(t, s)
		makeSnapshot(t, s, 2)
		want := State{Initialised: true, Term: 2, FirstIndex: 1, LastIndex: 3, Covered: 2}
		if st, err := s.State(); err != nil || st != want || st.Fresh() {
			t.Errorf("used: %+v, %v, want %+v", st, err, want)
		}
	})
	for _, st := range []State{{Initialised: true}, {Term: 2}, {LastIndex: 1}, {Covered: 1}} {
		if st.Fresh() {
			t.Errorf("%+v counts as fresh", st)
		}
	}
}

// A first start that ended between the term and the first entry starts again, as
// raft itself would not.
func TestInterruptedBootstrap(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		for _, tc := range []struct {
			rule  string
			term  uint64
			vote  uint64
			fresh bool
		}{
			{"the first term alone is a bootstrap that was not finished", 1, 0, true},
			{"a vote counts", 1, 1, false},
			{"a later term came from a cluster", 2, 0, false},
		} {
			t.Run(tc.rule, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "raft")
				s := mustOpen(t, dir, testOptions(backend))
				if err := s.Stable().SetUint64([]byte(keyTerm), tc.term); err != nil {
					t.Fatal(err)
				}
				if tc.vote > 0 {
					if err := s.Stable().SetUint64([]byte(keyVoteTerm), tc.vote); err != nil {
						t.Fatal(err)
					}
				}
				mustClose(t, s)
				st, err := mustOpen(t, dir, testOptions(backend)).State()
				if err != nil || st.Fresh() != tc.fresh {
					t.Errorf("state = %+v, %v, want fresh %v", st, err, tc.fresh)
				}
			})
		}
	})
}

func TestFilesAreClosedToOthers(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir := filepath.Join(t.TempDir(), "raft")
		s := mustOpen(t, dir, testOptions(backend))
		mustSeed(t, s)
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// logTo returns a logger and what it wrote.
func logTo() (hclog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return hclog.New(&hclog.LoggerOptions{Output: &b, Level: hclog.Info}), &b
}

func makeSnapshot(t testing.TB, s *Store, index uint64) string {
	t.Helper()
	_, trans := raft.NewInmemTransport("")
	sink, err := s.Snapshots().Create(1, index, 2, raft.Configuration{}, 1, trans)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(sink, "state as of entry %d", index); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return sink.ID()
}
