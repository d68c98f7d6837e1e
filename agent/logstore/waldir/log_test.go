package waldir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dataOf is what the entry with this index holds: no two alike, lengths that
// need padding and lengths that do not, zeros in the middle.
func dataOf(index uint64) []byte {
	return append(fmt.Appendf(nil, "entry %d of the log ", index), make([]byte, index%13)...)
}

func entry(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 3, Type: raft.LogCommand, Data: dataOf(index)}
}

func entries(first, last uint64) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, entry(i))
	}
	return logs
}

var errChecksum = errors.New("does not match its checksum")

func verifyData(index uint64, payload []byte) error {
	var want bytes.Buffer
	if err := (&wal.BinaryCodec{}).Encode(entry(index), &want); err != nil {
		return err
	}
	if !bytes.Equal(payload, want.Bytes()) {
		return errChecksum
	}
	return nil
}

// mustRecover runs Recover and wants it to succeed.
func mustRecover(t testing.TB, dir string, o Options) (*Segments, Report) {
	t.Helper()
	o.Verify, o.NoSync = verifyData, true
	list, rep, err := Recover(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return list, rep
}

// openLog opens what Recover left, small segments, and closes it with the test.
func openLog(t testing.TB, dir string, list *Segments) *wal.WAL {
	t.Helper()
	vfs := NewFS(true)
	w, err := wal.Open(dir, wal.WithMetaStore(list), wal.WithCodec(&Codec{}), wal.WithSegmentFiler(Filer{segment.NewFiler(dir, vfs)}),
		wal.WithSegmentSize(segmentSize), wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLog(t, w); _ = vfs.CloseAll() })
	return w
}

const segmentSize = 4096

func closeLog(t testing.TB, w *wal.WAL) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// writeLog makes a log in a new folder whose batches end with the given indexes,
// and returns the folder and the last segment's path.
func writeLog(t testing.TB, ends ...uint64) (dir, tail string) {
	t.Helper()
	dir = t.TempDir()
	list, _ := mustRecover(t, dir, Options{})
	w := openLog(t, dir, list)
	next := uint64(1)
	for _, end := range ends {
		if err := w.StoreLogs(entries(next, end)); err != nil {
			t.Fatal(err)
		}
		next = end + 1
	}
	// A batch that fills a segment is followed by a change of segments in the
	// background, which Close does not wait for; a delete of nothing does.
	if err := w.DeleteRange(next+10, next+10); err != nil {
		t.Fatal(err)
	}
	closeLog(t, w)
	last := list.state.Segments[len(list.state.Segments)-1]
	return dir, filepath.Join(dir, segment.FileName(last))
}

// mustHold wants the log to hold exactly first to last, whole, and to take more.
func mustHold(t testing.TB, dir string, list *Segments, first, last uint64) {
	t.Helper()
	w := openLog(t, dir, list)
	defer closeLog(t, w)
	gotFirst, err1 := w.FirstIndex()
	gotLast, err2 := w.LastIndex()
	if gotFirst != first || gotLast != last || err1 != nil || err2 != nil {
		t.Fatalf("log holds %d to %d (%v, %v), want %d to %d", gotFirst, gotLast, err1, err2, first, last)
	}
	for i := first; i != 0 && i <= last; i++ {
		var l raft.Log
		if err := w.GetLog(i, &l); err != nil || !bytes.Equal(l.Data, dataOf(i)) {
			t.Fatalf("entry %d: %q, %v", i, l.Data, err)
		}
	}
	if err := w.StoreLogs(entries(last+1, last+2)); err != nil {
		t.Fatalf("append to the recovered log: %v", err)
	}
}

// contents reads every file of dir.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(b)
	}
	return all
}

// restore makes dir what contents saw.
func restore(t testing.TB, dir string, all map[string]string) {
	t.Helper()
	for name := range contents(t, dir) {
		if _, ok := all[name]; !ok {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, content := range all {
		mustWrite(t, filepath.Join(dir, name), []byte(content))
	}
}

func mustWrite(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mustReport runs Recover, wants a DamageError about file that says want, and
// the folder as it was.
func mustReport(t testing.TB, dir string, o Options, file, want string) {
	t.Helper()
	before := contents(t, dir)
	o.Verify, o.NoSync = verifyData, true
	_, rep, err := Recover(dir, o)
	var damage *DamageError
	if !errors.As(err, &damage) {
		t.Fatalf("recover: %+v, %v, want damage in %s", rep, err, file)
	}
	if filepath.Base(damage.File) != filepath.Base(file) || !bytes.Contains([]byte(damage.What), []byte(want)) {
		t.Errorf("damage = %q, want it to name %s and say %q", damage.Error(), filepath.Base(file), want)
	}
	after := contents(t, dir)
	for name := range before {
		if before[name] != after[name] {
			t.Errorf("%s was changed although recovery failed", name)
		}
	}
	if len(before) != len(after) {
		t.Errorf("files before %d, after %d", len(before), len(after))
	}
}

// frameEnds lists the offsets behind each entry of a last segment, read with a
// scan of the sound file.
func frameEnds(t testing.TB, path string) (ends []int64, end int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(f, headerBytes, info.Size())
	for {
		fr, err := r.next()
		if errors.Is(err, errZeros) {
			return ends, end
		}
		if err != nil {
			t.Fatal(err)
		}
		end = fr.end
		if fr.kind == frameEntry {
			ends = append(ends, fr.end)
		}
	}
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	var n []string
	for name := range contents(t, dir) {
		n = append(n, name)
	}
	slices.Sort(n)
	return n
}

var _ types.VFS = (*FS)(nil)
