package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// running opens a log and runs it; the function it returns ends it.
func running(t *testing.T, opts Options) (*Log, func()) {
	t.Helper()
	if opts.Log == nil {
		opts.Log = hclog.NewNullLogger()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.Server = "s1"
	l, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { _ = l.Run(ctx) }) // tests look at what is written, or at Figures
	stop := sync.OnceFunc(func() {
		cancel()
		ended.Wait()
	})
	t.Cleanup(stop)
	return l, stop
}

func fileOptions(t *testing.T) Options {
	return Options{Sink: SinkFile, Refuse: true, Sync: true, File: File{Path: filepath.Join(t.TempDir(), "audit", "audit.log")}}
}

func commit(t *testing.T, l *Log, n int) {
	t.Helper()
	for i := range n {
		if err := l.Commit(t.Context(), &Event{Kind: Intent, Path: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func lines(t *testing.T, name string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range bytes.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, m)
	}
	return all
}

func verified(t *testing.T, names ...string) Report {
	t.Helper()
	r, err := Verify(names...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLinesAreChained(t *testing.T) {
	opts := fileOptions(t)
	l, stop := running(t, opts)
	l.Note(&Event{Kind: Write, Time: time.Unix(1, 2), Accessor: "a", Ops: []Op{NewOp("set", "key", "app/<a>&b")}, Status: 200})
	commit(t, l, 3)
	stop()
	got := lines(t, opts.File.Path)
	var kinds []string
	for i, m := range got {
		kinds = append(kinds, m["event"].(string))
		if m["n"] != float64(i+1) || m["server"] != "s1" {
			t.Errorf("line %d: %v", i+1, m)
		}
	}
	if want := []string{"start", "write", "intent", "intent", "intent"}; !slices.Equal(kinds, want) {
		t.Errorf("%v, want %v", kinds, want)
	}
	if got[1]["time"] != "1970-01-01T00:00:01.000000002Z" {
		t.Errorf("time %v", got[1]["time"])
	}
	if r := verified(t, opts.File.Path); r.Lines != 5 || r.First != 1 || r.Last != 5 || r.Head != got[4]["hash"] {
		t.Errorf("%+v", r)
	}
	if info, err := os.Stat(opts.File.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestChainGoesOnAfterRestart(t *testing.T) {
	opts := fileOptions(t)
	for range 3 {
		l, stop := running(t, opts)
		commit(t, l, 2)
		stop()
	}
	if r := verified(t, opts.File.Path); r.Lines != 9 {
		t.Errorf("%+v", r)
	}
}

func TestChainGoesOnInTheNextFile(t *testing.T) {
	opts := fileOptions(t)
	opts.File.RotateBytes = 2000
	for range 2 {
		l, stop := running(t, opts)
		commit(t, l, 30)
		stop()
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(opts.File.Path), "audit-*.log"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	r := verified(t, append(files, opts.File.Path)...)
	if want := uint64(2*31 + len(files)); r.Lines != want {
		t.Errorf("%d lines, want %d: none is lost, and each file has one of its own", r.Lines, want)
	}
	first := lines(t, opts.File.Path)[0]
	if last := lines(t, files[len(files)-1]); first["prev"] != last[len(last)-1]["hash"] || first["file"] != filepath.Base(files[len(files)-1]) {
		t.Errorf("the first line is %v", first)
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() > 2500 {
			t.Errorf("%s has %d bytes, %v", name, info.Size(), err)
		}
	}
	if _, err := Verify(append([]string{opts.File.Path}, files...)...); err == nil {
		t.Error("files in another order pass")
	}
	if _, err := Verify(append(slices.Delete(slices.Clone(files), 1, 2), opts.File.Path)...); err == nil {
		t.Error("a missing file passes")
	}
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := fileOptions(t)
		opts.File.RotateDuration = time.Hour
		opts.File.RotateMaxFiles = 2
		other := filepath.Join(filepath.Dir(opts.File.Path), "audit-notes.log")
		l, stop := running(t, opts)
		if err := os.WriteFile(other, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			commit(t, l, 1)
			time.Sleep(time.Hour)
		}
		stop()
		files, err := filepath.Glob(filepath.Join(filepath.Dir(opts.File.Path), "audit-2*.log"))
		if err != nil || len(files) != 2 {
			t.Errorf("%v, %v", files, err)
		}
		if r := verified(t, append(files, opts.File.Path)...); r.First == 1 || r.Lines != 6 {
			t.Errorf("%+v", r)
		}
		if _, err := os.Stat(other); err != nil {
			t.Errorf("another file: %v", err)
		}
	})
}

func TestReopen(t *testing.T) {
	opts := fileOptions(t)
	l, stop := running(t, opts)
	commit(t, l, 2)
	moved := opts.File.Path + ".1"
	if err := os.Rename(opts.File.Path, moved); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	commit(t, l, 2)
	stop()
	if r := verified(t, moved, opts.File.Path); r.Lines != 6 {
		t.Errorf("%+v", r)
	}
	if n := len(lines(t, opts.File.Path)); n != 3 {
		t.Errorf("%d lines in the new file", n)
	}
}

func TestHalfALineIsAdmitted(t *testing.T) {
	opts := fileOptions(t)
	l, stop := running(t, opts)
	commit(t, l, 3)
	stop()
	whole, err := os.ReadFile(opts.File.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{1, 2, 50, 100} {
		if err := os.WriteFile(opts.File.Path, whole[:len(whole)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l, stop := running(t, opts)
		commit(t, l, 1)
		stop()
		torn := 1
		if cut == 1 { // the line is whole, only its end is missing
			torn = 0
		}
		r := verified(t, opts.File.Path)
		if want := uint64(4 - torn + 2 + torn); r.Torn != torn || r.Lines != want {
			t.Errorf("%d bytes cut off: %+v", cut, r)
		}
	}
	if err := os.WriteFile(opts.File.Path, append(whole, "{half"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(opts.File.Path); err == nil {
		t.Error("half a line at the end passes")
	}
}

func TestALastLineThatWasChangedIsNotGoneOnFrom(t *testing.T) {
	opts := fileOptions(t)
	l, stop := running(t, opts)
	commit(t, l, 1)
	stop()
	text, err := os.ReadFile(opts.File.Path)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.LastIndex(text, []byte(`"path":"0"`))
	text[i+8] = '1'
	if err := os.WriteFile(opts.File.Path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	opts.Log, opts.Now = hclog.NewNullLogger(), time.Now
	if _, err := Open(opts); err == nil || !strings.Contains(err.Error(), "not as it was written") {
		t.Errorf("opened: %v", err)
	}
}

// Every way to change one line of a log is found, where it is.
func TestVerifyFinds(t *testing.T) {
	opts := fileOptions(t)
	l, stop := running(t, opts)
	commit(t, l, 9)
	stop()
	text, err := os.ReadFile(opts.File.Path)
	if err != nil {
		t.Fatal(err)
	}
	whole := slices.Collect(bytes.Lines(text))
	with := func(edit func(all [][]byte) [][]byte) error {
		all := make([][]byte, 0, len(whole))
		for _, line := range whole {
			all = append(all, bytes.Clone(line))
		}
		name := filepath.Join(t.TempDir(), "edited.log")
		if err := os.WriteFile(name, bytes.Join(edit(all), nil), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Verify(name)
		return err
	}
	at := func(err error) int {
		var f *Fault
		if errors.As(err, &f) {
			return f.Line
		}
		return 0
	}
	for i := range whole {
		changed := with(func(all [][]byte) [][]byte {
			all[i] = bytes.Replace(all[i], []byte(`"server":"s1"`), []byte(`"server":"s2"`), 1)
			return all
		})
		if at(changed) != i+1 {
			t.Errorf("line %d changed: %v", i+1, changed)
		}
		anew := with(func(all [][]byte) [][]byte {
			l, err := readLine(bytes.TrimSpace(all[i]))
			if err != nil {
				t.Fatal(err)
			}
			c := chain{l.n - 1, l.prev}
			all[i] = c.seal([]byte(`"event":"other"`))
			return all
		})
		if want := i + 2; i == len(whole)-1 && anew != nil || i < len(whole)-1 && at(anew) != want {
			t.Errorf("line %d made anew, with its hash: %v", i+1, anew) // of the last one no trace can be left
		}
		deleted := with(func(all [][]byte) [][]byte { return slices.Delete(all, i, i+1) })
		if i > 0 && i < len(whole)-1 && at(deleted) != i+1 {
			t.Errorf("line %d deleted: %v", i+1, deleted)
		}
		garbled := with(func(all [][]byte) [][]byte {
			all[i] = []byte("nothing\n")
			return all
		})
		if at(garbled) != i+1 {
			t.Errorf("line %d garbled: %v", i+1, garbled)
		}
		doubled := with(func(all [][]byte) [][]byte { return slices.Insert(all, i, all[i]) })
		if at(doubled) != i+2 {
			t.Errorf("line %d doubled: %v", i+1, doubled)
		}
		for b := range whole[i] { // each byte of it
			err := with(func(all [][]byte) [][]byte {
				all[i][b] ^= 1
				return all
			})
			if err == nil {
				t.Errorf("line %d, byte %d changed: passes", i+1, b)
			}
		}
	}
	if err := with(func(all [][]byte) [][]byte { all[3], all[4] = all[4], all[3]; return all }); at(err) != 4 {
		t.Errorf("exchanged: %v", err)
	}
}

// failingSink is a device that works or does not, and keeps what it was given.
type failingSink struct {
	mu    sync.Mutex
	fail  error
	after int   // lines that it takes before it fails
	lasts error // of sync
	text  []byte
}

func (s *failingSink) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *failingSink) write(lines [][]byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, line := range lines {
		if s.fail != nil && i >= s.after {
			return i, s.fail
		}
		s.text = append(s.text, line...)
	}
	return len(lines), nil
}

func (s *failingSink) sync() error  { return s.lasts }
func (s *failingSink) close() error { return nil }

func (s *failingSink) verified(t *testing.T) Report {
	t.Helper()
	name := filepath.Join(t.TempDir(), "audit.log")
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.WriteFile(name, s.text, 0o600); err != nil {
		t.Fatal(err)
	}
	return verified(t, name)
}

func TestRefuseWithoutALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failingSink{}
		l, stop := running(t, Options{sink: s, Refuse: true})
		commit(t, l, 1)
		s.set(errors.New("disk full"))
		if err := l.Commit(t.Context(), &Event{Kind: Intent}); !errors.Is(err, ErrUnwritable) {
			t.Errorf("while the device fails: %v", err)
		}
		if err := l.Ready(); !errors.Is(err, ErrUnwritable) {
			t.Errorf("ready: %v", err)
		}
		l.Note(&Event{Kind: Denied}) // is kept
		time.Sleep(2 * limit.AuditRetry)
		s.set(nil)
		time.Sleep(2 * limit.AuditRetry)
		if err := l.Ready(); err != nil {
			t.Errorf("when it works again: %v", err)
		}
		commit(t, l, 1)
		stop()
		if r := s.verified(t); r.Lines != 5 { // start, intent, resumed, denied, intent
			t.Errorf("%+v\n%s", r, s.text)
		}
		if err := l.Commit(t.Context(), &Event{Kind: Intent}); !errors.Is(err, ErrUnwritable) {
			t.Errorf("after the end: %v", err)
		}
		if f := l.Figures(); f.Lines != 5 || f.Failures < 2 || f.Lost != 0 {
			t.Errorf("%+v", f)
		}
	})
}

// TestWhoIsToldFindsItSo: what a writer of a line hears, the log has noted before.
func TestWhoIsToldFindsItSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failingSink{}
		l, err := Open(Options{sink: s, Refuse: true, Log: hclog.NewNullLogger(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		for _, device := range []error{errors.New("disk full"), nil} {
			s.set(device)
			done := make(chan error) // who tells waits here until somebody listens
			l.waiting = append(l.waiting, entry{event: []byte(`{}`), done: done})
			go l.flush()
			synctest.Wait()
			if err := l.Ready(); (err != nil) != (device != nil) {
				t.Errorf("device %v: ready is %v before anybody is told", device, err)
			}
			if err := <-done; (err != nil) != (device != nil) {
				t.Errorf("device %v: told %v", device, err)
			}
			synctest.Wait()
		}
	})
}

// TestWhoseLineIsWrittenIsTold, also where what comes after it fails.
func TestWhoseLineIsWrittenIsTold(t *testing.T) {
	for _, tc := range []struct {
		name string
		sync bool
		sink *failingSink
		want [3]error // of three who wait
	}{
		{"a later line fails", false, &failingSink{fail: errors.New("no daemon"), after: 2}, [3]error{nil, nil, ErrUnwritable}},
		{"and the first is not certain to last", true, &failingSink{fail: errors.New("no daemon"), after: 2}, [3]error{ErrUnwritable, ErrUnwritable, ErrUnwritable}},
		{"the disk does not say that they last", true, &failingSink{lasts: errors.New("EIO")}, [3]error{ErrUnwritable, ErrUnwritable, ErrUnwritable}},
		{"nobody asks whether they last", false, &failingSink{lasts: errors.New("EIO")}, [3]error{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := &Log{opts: Options{Sync: tc.sync, Log: hclog.NewNullLogger(), Now: time.Now}, sink: tc.sink, wake: make(chan struct{}, 1)}
			var done [3]chan error
			for i := range done {
				done[i] = make(chan error, 1)
				l.waiting = append(l.waiting, entry{event: []byte(`{}`), done: done[i]})
			}
			l.flush()
			for i, d := range done {
				select {
				case err := <-d:
					if !errors.Is(err, tc.want[i]) {
						t.Errorf("%d is told %v, want %v", i, err, tc.want[i])
					}
				default:
					t.Errorf("%d is told nothing", i)
				}
			}
		})
	}
}

func TestGoOnLoudly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		s := &failingSink{}
		l, stop := running(t, Options{sink: s, Log: hclog.New(&hclog.LoggerOptions{Output: &said})})
		s.set(errors.New("disk full"))
		const each = 1 << 20
		notes := limit.AuditQueueBytes/each + 4
		for range notes {
			l.Note(&Event{Kind: Write, Path: strings.Repeat("x", each)})
		}
		if err := l.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		time.Sleep(5 * limit.AuditRetry)
		if f := l.Figures(); !f.Failing || f.Lost == 0 {
			t.Errorf("%+v", f)
		}
		s.set(nil)
		time.Sleep(2 * limit.AuditRetry)
		stop()
		r := s.verified(t)
		if f := l.Figures(); r.Lost != f.Lost || r.Lost == 0 || int(r.Lines)+int(r.Lost) != notes+3 { // start, resumed, lost
			t.Errorf("%+v, %+v", r, f)
		}
		if n := strings.Count(said.String(), "cannot be written"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// What waited while the device did not work is written bit by bit: there may be room for
// some of it, and no file becomes larger than it may.
func TestNoFileIsLargerThanItMayBe(t *testing.T) {
	opts := fileOptions(t)
	opts.File.RotateBytes = 8 << 10
	opts.Log, opts.Now = hclog.NewNullLogger(), time.Now
	l, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		l.Note(&Event{Kind: Write, Path: "/v1/kv/a"})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(opts.File.Path), "audit*.log"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() > opts.File.RotateBytes {
			t.Errorf("%s has %d bytes, %v", name, info.Size(), err)
		}
	}
	verified(t, files...)
}

// A disk without room: what does not fit is taken back, so that the chain holds.
func TestNoRoomOnTheDisk(t *testing.T) {
	opts := fileOptions(t)
	l, stop := running(t, opts)
	commit(t, l, 2)
	half := []byte("half a li")
	stop()
	broken, err := os.Open(opts.File.Path) // can neither be written nor cut
	if err != nil {
		t.Fatal(err)
	}
	// Run has ended: nobody else touches the file.
	if err := l.file.reopen(); err != nil {
		t.Fatal(err)
	}
	size := l.file.size
	if _, err := l.file.file.Write(half); err != nil { // as a write does that runs out of room
		t.Fatal(err)
	}
	l.file.undo()
	if info, err := os.Stat(opts.File.Path); err != nil || info.Size() != size || l.file.file == nil {
		t.Errorf("%d bytes are left of %d, %v", info.Size(), size, err)
	}
	if err := l.file.close(); err != nil {
		t.Error(err)
	}
	l.file.file = broken
	if _, err := l.file.write([][]byte{[]byte("x\n")}); err == nil {
		t.Error("written")
	}
	if l.file.file != nil {
		t.Error("a device of which nobody knows what is on it is still open")
	}
	if err := l.file.reopen(); err != nil {
		t.Fatal(err)
	}
	if l.file.end != l.chain || l.file.torn != 0 {
		t.Errorf("the chain is at %v, the file at %v, torn %d", l.chain, l.file.end, l.file.torn)
	}
	if err := l.file.close(); err != nil {
		t.Error(err)
	}
}

func TestManyAtOnce(t *testing.T) {
	opts := fileOptions(t)
	opts.File.RotateBytes = 20 << 10
	l, stop := running(t, opts)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 20 {
				l.Note(&Event{Kind: Write})
				if err := l.Commit(t.Context(), &Event{Kind: Intent}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	stop()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(opts.File.Path), "audit-*.log"))
	if err != nil {
		t.Fatal(err)
	}
	if r := verified(t, append(files, opts.File.Path)...); r.Lines != uint64(1+2*50*20+len(files)) {
		t.Errorf("%+v in %d files", r, len(files)+1)
	}
}

func TestOps(t *testing.T) {
	long := strings.Repeat("k", limit.AuditNameBytes+1)
	if op := NewOp("set", "key", long); len(op.Name) != limit.AuditNameBytes || len(op.Sum) != 64 {
		t.Errorf("%+v", op)
	}
	if op := NewOp("set", "key", "a\xffb"); op.Name != "a\uFFFDb" || string(op.Bytes) != "a\xffb" {
		t.Errorf("%+v", op)
	}
	if v := ValueOf([]byte("abc")); v.Bytes != 3 || v.Sum != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("%+v", v)
	}
}

// FuzzVerify looks for texts that panic.
func FuzzVerify(f *testing.F) {
	c := chain{}
	first := c.seal([]byte(`"event":"start"`))
	f.Add(append(first, c.seal([]byte(`"event":"write"`))...))
	f.Add([]byte(`{"n":1,"prev":"","hash":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		name := filepath.Join(t.TempDir(), "audit.log")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := Verify(name); err == nil && r.Torn > int(r.Lines) {
			t.Errorf("%+v", r)
		}
		_, _, _, _ = endOf(name)
	})
}
