package cells

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// wakeWrites is how many keys are written in a round, one after the other.
const wakeWrites = 4

const falseWakes = "false wakes"

// wakeGroup parks one query on each of many keys and writes one of them: exactly
// one client must hear of it.
func wakeGroup(o *Options) group {
	g := group{name: "wake"}
	for _, kind := range []struct {
		name   string
		exists bool
	}{{"existing", true}, {"missing", false}} {
		g.cells = append(g.cells, cell{
			name: "wake-" + kind.name,
			bars: bars{falseWakes: report.AtMost(0, "")},
			run: func(ctx context.Context, s *stage) (report.Row, error) {
				return s.wake(ctx, kind.name, kind.exists)
			},
		})
	}
	return g
}

func (s *stage) wake(ctx context.Context, name string, exists bool) (report.Row, error) {
	n := s.opts.Sizes.WakeKeys
	key := func(id int) string { return fmt.Sprintf("%s%s/%05d", s.prefix, name, id) }
	if exists {
		at := func(i int) pair { return pair{key(i), text(70_000+uint64(i), 64)} }
		if err := s.fillAll(ctx, n, at); err != nil {
			return report.Row{}, err
		}
	}
	columns := []string{falseWakes, "woken ms", "CPU µs/write"}
	row, err := s.against(ctx, references{}, columns, func(t target.Target) (*side, error) {
		return newWaker(ctx, t, n, key, s.opts.Listen)
	})
	if err != nil {
		return row, err
	}
	// One false wake in any round is one too many: a median would hide it.
	f := &row.Figures[0]
	f.Subject, f.Peer = total(f.Subject), total(f.Peer)
	if row.Note == "" {
		row.Note = fmt.Sprintf("%d writes to one of %d keys each; exactly one client is to hear of it", wakeWrites*s.opts.Rounds, n)
	}
	return row, nil
}

// total makes one value of the sum of all; nothing of nothing.
func total(v report.Values) report.Values {
	if len(v) == 0 {
		return nil
	}
	sum := 0.0
	for _, f := range v {
		sum += f
	}
	return report.Values{sum}
}

func newWaker(ctx context.Context, t target.Target, n int, key func(int) string, listen time.Duration) (*side, error) {
	c, err := gather(ctx, t, nil, n, 0, func(id int) query { return query{key: key(id)} })
	if err != nil {
		return nil, err
	}
	if err := setIndexes(ctx, c, key); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	w := &waker{crowd: c, key: key, listen: listen}
	return &side{round: w.round, close: c.Close}, nil
}

// setIndexes lets every watcher wait above what its key has now.
func setIndexes(ctx context.Context, c *crowd, key func(int) string) error {
	client, err := rawhttp.Dial(ctx, c.target.Addr)
	if err != nil {
		return err
	}
	defer client.Close()
	for id := range c.n {
		index, err := indexOf(ctx, client, key(id))
		if err != nil {
			return err
		}
		c.SetIndex(id, index)
	}
	return nil
}

// waker is one server with a crowd in which everybody has a key of his own.
type waker struct {
	*crowd
	key    func(id int) string
	listen time.Duration
	writes int // so far
}

// round writes some keys, each after the server has come to rest, and counts
// everybody who was answered without need. Who is answered between the writes
// counts too.
func (w *waker) round(ctx context.Context) (values, error) {
	falseWakes := 0
	var delay, cpu time.Duration
	for range wakeWrites {
		// Twice, so that those who are answered early are parked at the write.
		for range 2 {
			early, err := w.park(ctx)
			if err != nil {
				return nil, err
			}
			falseWakes += len(early)
		}
		id := w.next()
		write := rawhttp.Request(http.MethodPut, "/v1/kv/"+w.key(id), w.target.Addr, text(80_000+uint64(w.writes), 64))
		before, err := w.cpu()
		if err != nil {
			return nil, err
		}
		shot, err := w.Fire(ctx, write, 1, serveLimit)
		if err != nil {
			return nil, err
		}
		woken, err := w.await(ctx, shot.Woken, id, w.listen)
		if err != nil {
			return nil, err
		}
		after, err := w.cpu()
		if err != nil {
			return nil, err
		}
		falseWakes += len(woken) - 1
		delay += shot.Last
		cpu += after - before
	}
	return values{
		float64(falseWakes),
		millis(delay) / wakeWrites,
		cpuMicros(w.target.PID != 0, cpu, wakeWrites),
	}, nil
}

// next chooses keys that lie apart, so that every one has neighbours on both
// sides, and none twice before all were written.
func (w *waker) next() int {
	w.writes++
	const stride = 617 // prime, so it meets every key of a smaller or coprime number
	return w.writes * stride % w.n
}
