package ahead

import (
	"bytes"
	"errors"
	"testing"
)

func TestWriterWritesAllInOrder(t *testing.T) {
	for _, total := range []int{0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 9*pieceBytes + 7} {
		for _, step := range []int{1000, pieceBytes, 3*pieceBytes + 1} {
			var out bytes.Buffer
			a := NewWriter(&out)
			want := make([]byte, total)
			for i := range want {
				want[i] = byte(i * 7 >> 3)
			}
			scratch := make([]byte, step) // reused by the caller, as bufio does
			for rest := want; len(rest) > 0; {
				n := copy(scratch, rest)
				if m, err := a.Write(scratch[:n]); m != n || err != nil {
					t.Fatalf("wrote %d of %d bytes: %v", m, n, err)
				}
				rest = rest[n:]
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), want) {
				t.Errorf("%d bytes in steps of %d came out as %d other ones", total, step, out.Len())
			}
		}
	}
}

// failingWriter takes some bytes and then fails.
type failingWriter struct {
	left int
	err  error
}

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func TestWriterTellsOfAFailureAndEnds(t *testing.T) {
	broken := errors.New("broken pipe")
	for _, left := range []int{0, pieceBytes, 20 * pieceBytes} {
		a := NewWriter(&failingWriter{left, broken})
		var err error
		for range 20 { // more than it may hold
			if _, err = a.Write(make([]byte, pieceBytes)); err != nil {
				break
			}
		}
		if left < 10*pieceBytes && !errors.Is(err, broken) {
			t.Errorf("failing after %d bytes: writing on gives %v", left, err)
		}
		if _, more := a.Write([]byte("x")); err == nil && more != nil {
			t.Errorf("failing after %d bytes: a piece that is not full gives %v", left, more)
		}
		if err := a.Close(); !errors.Is(err, broken) {
			t.Errorf("failing after %d bytes: closing gives %v", left, err)
		}
	}
}
