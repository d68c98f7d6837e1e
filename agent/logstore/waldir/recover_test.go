package waldir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
)

func TestASoundLogIsLeftAsItIs(t *testing.T) {
	dir, _ := writeLog(t, 1, 4, 5, 9)
	before := contents(t, dir)
	list, rep := mustRecover(t, dir, Options{From: 1, Acked: 9})
	if (rep != Report{First: 1, Last: 9}) {
		t.Errorf("report = %+v", rep)
	}
	for name, content := range contents(t, dir) {
		if before[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
	mustHold(t, dir, list, 1, 9)
}

func TestNothingBecomesANewLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wal")
	list, rep := mustRecover(t, dir, Options{From: 1})
	if (rep != Report{}) {
		t.Errorf("report = %+v", rep)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mustHold(t, dir, list, 0, 0)
}

// A write that was cut off anywhere leaves the whole entries before it; if more
// is known to have been acknowledged, that is damage.
func TestTornTail(t *testing.T) {
	dir, tail := writeLog(t, 1, 4, 5, 9)
	all := contents(t, dir)
	ends, end := frameEnds(t, tail)
	sound := all[filepath.Base(tail)]
	for cut := int64(0); cut <= end; cut++ {
		for _, torn := range []struct {
			how     string
			content string
		}{
			{"file shortened", sound[:cut]},
			{"zeros from there", sound[:cut] + string(make([]byte, int64(len(sound))-cut))},
		} {
			whole := uint64(0) // the entries whose bytes are all as they were
			for _, e := range ends {
				if int64(len(torn.content)) >= e && torn.content[:e] == sound[:e] {
					whole++
				}
			}
			restore(t, dir, all)
			mustWrite(t, tail, []byte(torn.content))
			if whole < 9 && cut%9 == 0 {
				mustReport(t, dir, Options{From: 1, Acked: whole + 1}, tail, "")
			}
			list, rep := mustRecover(t, dir, Options{From: 1, Acked: whole})
			if rep.Last != whole {
				t.Fatalf("%s at %d: last = %d, want %d", torn.how, cut, rep.Last, whole)
			}
			if torn.content[:min(int64(len(torn.content)), end)] == sound[:end] && rep.Mended != "" {
				t.Errorf("%s at %d: mended although nothing is missing", torn.how, cut)
			}
			if cut%9 != 0 && cut < end-20 {
				continue
			}
			mustHold(t, dir, list, min(whole, 1), whole)
			list, _ = mustRecover(t, dir, Options{From: 1, Acked: whole + 2})
			mustHold(t, dir, list, 1, whole+2)
		}
	}
}

// Sectors of the last batch that did not make it are torn too, though its end is
// there.
func TestTornInTheMiddleOfTheLastBatch(t *testing.T) {
	dir, tail := writeLog(t, 3, 40)
	ends, _ := frameEnds(t, tail)
	b := []byte(contents(t, dir)[filepath.Base(tail)])
	clear(b[512:1024])
	mustWrite(t, tail, b)
	whole := uint64(0)
	for _, e := range ends {
		if e <= 512 {
			whole++
		}
	}
	list, rep := mustRecover(t, dir, Options{From: 1, Acked: 3})
	if rep.Last != whole || whole <= 3 || rep.Mended != tail {
		t.Errorf("report = %+v, want the %d entries before the lost sector", rep, whole)
	}
	mustHold(t, dir, list, 1, whole)
}

// One wrong bit anywhere in the last segment loses nothing that is known to have
// been acknowledged, and nothing at all in front of the last batch.
func TestFlippedBitInTheTail(t *testing.T) {
	dir, tail := writeLog(t, 1, 4, 5, 9)
	all := contents(t, dir)
	ends, end := frameEnds(t, tail)
	lastBatch := ends[4] + frameHeaderBytes // behind the commit of entry 5
	list, _ := mustRecover(t, dir, Options{From: 1})
	info := list.state.Segments[0]
	mended, reported := 0, 0
	b := []byte(all[filepath.Base(tail)])
	for off := int64(0); off < end+64; off++ {
		for bit := range 8 {
			b[off] ^= 1 << bit
			where := fmt.Sprintf("bit %d of byte %d (last batch from %d)", bit, off, lastBatch)
			o := Options{From: 1, Acked: 9, Verify: verifyData, NoSync: true}

			found, err := judgeTail(bytes.NewReader(b), int64(len(b)), tail, info, o)
			var damage *DamageError
			switch {
			case errors.As(err, &damage):
				reported++
			case err != nil || found.entries != 9:
				t.Fatalf("%s: %+v, %v, want 9 entries or damage", where, found, err)
			default:
				mended++
			}

			// Without a witness only the last batch may be taken for torn.
			o.Acked = 0
			found, err = judgeTail(bytes.NewReader(b), int64(len(b)), tail, info, o)
			switch {
			case errors.As(err, &damage):
			case err != nil || off < lastBatch && found.entries != 9:
				t.Fatalf("%s: %+v, %v, want 9 entries or damage", where, found, err)
			case off%29 == 0 && bit == int(off)%8:
				restore(t, dir, all)
				mustWrite(t, tail, b)
				list, rep := mustRecover(t, dir, o)
				mustHold(t, dir, list, min(rep.Last, 1), found.entries)
			}
			b[off] ^= 1 << bit
		}
	}
	if mended == 0 || reported == 0 {
		t.Errorf("mended %d, reported %d: the test does not reach both", mended, reported)
	}
}

// many makes a log of several segments: the first one is sealed after sealedMax.
func many(t *testing.T) (dir string, sealed string, sealedMax uint64, tail string) {
	t.Helper()
	var batches []uint64
	for i := uint64(5); i <= 200; i += 5 {
		batches = append(batches, i)
	}
	dir, tail = writeLog(t, batches...)
	list, _ := mustRecover(t, dir, Options{From: 1})
	if len(list.state.Segments) < 3 {
		t.Fatalf("only %d segments", len(list.state.Segments))
	}
	first := list.state.Segments[0]
	return dir, filepath.Join(dir, segment.FileName(first)), first.MaxIndex, tail
}

func TestFlippedBitInASealedSegment(t *testing.T) {
	dir, sealed, _, _ := many(t)
	all := contents(t, dir)
	list, _ := mustRecover(t, dir, Options{From: 1})
	info := list.state.Segments[0]
	b := []byte(all[filepath.Base(sealed)])
	reported, harmless := 0, 0
	for off := range b {
		for _, bit := range []int{off % 8} {
			b[off] ^= 1 << bit
			err := checkSealedContent(bytes.NewReader(b), int64(len(b)), sealed, info, 1, verifyData)
			var damage *DamageError
			switch {
			case errors.As(err, &damage):
				reported++
				if reported%700 == 1 {
					mustWrite(t, sealed, b)
					mustReport(t, dir, Options{From: 1}, sealed, "")
					restore(t, dir, all)
				}
			case err != nil:
				t.Fatalf("byte %d: %v", off, err)
			default: // padding, the CRC of a commit, unused bits: no entry has changed
				harmless++
				if harmless%80 == 1 {
					mustWrite(t, sealed, b)
					list, _ := mustRecover(t, dir, Options{From: 1, Acked: 200})
					mustHold(t, dir, list, 1, 200)
					restore(t, dir, all)
				}
			}
			b[off] ^= 1 << bit
		}
	}
	if harmless == 0 || reported == 0 {
		t.Errorf("harmless %d, reported %d: the test does not reach both", harmless, reported)
	}
}

func TestLostAndEmptiedFiles(t *testing.T) {
	dir, sealed, sealedMax, tail := many(t)
	all := contents(t, dir)
	list := filepath.Join(dir, listName)
	remove := func(path string) func() error { return func() error { return os.Remove(path) } }
	resize := func(path string, n int64) func() error { return func() error { return os.Truncate(path, n) } }
	for _, tc := range []struct {
		rule   string
		do     func() error
		o      Options
		file   string // the damage names it; "": recovers
		says   string
		first  uint64 // else what is there afterwards
		last   uint64
		mended bool
	}{
		{rule: "without the list nothing is deleted", do: remove(list), o: Options{From: 1}, file: list, says: "is gone"},
		{rule: "an emptied list is no list", do: resize(list, 0), o: Options{From: 1}, file: list, says: "is empty"},
		{rule: "half a list is no list", do: resize(list, 60), o: Options{From: 1}, file: list, says: "not a list"},
		{
			rule: "a lost segment is damage", do: remove(sealed), o: Options{From: sealedMax}, file: sealed,
			says: fmt.Sprintf("is gone, and with it the entries 1 to %d", sealedMax),
		},
		{rule: "an emptied one too", do: resize(sealed, 0), o: Options{From: 1}, file: sealed, says: "header"},
		{rule: "and one cut short", do: resize(sealed, 3000), o: Options{From: 1}, file: sealed, says: "cut short at byte 3000"},
		{
			rule: "a lost segment that a snapshot covers is given up", do: remove(sealed), o: Options{From: sealedMax + 1, Acked: 200},
			first: sealedMax + 1, last: 200,
		},
		{
			rule: "so is an emptied one", do: resize(sealed, 0), o: Options{From: sealedMax + 1, Acked: 200},
			first: sealedMax + 1, last: 200,
		},
		{rule: "a lost last segment is damage", do: remove(tail), o: Options{From: 1, Acked: 200}, file: tail, says: "is gone, and with it entry 200"},
		{rule: "an emptied one too", do: resize(tail, 0), o: Options{From: 1, Acked: 200}, file: tail, says: "ends at byte 0"},
		{rule: "also if a snapshot covers all but the last entry", do: resize(tail, 0), o: Options{From: 200, Acked: 200}, file: tail, says: "ends at byte 0"},
		{rule: "but not if a snapshot covers all", do: resize(tail, 0), o: Options{From: 201, Acked: 200}, first: 1, last: 0},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			restore(t, dir, all)
			if err := tc.do(); err != nil {
				t.Fatal(err)
			}
			if tc.file != "" {
				mustReport(t, dir, tc.o, tc.file, tc.says)
				return
			}
			list, rep := mustRecover(t, dir, tc.o)
			if tc.last == 0 {
				tc.last = rep.Last
			}
			if tc.first > 1 && rep.Dropped != tc.first-1 {
				t.Errorf("report = %+v, want entries up to %d dropped", rep, tc.first-1)
			}
			mustHold(t, dir, list, tc.first, tc.last)
		})
	}
}

