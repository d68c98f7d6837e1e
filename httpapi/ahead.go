package httpapi

import (
	"io"
	"sync"
)

const (
	aheadBytes = 256 << 10 // of a piece
	aheadAhead = 4         // pieces that wait, at most
)

// aheadWriter hands what is written to it on to another goroutine, which writes it
// to w: so making an archive and compressing it share the time. It holds a bounded
// number of pieces. It is used by one goroutine, which must call Close.
type aheadWriter struct {
	w       io.Writer
	running sync.WaitGroup // the other goroutine
	piece   []byte
	full    chan []byte
	empty   chan []byte
	done    chan struct{} // closed when the other goroutine ends
	err     error         // why writing to w ended; set before done is closed
}

func newAheadWriter(w io.Writer) *aheadWriter {
	a := &aheadWriter{
		w: w, full: make(chan []byte, aheadAhead), empty: make(chan []byte, aheadAhead+2), done: make(chan struct{}),
	}
	for range cap(a.empty) { // one that is filled, one that is written, and those between
		a.empty <- nil
	}
	a.piece = <-a.empty
	a.running.Go(a.run)
	return a
}

func (a *aheadWriter) run() {
	defer close(a.done)
	for piece := range a.full {
		if _, a.err = a.w.Write(piece); a.err != nil {
			return
		}
		a.empty <- piece[:0]
	}
}

// Write fails with the error that an earlier piece met.
func (a *aheadWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if a.piece == nil {
			a.piece = make([]byte, 0, aheadBytes)
		}
		k := min(len(p), aheadBytes-len(a.piece))
		a.piece, p = append(a.piece, p[:k]...), p[k:]
		if len(a.piece) == aheadBytes {
			if err := a.pass(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

// pass hands the piece on and takes an empty one.
func (a *aheadWriter) pass() error {
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
func (a *aheadWriter) Close() error {
	select {
	case a.full <- a.piece:
		close(a.full)
	case <-a.done:
	}
	a.running.Wait()
	return a.err
}
