package httpapi

import (
	"io"
	"sync"
)

// aheadReader has another goroutine read r ahead of whoever reads from it: so
// decompressing an archive and judging it share the time. It holds a bounded number of
// pieces. It is used by one goroutine, which must call Close.
type aheadReader struct {
	r       io.Reader
	running sync.WaitGroup // the other goroutine
	piece   []byte         // what is left of the present one
	whole   []byte         // the present one
	full    chan []byte    // closed behind the last one
	empty   chan []byte
	stop    chan struct{} // closed when no more is wanted
	err     error         // why reading r ended; set before full is closed
}

func newAheadReader(r io.Reader) *aheadReader {
	a := &aheadReader{
		r: r, full: make(chan []byte, aheadAhead), empty: make(chan []byte, aheadAhead+2), stop: make(chan struct{}),
	}
	for range cap(a.empty) { // one that is filled, one that is read, and those between
		a.empty <- nil
	}
	a.running.Go(a.run)
	return a
}

func (a *aheadReader) run() {
	defer close(a.full)
	for a.err == nil {
		var piece []byte
		select {
		case piece = <-a.empty:
		case <-a.stop:
			return
		}
		if piece == nil {
			piece = make([]byte, aheadBytes)
		}
		n := 0
		for n < aheadBytes && a.err == nil {
			var k int
			k, a.err = a.r.Read(piece[n:aheadBytes])
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
func (a *aheadReader) Read(p []byte) (int, error) {
	for len(a.piece) == 0 {
		if a.whole != nil {
			a.empty <- a.whole // there is room for all pieces
			a.whole = nil
		}
		piece, more := <-a.full
		if !more {
			return 0, a.err
		}
		a.piece, a.whole = piece, piece[:aheadBytes]
	}
	n := copy(p, a.piece)
	a.piece = a.piece[n:]
	return n, nil
}

// Close wants no more and waits until the other goroutine has ended. That may be in the
// middle of a read of r, which interrupt ends; nil: it will end by itself.
func (a *aheadReader) Close(interrupt func()) {
	close(a.stop)
	if interrupt != nil {
		interrupt()
	}
	a.running.Wait()
}
