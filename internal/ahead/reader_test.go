package ahead

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestReaderReadsAllInOrder(t *testing.T) {
	broken := errors.New("broken")
	for _, total := range []int{0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 9*pieceBytes + 7} {
		for _, end := range []error{io.EOF, broken} {
			want := make([]byte, total)
			for i := range want {
				want[i] = byte(i * 7 >> 3)
			}
			a := NewReader(io.MultiReader(bytes.NewReader(want), iotest.ErrReader(end)))
			var got bytes.Buffer
			_, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{a}, make([]byte, 1000))
			if end == io.EOF && err != nil || end != io.EOF && !errors.Is(err, end) {
				t.Errorf("%d bytes, then %v: %v", total, end, err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d bytes: %d came, or others", total, got.Len())
			}
			if n, err := a.Read(make([]byte, 1)); n != 0 || !errors.Is(err, end) {
				t.Errorf("%d bytes: behind the end there are %d more, %v", total, n, err)
			}
			a.Close(nil)
		}
	}
}

// endless gives zeros until it is interrupted.
type endless struct{ over chan struct{} }

func (e *endless) Read(p []byte) (int, error) {
	select {
	case <-e.over:
		return 0, io.ErrClosedPipe
	default:
		return len(p), nil
	}
}

func TestReaderEndsEarly(t *testing.T) {
	e := &endless{make(chan struct{})}
	a := NewReader(e)
	if _, err := io.ReadFull(a, make([]byte, 2*pieceBytes)); err != nil {
		t.Fatal(err)
	}
	a.Close(nil) // it reads no further than its pieces reach

	stuck, w := io.Pipe() // in a read that nothing comes for
	a = NewReader(stuck)
	a.Close(func() { _ = w.Close() })
}
