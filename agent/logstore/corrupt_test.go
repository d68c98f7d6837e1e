package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// A server that has been in use: entries 1 to usedLast, some of them removed
// behind the snapshots at usedOld and usedNew.
const (
	usedFirst = 41
	usedOld   = 60
	usedNew   = 100
	usedLast  = 200
)

// usedDir makes its raft folder and returns what is in it.
func usedDir(t testing.TB, backend string) (dir string, all map[string]string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "raft")
	s := mustOpen(t, dir, testOptions(backend))
	if err := s.Stable().SetUint64([]byte(keyTerm), 2); err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= usedLast; i += 4 {
		mustStore(t, s, i, i+3)
	}
	makeSnapshot(t, s, usedOld)
	makeSnapshot(t, s, usedNew)
	if err := s.DeleteRange(1, usedFirst-1); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	return dir, readTree(t, dir)
}

// readTree reads every file below dir.
func readTree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if path == dir && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, relErr := filepath.Rel(dir, path)
		all[filepath.ToSlash(name)] = string(b)
		return errors.Join(err, relErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// writeTree makes dir hold exactly what readTree saw.
func writeTree(t testing.TB, dir string, all map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for name, content := range all {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		mustWriteFile(t, path, content)
	}
}

func mustWriteFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// find returns the only name that matches the pattern, or the i-th.
func find(t testing.TB, all map[string]string, pattern string, i int) string {
	t.Helper()
	var found []string
	for name := range all {
		if ok, err := filepath.Match(pattern, name); err != nil {
			t.Fatal(err)
		} else if ok {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		t.Fatalf("nothing matches %s", pattern)
	}
	slices.Sort(found)
	if i < 0 {
		i += len(found)
	}
	return found[i]
}

// mustReport opens dir and wants one line that names file, says want and a way
// out.
func mustReport(t testing.TB, dir string, o Options, file, want string) {
	t.Helper()
	s, err := Open(dir, o)
	if err == nil {
		first, _ := s.FirstIndex()
		last, _ := s.LastIndex()
		mustClose(t, s)
		t.Fatalf("opened with entries %d to %d, want an error about %s that says %q", first, last, file, want)
	}
	var c *CorruptError
	if !errors.As(err, &c) {
		t.Fatalf("error = %v, want a CorruptError about %s", err, file)
	}
	if got := err.Error(); strings.Contains(got, "\n") || !strings.Contains(got, filepath.FromSlash(file)) || !strings.Contains(got, want) {
		t.Errorf("error = %q, want one line that names %s and says %q", got, file, want)
	}
	if !strings.Contains(c.Do, "holdfast snapshot restore") {
		t.Errorf("way out = %q", c.Do)
	}
}

func TestAUsedServerOpensAgain(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir, _ := usedDir(t, backend)
		o := testOptions("")
		o.Initialised = true
		s := mustOpen(t, dir, o)
		mustHold(t, s, usedFirst, usedLast)
		list, err := s.Snapshots().List()
		if err != nil || len(list) != 2 || list[0].Index != usedNew || list[1].Index != usedOld {
			t.Errorf("snapshots = %v, %v", list, err)
		}
		mustStore(t, s, usedLast+1, usedLast+5)
		mustHold(t, s, usedFirst, usedLast+5)
	})
}

