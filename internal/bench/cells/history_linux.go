package cells

import (
	"context"
	"fmt"

	"github.com/holdfast-kv/holdfast/internal/bench/procfs"
	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

const (
	// historyFills bounds how often all keys are written until the history is full.
	historyFills = 8
	// historyFull is the share of its bound from which on a history counts as full: what is
	// over the bound goes in batches.
	historyFull = 0.95
)

// historyGroup fills a store and then its history, as fast as it can: that is the most memory
// that a server of this size takes.
func historyGroup(o *Options) group {
	st := &filled{o: o}
	return group{name: "history", cells: []cell{{name: "history-full", run: st.history, ours: true}}}
}

// history writes all keys again and again until no more older versions are kept.
func (st *filled) history(ctx context.Context, s *stage) (report.Row, error) {
	server := s.server
	if !st.full() { // the bound that servers have by default would take minutes to reach
		var err error
		bound := fmt.Sprintf("history { max_bytes = %d }\n", 2*st.o.Sizes.LoadKeys*st.o.Sizes.TxnBytes)
		if server, err = s.configured(ctx, "history", bound); err != nil {
			return report.Row{}, err
		}
	}
	t := server.Target()
	bound, err := stat(ctx, t, "holdfast", "history_max_bytes")
	if err != nil {
		return report.Row{}, err
	}
	if !(bound > 0) {
		return report.Row{Skipped: "the server keeps no history, or does not say how much"}, nil
	}
	before, err := st.rewrite(ctx, s, t, 0)
	if err != nil {
		return report.Row{}, err
	}
	var after, kept float64
	for i := 1; kept < historyFull*bound; i++ {
		if i > historyFills {
			return report.Row{}, fmt.Errorf("history has %.0f bytes of %.0f after all keys were written %d times more", kept, bound, historyFills)
		}
		if after, err = st.rewrite(ctx, s, t, i); err != nil {
			return report.Row{}, err
		}
		if kept, err = stat(ctx, t, "holdfast", "history_bytes"); err != nil {
			return report.Row{}, err
		}
	}
	return report.Row{
		Note: st.note(fmt.Sprintf(", written until the older versions have the %.0f MiB that history.max_bytes allows", bound/(1<<20))),
		Figures: []report.Figure{
			{Name: "RSS MiB before", Subject: report.Values{before}},
			{Name: "RSS MiB", Subject: report.Values{after}},
		},
	}, nil
}

// rewrite writes all keys, each time with other values, and returns the server's resident
// memory, in MiB, when it has settled.
func (st *filled) rewrite(ctx context.Context, s *stage, t target.Target, round int) (float64, error) {
	n := st.o.Sizes.LoadKeys
	_, err := s.fill(ctx, t, n, func(i int) pair {
		return pair{st.pair(s.prefix, i).key, text(uint64((2+round)*1_000_000+i), st.o.Sizes.TxnBytes)}
	})
	if err == nil {
		err = pause(ctx, s.opts.Rest)
	}
	if err != nil {
		return 0, err
	}
	rss, err := procfs.RSS(t.PID)
	return mebi(rss), err
}
