package crashtest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// A damage does something to a data directory that no write of the server does.
type damage struct {
	what string
	// do damages the files and reports whether it found anything to damage.
	do func(t *testing.T, f files) bool
}

// files are those of a stopped server's data directory.
type files struct {
	dir  string
	all  []string // every regular file
	raft []string // those of the log and of the snapshots
}

// TestDamage: after any damage a server either starts and has every acknowledged
// write, or refuses with a sentence that names a file of its data directory. It never
// starts without some of its data, begins anew, hangs, or prints a stack.
func TestDamage(t *testing.T) {
	damages := []damage{
		{"the raft folder is gone", func(t *testing.T, f files) bool {
			return removeAll(t, filepath.Join(f.dir, "raft"))
		}},
		{"everything but the small files is empty", func(t *testing.T, f files) bool {
			return each(t, f.raft, func(path string) error { return os.Truncate(path, 0) })
		}},
		{"every file is empty", func(t *testing.T, f files) bool {
			return each(t, f.all, func(path string) error { return os.Truncate(path, 0) })
		}},
		{"every file is half as long", func(t *testing.T, f files) bool {
			return each(t, f.raft, func(path string) error {
				info, err := os.Stat(path)
				if err != nil {
					return err
				}
				return os.Truncate(path, info.Size()/2)
			})
		}},
		{"the snapshots are gone", func(t *testing.T, f files) bool {
			return removeAll(t, filepath.Join(f.dir, "raft", "snapshots"))
		}},
	}
	for _, store := range testcluster.LogStores() {
		t.Run(store, func(t *testing.T) {
			s, want := populated(t, store)
			pristine := filepath.Join(t.TempDir(), "pristine")
			copyDir(t, s.DataDir, pristine)

			cases := append(damages, perFile(t, pristine)...)
			for _, d := range cases {
				t.Run(d.what, func(t *testing.T) {
					s.Wipe()
					copyDir(t, pristine, s.DataDir)
					if !d.do(t, filesOf(t, s.DataDir)) {
						t.Skip("nothing of that kind is there")
					}
					checkDamaged(t, s, want)
				})
			}
			s.Wipe() // the pristine data still starts: the copies are true
			copyDir(t, pristine, s.DataDir)
			if o := s.TryStart(); !o.Ready {
				t.Fatalf("the undamaged copy does not start:\n%s", o.Output)
			}
			compare(t, want, held(t, s))
		})
	}
}

// populated returns a stopped server with a snapshot, a log behind it, and what it
// must hold.
func populated(t *testing.T, store string) (*testcluster.Server, map[string]record) {
	t.Helper()
	s := testcluster.Start(t, testcluster.Options{
		LogStore: store,
		Config: map[string]any{
			"raft_snapshot_threshold": 50,
			"raft_snapshot_interval":  "100ms",
			"raft_trailing_logs":      10,
		},
	})
	for i := range 200 {
		s.Put(fmt.Sprintf("%sdamage/%03d", prefix, i), strings.Repeat(fmt.Sprintf("value %d ", i), 40))
	}
	err := testcluster.Eventually(t.Context(), time.Minute, func() error {
		found, err := filepath.Glob(filepath.Join(s.DataDir, "raft", "snapshots", "*"))
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("no snapshot was taken")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 { // behind the snapshot, unless another one was faster
		s.Put(fmt.Sprintf("%slate/%03d", prefix, i), strings.Repeat(fmt.Sprintf("late value %d ", i), 40))
	}
	want := held(t, s)
	s.Kill9()
	return s, want
}

// checkDamaged starts a server over damaged data and judges what it does.
func checkDamaged(t *testing.T, s *testcluster.Server, want map[string]record) {
	t.Helper()
	o := s.TryStart()
	noTrace(t, o.Output)
	switch {
	case o.Ready:
		t.Log("it started")
		compare(t, want, held(t, s))
		s.Kill9()
	case o.Hung:
		t.Errorf("neither started nor refused to:\n%s", o.Output)
	case o.ExitCode <= 0:
		t.Errorf("exit code %d, want one that says it failed", o.ExitCode)
	case !strings.Contains(lastError(o.Output), s.DataDir):
		t.Errorf("the error does not name a file of %s: %s", s.DataDir, lastError(o.Output))
	default:
		t.Logf("it refused: %s", lastError(o.Output))
	}
}

// compare checks that a server holds exactly what it must.
func compare(t *testing.T, want, got map[string]record) {
	t.Helper()
	if maps.Equal(want, got) {
		return
	}
	wrong := 0
	for key, r := range want {
		if got[key] != r {
			wrong++
		}
	}
	t.Errorf("holds %d keys, want %d; %d of them are wrong or gone", len(got), len(want), wrong)
}

// perFile makes the damages of single files: each gone, each empty, and a bit of each
// flipped at places all over it.
func perFile(t *testing.T, dir string) []damage {
	t.Helper()
	const flips = 8 // in each file
	if testing.Short() {
		return nil
	}
	var damages []damage
	for _, path := range filesOf(t, dir).all {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if name == "lock" { // it holds no data
			continue
		}
		damages = append(damages,
			damage{name + " is gone", func(t *testing.T, f files) bool { return removeAll(t, filepath.Join(f.dir, name)) }},
			damage{name + " is empty", func(t *testing.T, f files) bool {
				return each(t, []string{filepath.Join(f.dir, name)}, func(path string) error { return os.Truncate(path, 0) })
			}},
		)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		used := len(strings.TrimRight(string(content), "\x00")) // logs are allocated ahead
		for i := range min(flips, used) {
			at := int64(used) * int64(2*i+1) / int64(2*flips)
			damages = append(damages, damage{fmt.Sprintf("%s has a flipped bit at %d of %d", name, at, info.Size()), func(t *testing.T, f files) bool {
				return each(t, []string{filepath.Join(f.dir, name)}, func(path string) error { return flip(path, at) })
			}})
		}
	}
	return damages
}

func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], at)
	return err
}

// filesOf lists the files of a data directory.
func filesOf(t *testing.T, dir string) files {
	t.Helper()
	f := files{dir: dir}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f.all = append(f.all, path)
		if strings.HasPrefix(path, filepath.Join(dir, "raft")+string(filepath.Separator)) {
			f.raft = append(f.raft, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.raft) == 0 {
		t.Fatalf("no files below %s: the search for them is broken", filepath.Join(dir, "raft"))
	}
	return f
}

func each(t *testing.T, paths []string, do func(path string) error) (any bool) {
	t.Helper()
	for _, path := range paths {
		if err := do(path); err != nil {
			t.Fatal(err)
		}
	}
	return len(paths) > 0
}

func removeAll(t *testing.T, path string) (any bool) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return false
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	return true
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
}

// lastError is what a command printed from its last "Error:" on.
func lastError(output string) string {
	return strings.TrimSpace(output[max(0, strings.LastIndex(output, "Error: ")):])
}