// Every file, lost and emptied.
func TestLostAndEmptiedFiles(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir, all := usedDir(t, backend)
		newest := filepath.Dir(find(t, all, fmt.Sprintf("snapshots/2-%d-*/meta.json", usedNew), 0))
		type tc struct {
			rule  string
			do    func(all map[string]string)
			file  string // "": it opens, with entries from first on
			says  string
			first uint64
		}
		drop := func(names ...string) func(map[string]string) {
			return func(all map[string]string) {
				for name := range all {
					for _, n := range names {
						if name == n || strings.HasPrefix(name, n+"/") {
							delete(all, name)
						}
					}
				}
			}
		}
		set := func(name, content string) func(map[string]string) {
			return func(all map[string]string) { all[name] = content }
		}
		cases := []tc{
			{rule: "all lost", do: func(all map[string]string) { clear(all) }, file: "raft", says: "is gone, but this server has stored data"},
			{rule: "all but the snapshots lost", do: func(all map[string]string) {
				for name := range all {
					if !strings.HasPrefix(name, "snapshots/") {
						delete(all, name)
					}
				}
			}, file: "wal", says: "is gone, and there is no raft.db either"},
			{rule: "term and vote lost", do: drop("stable.db"), file: "stable.db", says: "is gone, and with it the term and vote"},
			{rule: "term and vote emptied", do: set("stable.db", ""), file: "stable.db", says: "it is empty"},
			{rule: "term and vote cut short", do: func(all map[string]string) { all["stable.db"] = all["stable.db"][:9000] }, file: "stable.db", says: "cut short to 9000 bytes"},
			{rule: "all snapshots lost", do: drop("snapshots"), file: map[string]string{WAL: "wal", BoltDB: "raft.db"}[backend], says: "begins with entry 41, and there is no snapshot"},
			{rule: "the newest snapshot lost, the log reaches back to the older", do: drop(newest), first: usedFirst},
			{rule: "its content lost", do: drop(newest + "/state.bin"), first: usedFirst},
			{rule: "its content emptied", do: set(newest+"/state.bin", ""), first: usedFirst},
			{rule: "its description lost", do: drop(newest + "/meta.json"), first: usedFirst},
			{rule: "its description emptied", do: set(newest+"/meta.json", ""), first: usedFirst},
			{rule: "the witness lost", do: drop("acked"), first: usedFirst},
			{rule: "the witness damaged", do: set("acked", "0123456789abcdef"), first: usedFirst},
			{rule: "a second log", do: set(map[string]string{WAL: "raft.db", BoltDB: "wal/segments"}[backend], "x"), file: "raft", says: "holds two logs"},
		}
		if backend == WAL {
			first, tail := find(t, all, "wal/*.wal", 0), find(t, all, "wal/*.wal", -1)
			needed := find(t, all, "wal/*.wal", -2)
			cases = append(cases,
				tc{rule: "the log lost", do: drop("wal"), file: "wal", says: "is gone"},
				tc{rule: "the list lost", do: drop("wal/segments"), file: "wal/segments", says: "is gone"},
				tc{rule: "the list emptied", do: set("wal/segments", ""), file: "wal/segments", says: "is empty"},
				tc{rule: "the last segment lost", do: drop(tail), file: tail, says: "is gone, and with it entry 200"},
				tc{rule: "the last segment emptied", do: set(tail, ""), file: tail, says: "ends at byte 0"},
				tc{rule: "a needed segment lost", do: drop(needed), file: needed, says: "is gone"},
				tc{rule: "a needed segment emptied", do: set(needed, ""), file: needed, says: "header"},
				tc{rule: "a segment lost that the snapshot covers", do: drop(first), first: 1},
				tc{rule: "a segment emptied that the snapshot covers", do: set(first, ""), first: 1},
			)
		} else {
			cases = append(cases,
				tc{rule: "the log lost", do: drop("raft.db"), file: "wal", says: "is gone, and there is no raft.db either"},
				tc{rule: "the log emptied", do: set("raft.db", ""), file: "raft.db", says: "it is empty"},
				tc{rule: "the log cut short", do: func(all map[string]string) { all["raft.db"] = all["raft.db"][:20000] }, file: "raft.db", says: "cut short to 20000 bytes"},
				tc{rule: "another, new log", do: func(all map[string]string) { _, other := newBolt(t); all["raft.db"] = other }, file: "raft.db", says: "has no entries, but entry 200 was acknowledged"},
			)
		}
		for _, c := range cases {
			t.Run(c.rule, func(t *testing.T) {
				now := map[string]string{}
				for name, content := range all {
					now[name] = content
				}
				c.do(now)
				writeTree(t, dir, now)
				o := testOptions("")
				o.Initialised = true
				if c.file != "" {
					mustReport(t, dir, o, c.file, c.says)
					if after := readTree(t, dir); !sameFiles(now, after) {
						t.Error("files were changed although opening failed")
					}
					return
				}
				s := mustOpen(t, dir, o)
				first, _ := s.FirstIndex()
				if c.first == usedFirst && first != usedFirst || first > usedNew+1 {
					t.Errorf("first entry = %d", first)
				}
				mustHold(t, s, first, usedLast)
				mustStore(t, s, usedLast+1, usedLast+2)
				if list, err := s.Snapshots().List(); err != nil || len(list) == 0 {
					t.Errorf("snapshots = %v, %v", list, err)
				}
			})
		}
	})
}