func TestAnOldListIsNotBelieved(t *testing.T) {
	dir, _, _, _ := many(t)
	young := contents(t, dir)
	// What the list was before the last change of segments: the first one only.
	old, _ := writeLog(t, 5)
	mustWrite(t, filepath.Join(dir, listName), []byte(contents(t, old)[listName]))
	mustReport(t, dir, Options{From: 1}, filepath.Join(dir, listName), "is older than segment")
	if len(young) != len(names(t, dir)) {
		t.Error("files are gone")
	}
}

func TestAStrangeFileIsReported(t *testing.T) {
	dir, _ := writeLog(t, 3)
	strange := filepath.Join(dir, "copy.wal")
	mustWrite(t, strange, nil)
	mustReport(t, dir, Options{From: 1}, strange, "does not have the name of a segment")
}

// full makes a log whose last segment is full and sealed, but the list of which
// was never told, as a kill between the two leaves it.
func full(t *testing.T) (dir, tail string, last uint64) {
	t.Helper()
	dir = t.TempDir()
	list, _ := mustRecover(t, dir, Options{})
	w := openLog(t, dir, list)
	for last == 0 || len(list.state.Segments) < 2 {
		before := contents(t, dir)
		if err := w.StoreLogs(entries(last+1, last+5)); err != nil {
			t.Fatal(err)
		}
		last += 5
		if err := w.DeleteRange(last+9, last+9); err != nil { // waits for a change of segments
			t.Fatal(err)
		}
		if len(list.state.Segments) == 2 {
			closeLog(t, w)
			old := filepath.Join(dir, segment.FileName(list.state.Segments[0]))
			content := contents(t, dir)[filepath.Base(old)]
			restore(t, dir, before)
			mustWrite(t, old, []byte(content))
			return dir, old, last
		}
	}
	t.Fatal("no segment was ever full")
	return "", "", 0
}

