package ahead

import (
	"io"
	"sync"
)

// A Reader has another goroutine read ahead of whoever reads from it. It is used by one
// goroutine, which must call Close.
type Reader struct {
	r       io.Reader
	running sync.WaitGroup // the other goroutine
	piece   []byte         // what is left of the present one
	whole   []byte         // the present one
	full    chan []byte    // closed behind the last one
	empty   chan []byte
	stop    chan struct{} // closed when no more is wanted
	err     error         // why reading r ended; set before full is closed
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader {
	a := &Reader{
		r: r, full: make(chan []byte, piecesAhead), empty: make(chan []byte, piecesAhead+2), stop: make(chan struct{}),
	}
	for range cap(a.empty) { // one that is filled, one that is read, and those between
		a.empty <- nil
	}
	a.running.Go(a.run)
	return a
}

func (a *Reader) run() {
	defer close(a.full)
	for a.err == nil {
		var piece []byte
		select {
		case piece = <-a.empty:
		case <-a.stop:
			return
		}
		if piece == nil {
			piece = make([]byte, pieceBytes)
		}
		n := 0
		for n < pieceBytes && a.err == nil {
			var k int
			k, a.err = a.r.Read(piece[n:pieceBytes])
			n += k
		}
		select {
		case a.full <- piece[:n]:
		case <-a.stop:
			return
		}
	}
}

// Read gives all that was read, and then the error that ended it.
func (a *Reader) Read(p []byte) (int, error) {
	for len(a.piece) == 0 {
		if a.whole != nil {
			a.empty <- a.whole // there is room for all pieces
			a.whole = nil
		}
		piece, more := <-a.full
		if !more {
			return 0, a.err
		}
		a.piece, a.whole = piece, piece[:pieceBytes]
	}
	n := copy(p, a.piece)
	a.piece = a.piece[n:]
	return n, nil
}

// Close wants no more and waits until the other goroutine has ended. That may be in the
// middle of a read of r, which interrupt ends; nil: it will end by itself.
func (a *Reader) Close(interrupt func()) {
	close(a.stop)
	if interrupt != nil {
		interrupt()
	}
	a.running.Wait()
}