// sameFiles compares what was there before; opening may add the files acked and
// snapshots/ at most.
func sameFiles(before, after map[string]string) bool {
	for name, content := range before {
		if after[name] != content {
			return false
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok && name != ackedName {
			return false
		}
	}
	return true
}

// newBolt is a file of the other kind of log without an entry.
func newBolt(t testing.TB) (path, content string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "raft")
	s := mustOpen(t, dir, testOptions(BoltDB))
	mustClose(t, s)
	return filepath.Join(dir, boltName), readTree(t, dir)[boltName]
}

// If the newest snapshot is damaged, an older one will do only if the log goes on
// from there to beyond the damaged one.
func TestDamagedSnapshot(t *testing.T) {
	flip := func(s string) string {
		b := []byte(s)
		b[len(b)/2] ^= 4
		return string(b)
	}
	for _, tc := range []struct {
		rule      string
		first     uint64 // of the log
		last      uint64
		snapshots []uint64
		damaged   []uint64
		covered   uint64 // what it starts from
		fails     bool
	}{
		{"the log goes on from the older", 50, 200, []uint64{60, 100}, []uint64{100}, 60, false},
		{"it goes on without a gap", 61, 200, []uint64{60, 100}, []uint64{100}, 60, false},
		{"it begins too late", 62, 200, []uint64{60, 100}, []uint64{100}, 0, true},
		{"it ends too early", 50, 99, []uint64{60, 100}, []uint64{100}, 0, true},
		{"there is no older one, but the log has all", 1, 200, []uint64{100}, []uint64{100}, 0, false},
		{"there is none, and the log has not", 2, 200, []uint64{100}, []uint64{100}, 0, true},
		{"both are damaged, but the log has all", 1, 200, []uint64{60, 100}, []uint64{60, 100}, 0, false},
		{"an older damaged one does not matter", 101, 200, []uint64{60, 100}, []uint64{60}, 100, false},
		{"the log was emptied behind the damaged one", 0, 0, []uint64{60, 100}, []uint64{100}, 0, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "raft")
			s := mustOpen(t, dir, testOptions(WAL))
			if err := s.Stable().SetUint64([]byte(keyTerm), 2); err != nil {
				t.Fatal(err)
			}
			ids := map[uint64]string{}
			for _, index := range tc.snapshots {
				ids[index] = makeSnapshot(t, s, index)
			}
			if tc.last > 0 {
				mustStore(t, s, tc.first, tc.last)
			}
			mustClose(t, s)
			for _, index := range tc.damaged {
				path := filepath.Join(dir, "snapshots", ids[index], "state.bin")
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				mustWriteFile(t, path, flip(string(b)))
			}
			log, lines := logTo()
			o := testOptions("")
			o.Initialised, o.Logger = true, log
			if tc.fails {
				mustReport(t, dir, o, ids[100]+"/state.bin", "does not match its checksum")
				if lines.Len() > 0 {
					t.Errorf("logged beside the error: %s", lines)
				}
				return
			}
			s = mustOpen(t, dir, o)
			if got := s.covered.Load(); got != tc.covered {
				t.Errorf("covered = %d, want %d", got, tc.covered)
			}
			list, err := s.Snapshots().List()
			if err != nil {
				t.Fatal(err)
			}
			if tc.covered == 0 && len(list) != 0 || tc.covered != 0 && (len(list) == 0 || list[0].Index != tc.covered) {
				t.Errorf("list = %v, want it to begin with %d", list, tc.covered)
			}
			mustHold(t, s, tc.first, tc.last)
		})
	}
}