func TestASegmentThatIsFullButNotListedSo(t *testing.T) {
	dir, _, last := full(t)
	list, rep := mustRecover(t, dir, Options{From: 1, Acked: last})
	if rep.Last != last {
		t.Errorf("report = %+v, want last %d", rep, last)
	}
	if n := len(list.state.Segments); n != 2 || list.state.Segments[0].MaxIndex != last {
		t.Errorf("list = %+v", list.state)
	}
	mustHold(t, dir, list, 1, last)
	list, _ = mustRecover(t, dir, Options{From: 1, Acked: last + 2})
	mustHold(t, dir, list, 1, last+2)
}

func TestTornSealing(t *testing.T) {
	dir, tail, last := full(t)
	all := contents(t, dir)
	ends, end := frameEnds(t, tail)
	for cut := ends[len(ends)-1]; cut < end; cut += 3 {
		restore(t, dir, all)
		if err := os.Truncate(tail, cut); err != nil {
			t.Fatal(err)
		}
		list, rep := mustRecover(t, dir, Options{From: 1, Acked: last})
		if rep.Last != last || rep.Mended == "" {
			t.Fatalf("cut at %d: report = %+v, want last %d", cut, rep, last)
		}
		mustHold(t, dir, list, 1, last)
	}
}

// A batch whose write failed is cut off, however much of it got there.
func TestCut(t *testing.T) {
	dir, _ := writeLog(t, 2, 5, 9)
	all := contents(t, dir)
	for _, last := range []uint64{0, 2, 5, 9} {
		restore(t, dir, all)
		list, rep := mustRecover(t, dir, Options{From: 1, Acked: last, Cut: true, Last: last})
		if rep.Last != last {
			t.Errorf("cut behind %d: report = %+v", last, rep)
		}
		mustHold(t, dir, list, min(last, 1), last)
		list, _ = mustRecover(t, dir, Options{From: 1, Acked: last + 2})
		mustHold(t, dir, list, 1, last+2)
	}
}

