package cells

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/report"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

const (
	failoverTry   = 5 * time.Second  // one write is given up after that, and made anew
	failoverLimit = 60 * time.Second // a cluster that has no leader by then breaks the cell
)

// failover kills the leader of three servers with kill -9, again and again, and measures
// how long it takes, from the signal on, until a survivor acknowledges a write.
func (s *stage) failover(ctx context.Context) (report.Row, error) {
	o, remove, err := s.withConfig("failover", "performance {\n  raft_multiplier = 1\n}\n")
	if err != nil {
		return report.Row{}, err
	}
	c, err := target.StartCluster(ctx, o, trioServers)
	if errors.Is(err, target.ErrNoCluster) {
		return report.Row{Skipped: err.Error()}, remove()
	}
	if err != nil {
		return report.Row{}, errors.Join(err, remove())
	}
	took, err := s.failOver(ctx, c)
	if err := errors.Join(err, c.Close(), remove()); err != nil {
		return report.Row{}, err
	}
	_, worst := took.Range()
	return report.Row{
		Note: fmt.Sprintf("%d leaders killed; the worst took %.2f s", len(took), worst),
		Figures: []report.Figure{
			{Name: seconds, Subject: took},
		},
	}, nil
}

func (s *stage) failOver(ctx context.Context, c *target.Cluster) (took report.Values, err error) {
	for i := range s.opts.Sizes.Failovers {
		survivor, killed, err := c.KillLeader(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.persist(ctx, survivor, fmt.Sprintf("%sfailover/%d", s.prefix, i)); err != nil {
			return nil, err
		}
		took = append(took, time.Since(killed).Seconds())
		if err := c.Revive(ctx); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// persist tries to write until it is acknowledged.
func (s *stage) persist(ctx context.Context, t target.Target, key string) error {
	ctx, cancel := context.WithTimeout(ctx, failoverLimit)
	defer cancel()
	for {
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, failoverTry)
			defer cancel()
			r, err := t.Do(ctx, http.MethodPut, "/v1/kv/"+key, []byte("x"))
			if err != nil {
				return err
			}
			return wantOK(r)
		}()
		if err == nil {
			return nil
		}
		if errPause := pause(ctx, time.Millisecond); errPause != nil {
			return fmt.Errorf("no write was acknowledged: %w", errors.Join(errPause, err))
		}
	}
}
