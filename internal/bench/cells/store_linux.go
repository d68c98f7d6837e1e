package cells

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/procfs"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// storeRounds is the most rounds of restarts and snapshots: each takes seconds.
const storeRounds = 3

// storeGroup fills a store and then restarts it, saves it and restores it. The
// load is the setup of the group, so that each of the others can be run alone.
func storeGroup(o *Options) group {
	st := &filled{o: o}
	return group{
		name:  "store",
		setup: st.load,
		cells: []cell{
			{name: "load", run: st.loaded, bars: st.bars(bars{
				keysPerSecond: report.PeerAtLeast(2),
				cpuPerKey:     report.AtMost(12, "µs").AndPeer(0.35),
				rssMebi:       report.AtMost(348, "MiB").AndPeer(0.5),
			})},
			{name: "restart", run: st.restart, ours: true, bars: st.bars(bars{seconds: report.AtMost(1, "s")})},
			{name: "snapshot-save", run: st.save, bars: st.bars(bars{seconds: report.AtMost(1.1, "s").AndPeer(0.2)})},
			{name: "snapshot-restore", run: st.restore, bars: st.bars(bars{seconds: report.AtMost(1.1, "s").AndPeer(0.35)})},
		},
	}
}

// Figures of a full store.
const (
	seconds       = "seconds"
	keysPerSecond = "keys/s"
	cpuPerKey     = "CPU µs/key"
)

// filled is what the cells of the group hand to each other. They run one after
// the other.
type filled struct {
	o             *Options
	subject, peer loadFigures
}

// loadFigures are what the load of one server gave; NaN is unknown.
type loadFigures struct {
	keysPerSecond, cpuPerKey, rss, peak, disk float64
}

func (st *filled) pair(prefix string, i int) pair {
	key := fmt.Sprintf("%sregion-%02d/service-%04d/setting-%06d", prefix, i%16, i/16%1000, i)
	return pair{key, text(1_000_000+uint64(i), st.o.Sizes.TxnBytes)}
}

// full says whether the store has the size that the bars hold for.
func (st *filled) full() bool { return st.o.Sizes.LoadKeys == DefaultSizes().LoadKeys }

func (st *filled) bars(b bars) bars {
	if !st.full() {
		return nil
	}
	return b
}

// note says how large the store is.
func (st *filled) note(more string) string {
	note := fmt.Sprintf("%d keys of %d bytes%s", st.o.Sizes.LoadKeys, st.o.Sizes.TxnBytes, more)
	if !st.full() {
		note += "; the bars are for another size"
	}
	return note
}

func (st *filled) load(ctx context.Context, s *stage) error {
	var err error
	if st.subject, err = st.loadOne(ctx, s, s.subject()); err != nil {
		return err
	}
	if s.server != nil {
		n, err := procfs.DiskUsage(s.server.DataDir())
		if err != nil {
			return err
		}
		st.subject.disk = mebi(n)
	}
	if s.opts.Peer != nil {
		if st.peer, err = st.loadOne(ctx, s, *s.opts.Peer); err != nil {
			return fmt.Errorf("peer: %w", err)
		}
	}
	return nil
}

func (st *filled) loadOne(ctx context.Context, s *stage, t target.Target) (loadFigures, error) {
	n := st.o.Sizes.LoadKeys
	f := loadFigures{rss: math.NaN(), peak: math.NaN(), disk: math.NaN()}
	res, err := s.fill(ctx, t, n, func(i int) pair { return st.pair(s.prefix, i) })
	if err != nil {
		return f, err
	}
	f.keysPerSecond = float64(n) / res.Elapsed.Seconds()
	f.cpuPerKey = cpuMicros(t.PID != 0, res.CPU, float64(n))
	if err := pause(ctx, s.opts.Rest); err != nil {
		return f, err
	}
	if t.PID == 0 {
		return f, nil
	}
	rss, err := procfs.RSS(t.PID)
	if err != nil {
		return f, err
	}
	peak, err := procfs.PeakRSS(t.PID)
	f.rss, f.peak = mebi(rss), mebi(peak)
	return f, err
}

// loaded tells what the load gave.
func (st *filled) loaded(_ context.Context, s *stage) (report.Row, error) {
	figure := func(name string, of func(loadFigures) float64) report.Figure {
		f := report.Figure{Name: name, Subject: report.Values{of(st.subject)}}
		if s.opts.Peer != nil {
			f.Peer = report.Values{of(st.peer)}
		}
		return f
	}
	return report.Row{
		Note: st.note(fmt.Sprintf(", %d in a transaction, %d clients", st.o.Sizes.TxnOps, st.o.Sizes.TxnClients)),
		Figures: []report.Figure{
			figure(keysPerSecond, func(f loadFigures) float64 { return f.keysPerSecond }),
			figure(cpuPerKey, func(f loadFigures) float64 { return f.cpuPerKey }),
			figure(rssMebi, func(f loadFigures) float64 { return f.rss }),
			figure("peak RSS MiB", func(f loadFigures) float64 { return f.peak }),
			figure("disk MiB", func(f loadFigures) float64 { return f.disk }),
		},
	}, nil
}

