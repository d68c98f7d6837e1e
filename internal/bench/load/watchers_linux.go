package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
)

// Watchers is a set of clients, each with one blocking query on a connection of
// its own, and one more connection to write through. Close must be called.
type Watchers struct {
	loop    *Loop
	to      *net.TCPAddr
	n       int // connection n, if there is one, writes
	request func(id int, index uint64) []byte
	index   []uint64 // by watcher: what its next query waits above
}

// DialWatchers connects n watchers. request renders the query of
// watcher id that waits for something after index; index is what all of them
// start with, and their queries are sent as they are connected, unless it is 0.
func DialWatchers(ctx context.Context, addr string, n int, index uint64, request func(id int, index uint64) []byte) (*Watchers, error) {
	to, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("address %s: %w", addr, err)
	}
	l, err := dialEach(ctx, to, n, func(l *Loop, c *Conn) error {
		if index == 0 {
			return nil
		}
		return l.Send(c, request(c.ID, index))
	})
	if err != nil {
		return nil, err
	}
	w := &Watchers{loop: l, to: to, n: n, request: request, index: make([]uint64, n)}
	for i := range w.index {
		w.index[i] = index
	}
	return w, nil
}

// Close breaks all connections.
func (w *Watchers) Close() error { return w.loop.Close() }

// SetIndex sets what the next query of one watcher waits above.
func (w *Watchers) SetIndex(id int, index uint64) { w.index[id] = index }

// writer is the connection to write through, which is opened for the first write: a server closes one
// on which nothing is asked for long, as while other servers have their turn.
func (w *Watchers) writer() (*Conn, error) {
	if conns := w.loop.Conns(); len(conns) > w.n {
		return conns[w.n], nil
	}
	c, err := w.loop.join(w.to)
	if err != nil {
		return nil, fmt.Errorf("connection to %s for writes: %w", w.to, err)
	}
	return c, nil
}

// Park sends the query of every watcher that has none outstanding. It does not
// wait until they have arrived.
func (w *Watchers) Park() error {
	for _, c := range w.loop.Conns()[:w.n] {
		if c.Busy() {
			continue
		}
		if err := w.loop.Send(c, w.request(c.ID, w.index[c.ID])); err != nil {
			return err
		}
	}
	return nil
}

// Listen waits for d and returns which watchers were answered meanwhile. Those
// are no longer parked, and wait above the index they got when parked again.
func (w *Watchers) Listen(ctx context.Context, d time.Duration) ([]int, error) {
	var woken []int
	err := w.loop.Run(ctx, time.Now().Add(d), func(c *Conn, r rawhttp.Response, _ time.Time) ([]byte, error) {
		woken = append(woken, c.ID)
		return nil, w.note(c, r)
	})
	if errors.Is(err, ErrTime) {
		err = nil
	}
	return woken, err
}

// Shot is what one write did to the watchers.
type Shot struct {
	Write     time.Duration // until the writer had its answer
	Last      time.Duration // until the last watcher that was waited for had its answer
	Delivered *Latency      // from the write to each watcher's answer
	Woken     []int         // who was answered, in that order
}

// Fire sends the write and waits until it and want watchers have been answered,
// for at most limit. All times count from the moment before the write is sent.
func (w *Watchers) Fire(ctx context.Context, write []byte, want int, limit time.Duration) (Shot, error) {
	shot := Shot{Delivered: NewLatency()}
	writer, err := w.writer()
	if err != nil {
		return shot, err
	}
	start := time.Now()
	if err := w.loop.Send(writer, write); err != nil {
		return shot, err
	}
	written := false
	done := errors.New("all are served")
	err = w.loop.Run(ctx, start.Add(limit), func(c *Conn, r rawhttp.Response, at time.Time) ([]byte, error) {
		if c == writer {
			written, shot.Write = true, at.Sub(start)
			if r.Status != 200 {
				return nil, fmt.Errorf("write: %w", r.Problem())
			}
		} else {
			shot.Woken = append(shot.Woken, c.ID)
			shot.Last = at.Sub(start)
			shot.Delivered.Record(shot.Last)
			if err := w.note(c, r); err != nil {
				return nil, err
			}
		}
		if written && len(shot.Woken) >= want {
			return nil, done
		}
		return nil, nil
	})
	switch {
	case errors.Is(err, done):
		return shot, nil
	case errors.Is(err, ErrTime) || err == nil:
		return shot, fmt.Errorf("%d of %d watchers were answered within %v of a write (write answered: %v)",
			len(shot.Woken), want, limit, written)
	default:
		return shot, err
	}
}