// A flipped bit anywhere in a needed entry is found at opening; in one that the
// snapshot covers it is as if the entry were not there.
func TestFlippedBitInAnEntry(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir, all := usedDir(t, backend)
		for _, index := range []uint64{usedFirst + 1, usedNew, usedNew + 1, 150, usedLast} {
			t.Run(fmt.Sprint(index), func(t *testing.T) {
				now := map[string]string{}
				hits := 0
				for name, content := range all {
					text := fmt.Sprintf("value of entry %d ", index)
					if strings.HasPrefix(name, "wal/") || name == boltName {
						hits += strings.Count(content, text)
						content = strings.ReplaceAll(content, text, strings.Replace(text, "value", "valve", 1))
					}
					now[name] = content
				}
				if hits == 0 {
					t.Fatal("the entry was not found in any file")
				}
				writeTree(t, dir, now)
				o := testOptions("")
				o.Initialised = true
				if index > usedNew {
					mustReport(t, dir, o, map[string]string{WAL: ".wal", BoltDB: boltName}[backend], fmt.Sprintf("entry %d does not match its checksum", index))
					return
				}
				o.OnDamage = func(err error) { t.Errorf("OnDamage: %v", err) }
				s := mustOpen(t, dir, o)
				mustNotHave(t, s, index)
				var l raft.Log
				if err := s.GetLog(index+1, &l); err != nil || !bytes.Equal(l.Data, dataOf(index+1)) {
					t.Errorf("the next entry: %v", err)
				}
			})
		}
	})
}

// Damage that comes while the server runs is told before raft panics.
func TestDamageWhileRunning(t *testing.T) {
	dir, all := usedDir(t, WAL)
	var told []error
	o := testOptions("")
	o.Initialised, o.CacheBytes, o.OnDamage = true, -1, func(err error) { told = append(told, err) }
	s := mustOpen(t, dir, o)
	tail := find(t, all, "wal/*.wal", -1)
	text := fmt.Sprintf("value of entry %d ", usedLast)
	at := strings.Index(all[tail], text)
	f, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(tail)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("V"), int64(at)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	err = s.GetLog(usedLast, &raft.Log{})
	var c *CorruptError
	if !errors.As(err, &c) || len(told) != 1 || !errors.Is(told[0], err) {
		t.Errorf("get: %v, told: %v", err, told)
	}
}

// A file of the log or of the term that has one wrong bit is either reported or
// the bit did not matter. What it must never do is end the process.
func TestFlippedBitInBoltFiles(t *testing.T) {
	dir, all := usedDir(t, BoltDB)
	o := testOptions("")
	o.Initialised = true
	for _, name := range []string{stableName, boltName} {
		path := filepath.Join(dir, name)
		b := []byte(all[name])
		reported, harmless := 0, 0
		for off := range b {
			inHead := off%os.Getpagesize() < 96
			if !inHead && off%101 != 0 && !inRoot(b, off) {
				continue
			}
			bit := byte(1) << (off % 8)
			b[off] ^= bit
			err := checkBolt(bytes.NewReader(b), uint64(len(b)), func(string, []byte, []byte) error { return nil })
			// Opening is slow: not for every bit that is surely reported.
			if err == nil && (off%29 == 0 || off%3 == 0 && inRoot(b, off)) || err != nil && off%601 == 0 {
				mustWriteFile(t, path, string(b))
				s, openErr := Open(dir, o)
				var c *CorruptError
				switch {
				case errors.As(openErr, &c):
					reported++
					if !strings.HasPrefix(c.Path, path) {
						t.Errorf("byte %d of %s: %v", off, name, openErr)
					}
				case openErr != nil:
					t.Errorf("byte %d of %s: %v", off, name, openErr)
				case err != nil:
					mustClose(t, s)
					t.Fatalf("byte %d of %s: opened although %v", off, name, err)
				default:
					harmless++
					mustHoldBehind(t, s, usedNew, usedLast)
					if st, err := s.State(); err != nil || st.Term != 2 {
						t.Errorf("byte %d of %s: state %+v, %v", off, name, st, err)
					}
					mustClose(t, s)
				}
				for _, n := range []string{stableName, boltName, ackedName} {
					mustWriteFile(t, filepath.Join(dir, n), all[n])
				}
			}
			b[off] ^= bit
		}
		if reported == 0 || harmless == 0 {
			t.Errorf("%s: reported %d, harmless %d: the test does not reach both", name, reported, harmless)
		}
	}
}