// restart kills the server and starts it on what it has on disk.
func (st *filled) restart(ctx context.Context, s *stage) (report.Row, error) {
	last := st.pair(s.prefix, st.o.Sizes.LoadKeys-1).key
	var took, cpu, rss report.Values
	for range min(s.opts.Rounds, storeRounds) {
		if err := s.server.Kill(); err != nil {
			return report.Row{}, err
		}
		start := time.Now()
		if err := s.server.Start(ctx); err != nil {
			return report.Row{}, err
		}
		if err := s.server.AwaitRead(ctx, last, http.StatusOK); err != nil {
			return report.Row{}, err
		}
		took = append(took, time.Since(start).Seconds())

		t := s.subject()
		used, err := procfs.CPU(t.PID)
		if err != nil {
			return report.Row{}, err
		}
		cpu = append(cpu, used.Seconds())
		n, err := s.restedRSS(ctx, t)
		if err != nil {
			return report.Row{}, err
		}
		rss = append(rss, mebi(n))
		if err := st.complete(ctx, s, t); err != nil {
			return report.Row{}, fmt.Errorf("after the restart: %w", err)
		}
	}
	return report.Row{
		Note: st.note(", kill -9, until a consistent read finds the last key"),
		Figures: []report.Figure{
			{Name: seconds, Subject: took},
			{Name: "CPU s", Subject: cpu},
			{Name: rssMebi, Subject: rss},
		},
	}, nil
}

// complete checks that all keys are there, and the value of some.
func (st *filled) complete(ctx context.Context, s *stage, t target.Target) error {
	r, err := t.Do(ctx, http.MethodGet, "/v1/kv/"+s.prefix+"?keys", nil)
	if err == nil {
		err = wantOK(r)
	}
	if err != nil {
		return fmt.Errorf("list of keys: %w", err)
	}
	var names []string
	if err := json.Unmarshal(r.Body, &names); err != nil {
		return fmt.Errorf("list of keys: %w", err)
	}
	if len(names) != st.o.Sizes.LoadKeys {
		return fmt.Errorf("%d keys are there, %d were written", len(names), st.o.Sizes.LoadKeys)
	}
	const samples = 16
	for i := range samples {
		want := st.pair(s.prefix, i*(st.o.Sizes.LoadKeys-1)/(samples-1))
		r, err := t.Do(ctx, http.MethodGet, "/v1/kv/"+want.key+"?raw", nil)
		if err != nil {
			return err
		}
		if !bytes.Equal(r.Body, want.value) {
			return fmt.Errorf("%s has not the value that was written (status %d)", want.key, r.Status)
		}
	}
	return nil
}

// save fetches the archive of the whole store.
func (st *filled) save(ctx context.Context, s *stage) (report.Row, error) {
	c := contest{columns: []string{seconds, "CPU s", "archive MiB"}}
	side := func(t target.Target, name string) *side {
		return &side{round: func(ctx context.Context) (values, error) {
			return timed(t, func() (float64, error) {
				n, err := saveSnapshot(ctx, t, filepath.Join(s.opts.Dir, name))
				return mebi(n), err
			})
		}}
	}
	c.subject = side(s.subject(), subjectArchive)
	if s.opts.Peer != nil {
		c.peer = side(*s.opts.Peer, peerArchive)
	}
	row, err := c.run(ctx, min(s.opts.Rounds, storeRounds))
	if row.Note == "" {
		row.Note = st.note("")
	}
	return row, err
}

// restore puts an archive back that was saved before.
func (st *filled) restore(ctx context.Context, s *stage) (report.Row, error) {
	c := contest{columns: []string{seconds, "CPU s"}}
	side := func(t target.Target, name string) *side {
		archive := filepath.Join(s.opts.Dir, name)
		return &side{
			warm: func(ctx context.Context) error {
				_, err := saveSnapshot(ctx, t, archive)
				return err
			},
			round: func(ctx context.Context) (values, error) {
				// Something must be missing for the restore to bring back.
				if err := deleteTree(ctx, t, s.prefix+"region-00/"); err != nil {
					return nil, err
				}
				v, err := timed(t, func() (float64, error) { return 0, restoreSnapshot(ctx, t, archive) })
				if err != nil {
					return nil, err
				}
				return v[:2], st.complete(ctx, s, t)
			},
		}
	}
	c.subject = side(s.subject(), subjectArchive)
	if s.opts.Peer != nil && s.opts.PeerRestore {
		c.peer = side(*s.opts.Peer, peerArchive)
	}
	row, err := c.run(ctx, min(s.opts.Rounds, storeRounds))
	if row.Note == "" {
		row.Note = st.note("")
	}
	return row, err
}

// timed runs do once and returns its seconds, the server's CPU seconds, and what
// do returned.
func timed(t target.Target, do func() (float64, error)) (values, error) {
	cpu := t.CPU()
	if cpu == nil {
		cpu = func() (time.Duration, error) { return 0, nil }
	}
	before, errBefore := cpu()
	start := time.Now()
	v, err := do()
	took := time.Since(start)
	after, errAfter := cpu()
	used := (after - before).Seconds()
	if t.PID == 0 {
		used = math.NaN()
	}
	return values{took.Seconds(), used, v}, errors.Join(err, errBefore, errAfter)
}