// Storm is a series of writes during which every watcher that is answered asks again at
// once.
type Storm struct {
	Writes int
	Every  time.Duration          // from one write to the next
	Most   time.Duration          // then there are no more writes, however few were made
	Write  func(n int) []byte     // renders the n-th, from 0
	Latest func() (uint64, error) // asks for the index of what was written last
	Grace  time.Duration          // how long after the last write a watcher may be late
}

// StormResult is what a Storm gave.
type StormResult struct {
	Written int
	Answers int // to watchers
	Missed  int // watchers that have not got what was written last
}

// errNext ends a run of the loop so that the next thing can be done.
var errNext = errors.New("next")

// Weather parks everybody, makes the writes of the storm at their times, each when the
// one before is answered, and waits until all watchers have what was written last.
// Whoever is answered asks again at once, so that all are parked afterwards.
func (w *Watchers) Weather(ctx context.Context, s Storm) (StormResult, error) {
	var res StormResult
	if err := w.Park(); err != nil {
		return res, err
	}
	writer, err := w.writer()
	if err != nil {
		return res, err
	}
	latest, behind := uint64(0), 0 // known when all is written
	take := func(c *Conn, r rawhttp.Response, _ time.Time) ([]byte, error) {
		if c == writer {
			if r.Status != 200 {
				return nil, fmt.Errorf("write: %w", r.Problem())
			}
			return nil, errNext
		}
		res.Answers++
		was := w.index[c.ID]
		if err := w.note(c, r); err != nil {
			return nil, err
		}
		if was < latest && w.index[c.ID] >= latest {
			behind--
		}
		return w.request(c.ID, w.index[c.ID]), nil
	}
	// until runs the loop until the writer is answered, or the time is over.
	until := func(at time.Time) error {
		err := w.loop.Run(ctx, at, take)
		if errors.Is(err, errNext) || errors.Is(err, ErrTime) {
			return nil
		}
		return err
	}
	start := time.Now()
	end := start.Add(s.Most)
	for res.Written < s.Writes && time.Now().Before(end) {
		due := start.Add(time.Duration(res.Written) * s.Every)
		for time.Now().Before(due) {
			if err := until(due); err != nil {
				return res, err
			}
		}
		if err := w.loop.Send(writer, s.Write(res.Written)); err != nil {
			return res, err
		}
		for writer.Busy() {
			if err := until(time.Now().Add(pollPeriod)); err != nil {
				return res, err
			}
		}
		res.Written++
	}
	if latest, err = s.Latest(); err != nil {
		return res, err
	}
	for _, index := range w.index {
		if index < latest {
			behind++
		}
	}
	for late := time.Now().Add(s.Grace); behind > 0 && time.Now().Before(late); {
		if err := until(time.Now().Add(time.Millisecond)); err != nil {
			return res, err
		}
	}
	res.Missed = behind
	return res, nil
}

// note checks a watcher's answer and remembers its index.
func (w *Watchers) note(c *Conn, r rawhttp.Response) error {
	if r.Status != 200 && r.Status != 404 {
		return fmt.Errorf("watcher %d: %w", c.ID, r.Problem())
	}
	if r.Index == 0 {
		return fmt.Errorf("watcher %d: answer has no X-Consul-Index", c.ID)
	}
	if r.Close {
		return fmt.Errorf("watcher %d: the server closes the connection", c.ID)
	}
	w.index[c.ID] = r.Index
	return nil
}