func TestHeadTruncatedLog(t *testing.T) {
	dir, _, _, _ := many(t)
	list, _ := mustRecover(t, dir, Options{From: 1})
	w := openLog(t, dir, list)
	if err := w.DeleteRange(1, 120); err != nil {
		t.Fatal(err)
	}
	closeLog(t, w)
	list, rep := mustRecover(t, dir, Options{From: 121, Acked: 200})
	if (rep != Report{First: 121, Last: 200}) {
		t.Errorf("report = %+v", rep)
	}
	mustHold(t, dir, list, 121, 200)
}

func TestTailTruncatedLog(t *testing.T) {
	dir, _, _, _ := many(t)
	list, _ := mustRecover(t, dir, Options{From: 1})
	w := openLog(t, dir, list)
	if err := w.DeleteRange(187, 200); err != nil {
		t.Fatal(err)
	}
	if err := w.StoreLogs([]*raft.Log{entry(187)}); err != nil {
		t.Fatal(err)
	}
	closeLog(t, w)
	list, rep := mustRecover(t, dir, Options{From: 1, Acked: 187})
	if (rep != Report{First: 1, Last: 187}) {
		t.Errorf("report = %+v", rep)
	}
	mustHold(t, dir, list, 1, 187)
}

// The reason for this package: raft-wal alone would lose the log. If one of these
// ever fails, that has been mended there and code here may go.
func TestRaftWALAloneTrustsTheDisk(t *testing.T) {
	t.Run("an emptied last segment is an empty log", func(t *testing.T) {
		dir, tail := writeLog(t, 9)
		list, _ := mustRecover(t, dir, Options{From: 1})
		if err := os.Truncate(tail, 0); err != nil {
			t.Fatal(err)
		}
		if last, err := openLog(t, dir, list).LastIndex(); last != 0 || err != nil {
			t.Errorf("last = %d, %v", last, err)
		}
	})
	t.Run("a full segment that is not listed so refuses writes", func(t *testing.T) {
		dir, _, last := full(t)
		state, _, err := readList(filepath.Join(dir, listName))
		if err != nil {
			t.Fatal(err)
		}
		w := openLog(t, dir, &Segments{path: filepath.Join(dir, listName), noSync: true, state: state})
		if err := w.StoreLogs(entries(last+1, last+1)); !errors.Is(err, wal.ErrSealed) {
			t.Errorf("store: %v", err)
		}
	})
}