// inRoot reports whether off is in a page that names the buckets, whose every bit
// decides over everything.
func inRoot(b []byte, off int) bool {
	page := off / os.Getpagesize() * os.Getpagesize()
	head := b[page:min(len(b), page+160)]
	return off < page+160 && bytes.Contains(head, []byte("onf")) && bytes.Contains(head, []byte("ogs"))
}

// mustHoldBehind wants the entries behind the snapshot; those that it covers may
// be damaged.
func mustHoldBehind(t testing.TB, s *Store, covered, last uint64) {
	t.Helper()
	if l, _ := s.LastIndex(); l != last {
		t.Fatalf("last entry = %d, want %d", l, last)
	}
	for i := uint64(1); i <= last; i++ {
		var l raft.Log
		err := s.GetLog(i, &l)
		if i <= covered && errors.Is(err, raft.ErrLogNotFound) {
			continue
		}
		if err != nil || !bytes.Equal(l.Data, dataOf(i)) {
			t.Fatalf("entry %d: %q, %v", i, l.Data, err)
		}
	}
}

func TestFlippedBitInTheTerm(t *testing.T) {
	dir, all := usedDir(t, WAL)
	o := testOptions("")
	o.Initialised = true
	for _, tc := range []struct{ rule, from, to string }{
		{"in its name", keyTerm + "\x00", "CurrentTerl\x00"},
		{"in its value", keyTerm + "\x00\x00\x00\x00\x00\x00\x00\x02", keyTerm + "\x00\x00\x00\x00\x00\x00\x00\x03"},
		{"in its checksum", "\x02\xc5", "\x02\xc4"},
	} {
		if !strings.Contains(all[stableName], tc.from) {
			t.Fatalf("%s: %q is not in the file", tc.rule, tc.from)
		}
		mustWriteFile(t, filepath.Join(dir, stableName), strings.ReplaceAll(all[stableName], tc.from, tc.to))
		mustReport(t, dir, o, stableName, "is damaged")
	}
}

// The log of a file system without write barriers, or one that was put back from
// an old copy: everything is sound, only some is missing.
func TestAnOldCopyOfTheLog(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir, all := usedDir(t, backend)
		o := testOptions("")
		o.Initialised = true
		s := mustOpen(t, dir, o)
		for i := uint64(usedLast + 1); i < usedLast+50; i += 2 {
			mustStore(t, s, i, i+1)
		}
		mustClose(t, s)
		now := readTree(t, dir)
		for name := range now {
			if strings.HasPrefix(name, "wal/") || name == boltName {
				delete(now, name)
			}
		}
		for name, content := range all {
			if strings.HasPrefix(name, "wal/") || name == boltName {
				now[name] = content
			}
		}
		writeTree(t, dir, now)
		mustReport(t, dir, o, map[string]string{WAL: "wal", BoltDB: boltName}[backend], "")
	})
}

func TestMissingEntryInBolt(t *testing.T) {
	dir, _ := usedDir(t, BoltDB)
	db, err := raftboltdb.NewBoltStore(filepath.Join(dir, boltName))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.DeleteRange(150, 151); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	mustReport(t, dir, testOptions(""), boltName, "entries 150 to 151 are missing")
}

