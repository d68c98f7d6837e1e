package waldir

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// noted is a file that notes what is written to it.
type noted struct {
	*os.File
	fails  bool
	writes [][2]int64 // from, to
}

func (f *noted) WriteAt(p []byte, off int64) (int, error) {
	f.writes = append(f.writes, [2]int64{off, off + int64(len(p))})
	if f.fails {
		return 0, errors.New("no")
	}
	return f.File.WriteAt(p, off)
}

// TestAhead: what comes next is filled, much of it at a time, up to the end of the file and no
// further, and nothing that was written before.
func TestAhead(t *testing.T) {
	const size = 2*aheadBytes + 1000
	for name, c := range map[string]struct {
		size  int64
		fails bool
		ends  []int64
		want  [][2]int64
	}{
		"from the end of the first write": {size, false, []int64{100}, [][2]int64{{100, 100 + aheadBytes}}},
		"not again where it was filled":   {size, false, []int64{100, 200, 100 + aheadBytes}, [][2]int64{{100, 100 + aheadBytes}}},
		"on when that is used up": {
			size, false,
			[]int64{100, 101 + aheadBytes},
			[][2]int64{{100, 100 + aheadBytes}, {101 + aheadBytes, 101 + 2*aheadBytes}},
		},
		"to the end of the file":         {size, false, []int64{size - 10, size}, [][2]int64{{size - 10, size}}},
		"nothing where no space is":      {0, false, []int64{100, 200}, nil},
		"nothing behind a file's end":    {50, false, []int64{100, 200}, nil},
		"not again if it fails":          {size, true, []int64{100, 200}, [][2]int64{{100, 100 + aheadBytes}}},
		"a write that was taken back":    {size, false, []int64{500, 200, 600}, [][2]int64{{500, 500 + aheadBytes}}},
		"in the middle of an opened one": {size, false, []int64{aheadBytes}, [][2]int64{{aheadBytes, 2 * aheadBytes}}},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := os.Create(filepath.Join(t.TempDir(), "segment"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if err := file.Truncate(c.size); err != nil {
				t.Fatal(err)
			}
			f := &noted{File: file, fails: c.fails}
			var a ahead
			for _, end := range c.ends {
				a.fill(f, end)
			}
			if len(f.writes) != len(c.want) {
				t.Fatalf("it has written %v, want %v", f.writes, c.want)
			}
			for i := range c.want {
				if f.writes[i] != c.want[i] {
					t.Fatalf("it has written %v, want %v", f.writes, c.want)
				}
			}
			if info, err := file.Stat(); err != nil || info.Size() != c.size {
				t.Errorf("the file is %d bytes long, want %d (%v)", info.Size(), c.size, err)
			}
		})
	}
}

// TestAppendsAreKept: a segment that is written piece by piece, closed and opened again in
// between, has all that was written, and zeros behind it.
func TestAppendsAreKept(t *testing.T) {
	const size = 3 * aheadBytes
	dir := t.TempDir()
	fs := NewFS(false)
	file, err := fs.Create(dir, "segment", size)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := 0; len(want) < 2*aheadBytes+aheadBytes/2; i++ {
		piece := bytes.Repeat([]byte{byte(i%255 + 1)}, 1000+i%7*9000)
		if _, err := file.WriteAt(piece, int64(len(want))); err != nil {
			t.Fatal(err)
		}
		want = append(want, piece...)
		if i%50 != 49 {
			continue
		}
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			t.Fatal(err)
		}
		if file, err = fs.OpenWriter(dir, "segment"); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "segment"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(got, want) || len(bytes.Trim(got[len(want):], "\x00")) > 0 {
		t.Error("it is not what was written, with zeros behind it")
	}
}
