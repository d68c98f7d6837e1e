package agent

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/internal/backup"
)

// Scheduled snapshots.
const (
	scheduleLook  = time.Second // how often to look whether one is due
	scheduleRetry = time.Minute // after one that failed
)

// scheduleFigures are what the metrics tell of them.
type scheduleFigures struct {
	taken, failed atomic.Uint64
	at            atomic.Int64 // of the last success, Unix seconds; 0: there was none
	bytes         atomic.Int64 // its size
}

// keepSnapshots takes snapshots by the schedule of the configuration while this server
// leads.
func (a *Agent) keepSnapshots(ctx context.Context) error {
	tick := time.NewTicker(scheduleLook)
	defer tick.Stop()
	var due time.Time
	led := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !a.leading.Load() {
			led = false
			continue
		}
		if !led {
			led, due = true, a.firstDue()
		}
		if a.now().Before(due) {
			continue
		}
		due = a.now().Add(a.config().Schedule.Interval)
		if err := a.takeDue(ctx); err != nil && ctx.Err() == nil {
			a.scheduled.failed.Add(1)
			due = a.now().Add(min(a.config().Schedule.Interval, scheduleRetry))
			a.log.Error("scheduled snapshot failed, the older ones are as they were", "error", err, "again", due.UTC())
		}
	}
}

// firstDue is one interval after the newest snapshot there is, so that a restart
// changes nothing; now if there is none, or one from the future.
func (a *Agent) firstDue() time.Time {
	now := a.now()
	folder, err := a.schedule()
	if err != nil {
		return now // the first snapshot meets it again
	}
	all, err := folder.List()
	if err != nil || len(all) == 0 || all[len(all)-1].At.After(now) {
		return now
	}
	return all[len(all)-1].At.Add(a.config().Schedule.Interval)
}

// schedule is the folder of scheduled snapshots.
func (a *Agent) schedule() (*backup.Folder, error) {
	set := a.config().Schedule
	return backup.Open(set.Path, set.Retain, a.now)
}

// takeDue takes the snapshot that is due.
func (a *Agent) takeDue(ctx context.Context) error {
	folder, err := a.schedule()
	if err != nil {
		return err
	}
	return a.takeScheduled(ctx, folder)
}

// takeScheduled takes one snapshot of a state that this server has made sure is the
// latest, and removes what is too old afterwards.
func (a *Agent) takeScheduled(ctx context.Context, folder *backup.Folder) error {
	if err := folder.Sweep(); err != nil {
		a.log.Warn("scheduled snapshots", "error", err)
	}
	if _, err := a.ReadIndex(ctx, httpapi.Consistent); err != nil {
		return fmt.Errorf("make sure that the state is the latest: %w", err)
	}
	state := a.store.Snapshot()
	meta, err := a.SnapshotMeta(state)
	if err != nil {
		return err
	}
	taken, err := folder.Take(
		func(w io.Writer) error { return httpapi.WriteArchive(untilDone{ctx, w, nil}, meta, state) },
		func(r io.Reader) error {
			got, err := httpapi.CheckArchive(untilDone{ctx, nil, r})
			if err == nil && got.Index != meta.Index {
				err = fmt.Errorf("it reaches index %d, and should reach %d", got.Index, meta.Index)
			}
			return err
		})
	if err != nil {
		return err
	}
	a.scheduled.taken.Add(1)
	a.scheduled.at.Store(taken.At.Unix())
	a.scheduled.bytes.Store(taken.Size)
	removed, err := folder.Prune()
	if err != nil {
		a.log.Warn("scheduled snapshots", "error", err)
	}
	a.log.Info("scheduled snapshot taken", "path", taken.Path, "index", meta.Index, "bytes", taken.Size, "removed", len(removed))
	return nil
}

// untilDone writes or reads as long as ctx lasts, so that a stop does not wait for a
// large snapshot.
type untilDone struct {
	ctx context.Context
	w   io.Writer
	r   io.Reader
}

func (u untilDone) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
