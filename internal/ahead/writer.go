package ahead

import (
	"io"
	"sync"
)

const (
	pieceBytes  = 256 << 10 // of a piece
	piecesAhead = 4         // pieces that wait, at most
)

// A Writer hands what is written to it on to another goroutine, which writes it in
// order. It is used by one goroutine, which must call Close.
type Writer struct {
	w       io.Writer
	running sync.WaitGroup // the other goroutine
	piece   []byte
	full    chan []byte
	empty   chan []byte
	done    chan struct{} // closed when the other goroutine ends
	err     error         // why writing to w ended; set before done is closed
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer {
	a := &Writer{
		w: w, full: make(chan []byte, piecesAhead), empty: make(chan []byte, piecesAhead+2), done: make(chan struct{}),
	}
	for range cap(a.empty) { // one that is filled, one that is written, and those between
		a.empty <- nil
	}
	a.piece = <-a.empty
	a.running.Go(a.run)
	return a
}

func (a *Writer) run() {
	defer close(a.done)
	for piece := range a.full {
		if _, a.err = a.w.Write(piece); a.err != nil {
			return
		}
		a.empty <- piece[:0]
	}
}

// Write fails with the error that an earlier piece met.
func (a *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if a.piece == nil {
			a.piece = make([]byte, 0, pieceBytes)
		}
		k := min(len(p), pieceBytes-len(a.piece))
		a.piece, p = append(a.piece, p[:k]...), p[k:]
		if len(a.piece) == pieceBytes {
			if err := a.pass(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

// pass hands the piece on and takes an empty one.
func (a *Writer) pass() error {
	select {
	case a.full <- a.piece:
	case <-a.done:
		return a.err
	}
	select {
	case a.piece = <-a.empty:
		return nil
	case <-a.done:
		return a.err
	}
}

// Close waits until everything is written, or writing has failed, and the other
// goroutine has ended.
func (a *Writer) Close() error {
	select {
	case a.full <- a.piece:
		close(a.full)
	case <-a.done:
	}
	a.running.Wait()
	return a.err
}