// A log that was written without checksums is not ours, or not as it was.
func TestEntriesWithoutChecksum(t *testing.T) {
	dir, _ := usedDir(t, BoltDB)
	db, err := raftboltdb.NewBoltStore(filepath.Join(dir, boltName))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.StoreLog(entry(170)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	mustReport(t, dir, testOptions(""), boltName, "entry 170 has no checksum")
}

// The process was killed while raft replaced the log by a restored snapshot.
func TestRestoreThatWasNotFinished(t *testing.T) {
	forBackends(t, func(t *testing.T, backend string) {
		dir, _ := usedDir(t, backend)
		o := testOptions("")
		o.Initialised = true
		s := mustOpen(t, dir, o)
		makeSnapshot(t, s, usedLast+1)
		mustClose(t, s)
		s = mustOpen(t, dir, o)
		mustHold(t, s, 0, 0)
		mustStore(t, s, usedLast+2, usedLast+3)
		mustHold(t, s, usedLast+2, usedLast+3)
		mustClose(t, s)
		mustHold(t, mustOpen(t, dir, o), usedLast+2, usedLast+3)
	})
}

func TestUnfinishedSnapshotsAreRemoved(t *testing.T) {
	dir, _ := usedDir(t, WAL)
	left := filepath.Join(dir, "snapshots", "2-150-1700000000000.tmp")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	mustWriteFile(t, filepath.Join(left, "state.bin"), "half")
	s := mustOpen(t, dir, testOptions(""))
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
	// One that is given up while running leaves nothing either, nor does it
	// disturb another one.
	_, trans := raft.NewInmemTransport("")
	if index, at := s.LastSnapshot(); index != usedNew || at.IsZero() || time.Since(at) > time.Hour {
		t.Errorf("the newest snapshot is said to be of %d at %v", index, at)
	}
	a, err := s.Snapshots().Create(1, 160, 2, raft.Configuration{}, 1, trans)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Snapshots().Create(1, 170, 2, raft.Configuration{}, 1, trans)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Cancel(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Cancel(); err != nil {
		t.Errorf("cancel after close: %v", err)
	}
	list, err := s.Snapshots().List()
	if err != nil || len(list) != 2 || list[0].Index != 170 {
		t.Errorf("snapshots = %v, %v", list, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.tmp")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if index, at := s.LastSnapshot(); index != 170 || time.Since(at) > time.Minute {
		t.Errorf("the newest snapshot is said to be of %d at %v", index, at)
	}
	if index, at := Memory().LastSnapshot(); index != 0 || !at.IsZero() {
		t.Errorf("in memory there is one of %d at %v", index, at)
	}
	if s.covered.Load() != 170 {
		t.Errorf("covered = %d", s.covered.Load())
	}
}

// A term that was lost to bbolt itself: the file is sound but holds nothing.
func TestTermThatIsNotThere(t *testing.T) {
	dir, _ := usedDir(t, WAL)
	_, empty := newBolt(t)
	mustWriteFile(t, filepath.Join(dir, stableName), empty)
	mustReport(t, dir, testOptions(""), stableName, "holds no term")
}

func TestTornTailIsMended(t *testing.T) {
	dir, all := usedDir(t, WAL)
	tail := find(t, all, "wal/*.wal", -1)
	path := filepath.Join(dir, filepath.FromSlash(tail))
	end := len(strings.TrimRight(all[tail], "\x00"))
	log, lines := logTo()
	o := testOptions("")
	o.Initialised, o.Logger = true, log
	s := mustOpen(t, dir, o)
	if lines.Len() != 0 {
		t.Errorf("an orderly start logged %s", lines)
	}
	mustClose(t, s)
	// The beginning of a batch that was never acknowledged.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("\x01\x00\x00\x00\x80\x00\x00\x00\xc9\x01\x02"), int64((end+7)&^7)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, o)
	mustHold(t, s, usedFirst, usedLast)
	if n := strings.Count(lines.String(), "\n"); n != 1 || !strings.Contains(lines.String(), "not finished") {
		t.Errorf("want one line about it, got %q", lines)
	}
	mustStore(t, s, usedLast+1, usedLast+1)
}

func TestWitness(t *testing.T) {
	path := filepath.Join(t.TempDir(), ackedName)
	a, last, sound, err := openAcked(path, true)
	if err != nil || last != 0 || !sound {
		t.Fatalf("new: %d, %v, %v", last, sound, err)
	}
	for _, n := range []uint64{1, math.MaxUint64, 77} {
		if err := a.raise(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.lower(5); err != nil {
		t.Fatal(err)
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	a, last, sound, err = openAcked(path, true)
	if err != nil || last != 5 || !sound {
		t.Errorf("again: %d, %v, %v, want 5", last, sound, err)
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
}
