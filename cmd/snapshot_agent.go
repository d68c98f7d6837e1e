package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/agent"
	"github.com/holdfast-kv/holdfast/api"
	"github.com/holdfast-kv/holdfast/internal/backup"
)

// Bounds of "snapshot agent".
const (
	// leastInterval keeps a slip of the unit from filling a disk.
	leastInterval = time.Second

	// retryPause is the longest wait after a snapshot that failed.
	retryPause = time.Minute

	// waitForServer is how long to wait where the lock cannot be asked for.
	waitForServer = 5 * time.Second
)

// snapshotRun is one run of "snapshot agent".
type snapshotRun struct {
	*connection
	out  *printer
	says *notices

	path     string
	interval time.Duration
	retain   int
	lockKey  string
	failures int
	figures  snapshotFigures

	client *api.Client
	folder *backup.Folder
	due    time.Time // of the next snapshot
	failed int       // in a row
}

// takenSnapshot is a snapshot as JSON and YAML show it.
type takenSnapshot struct {
	Path    string
	Index   uint64
	Size    int64    // of the file, in bytes
	Seconds float64  // how long it took, the check included
	Removed []string `json:",omitempty"` // old ones that had to go
}

func newSnapshotAgentCommand() *cobra.Command {
	s := &snapshotRun{}
	c := &cobra.Command{
		Use:   "agent [flags] FOLDER",
		Short: "Take snapshots again and again and keep the newest ones in a folder",
		Long: `Take a snapshot of the whole cluster every -interval, until a signal comes, and keep the newest
-retain of them in FOLDER, which is made if it is not there. With -interval=0 take one and end.

Each is flushed to the disk, read back, checked against its hashes and restored into a scratch
store in this process, which takes the memory of a server for that time. Only then does it
appear under its name, holdfast-<time in UTC>.snap, and an old one goes. A snapshot that fails
is reported, tried again after a minute, and leaves nothing behind.

Several can run, each with a folder of its own: whoever holds the lock -lock-key takes the
snapshots, and the others wait for it. After -max-failures in a row it gives the lock away.
With -metrics-file it says for a collector of text files, as Prometheus' node exporter has one,
how it goes. Snapshots hold secrets if the store does: they are created for their owner alone.`,
		Example: `  holdfast snapshot agent /var/backups/holdfast
  holdfast snapshot agent -interval=15m -retain=96 /var/backups/holdfast
  holdfast snapshot agent -interval=0 /mnt/backup                  # from cron`,
		Annotations: exits("4 6 7"),
		RunE:        func(c *cobra.Command, args []string) error { return s.run(c, args) },
	}
	s.connection = connect(c, noTimeout)
	s.out = prints(c)
	fs := c.Flags()
	fs.Lookup("timeout").Usage = "Give up on a snapshot after this `duration`; 0 waits as long as it takes."
	fs.DurationVar(&s.interval, "interval", time.Hour, "How often to take a snapshot, as a `duration`; 0 takes one and ends.")
	fs.IntVar(&s.retain, "retain", 30, "How many snapshots to keep, as a `number`; 0 keeps all.")
	fs.StringVar(&s.lockKey, "lock-key", "holdfast-snapshot/lock", "The `key` of the lock that decides who takes them; empty for none. Not used with -interval=0.")
	fs.IntVar(&s.failures, "max-failures", 3, "How many failures in a row give the lock to another, as a `number`.")
	fs.StringVar(&s.figures.path, "metrics-file", "", "The `file` to write the metrics to, in the text format of Prometheus.")
	return c
}

func (s *snapshotRun) run(c *cobra.Command, args []string) (err error) {
	if err := s.check(args); err != nil {
		return err
	}
	if s.folder, err = backup.Open(s.path, s.retain, time.Now); err != nil {
		return err
	}
	if s.client, err = s.connection.client(); err != nil {
		return err
	}
	defer s.client.CloseIdleConnections()
	s.says = &notices{w: c.ErrOrStderr()}
	s.sweep()
	if s.interval == 0 {
		return s.once(c.Context())
	}
	if err := s.figures.write(); err != nil {
		return err // better now than after the first snapshot
	}
	s.schedule()
	for c.Context().Err() == nil {
		s.turn(c)
	}
	return context.Canceled // a signal: there is no other end
}

// once takes one snapshot. The metrics of the last success stay where it fails.
func (s *snapshotRun) once(ctx context.Context) error {
	taken, err := s.take(ctx)
	if err != nil {
		return err
	}
	s.tell()
	return s.show(taken)
}

// check refuses what means nothing.
func (s *snapshotRun) check(args []string) error {
	if err := operands(args, 1, "FOLDER"); err != nil {
		return err
	}
	s.path = args[0]
	switch {
	case s.path == "":
		return usagef("the argument FOLDER is empty")
	case s.interval != 0 && s.interval < leastInterval:
		return usagef("-interval must be 0 or at least %s", leastInterval)
	case s.retain < 0:
		return usagef("-retain must not be negative")
	case s.failures < 1:
		return usagef("-max-failures must be positive")
	}
	_, err := s.out.chosen()
	return err
}

// schedule sets the time of the first snapshot: one interval after the newest there is,
// so that a restart changes nothing.
func (s *snapshotRun) schedule() {
	now := time.Now()
	s.due = now
	all, err := s.folder.List()
	if err != nil || len(all) == 0 {
		return // an error comes again with the first snapshot
	}
	if newest := all[len(all)-1].At; newest.Before(now) {
		s.due = newest.Add(s.interval)
	}
}

// turn waits for the lock, and takes snapshots until it is lost, they fail too often, or
// a signal comes.
func (s *snapshotRun) turn(c *cobra.Command) {
	if s.lockKey == "" {
		s.serve(c.Context())
		return
	}
	lock := s.client.Lock(s.lockKey, api.SessionName("Holdfast snapshot agent"), api.OnState(s.says.state))
	hold, err := lock.Acquire(c.Context())
	if err != nil {
		if c.Context().Err() == nil {
			s.says.say("Warning: could not ask for the lock on %s: %v; trying again", s.lockKey, err)
			sleep(c.Context(), waitForServer)
		}
		return
	}
	ctx, cancel := context.WithCancel(hold.Context()) // which a signal does not end
	stop := context.AfterFunc(c.Context(), cancel)
	s.serve(ctx)
	stop()
	cancel()
	if err := release(c, hold, "the lock on "+s.lockKey, nil, s.says); err != nil {
		s.says.say("Warning: %v", err)
	}
	if s.failed > 0 { // let another have it
		sleep(c.Context(), min(s.interval, retryPause))
	}
}

// serve takes snapshots as long as ctx lasts and not too many fail.
func (s *snapshotRun) serve(ctx context.Context) {
	s.failed = 0
	s.figures.active = true
	defer func() {
		s.figures.active = false
		s.tell()
	}()
	s.tell()
	s.sweep()
	for s.failed < s.failures && sleep(ctx, time.Until(s.due)) {
		began := time.Now()
		taken, err := s.take(ctx)
		switch {
		case err == nil:
			s.failed = 0
			s.due = began.Add(s.interval)
			if err := s.show(taken); err != nil { // the snapshot is there all the same
				s.says.say("Warning: %v", err)
			}
		case ctx.Err() != nil:
			return // it was broken off
		default:
			s.failed++
			s.figures.failures++
			s.due = time.Now().Add(min(s.interval, retryPause))
			s.says.say("Error: the snapshot failed: %v", err)
		}
		s.tell()
	}
}

// sweep removes what was left unfinished.
func (s *snapshotRun) sweep() {
	if err := s.folder.Sweep(); err != nil {
		s.says.say("Warning: %v", err)
	}
}

// sleep waits, and tells whether ctx has lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// take takes one snapshot, and removes what is too old afterwards.
func (s *snapshotRun) take(ctx context.Context) (takenSnapshot, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	began := time.Now()
	var info api.SnapshotInfo
	save := func(w io.Writer) (err error) {
		info, err = s.client.Snapshot().Save(ctx, w, s.reads()...)
		return err
	}
	check := func(r io.Reader) error {
		index, err := agent.LoadArchive(r)
		if err == nil && index != info.Index {
			err = fmt.Errorf("the file reaches index %d, and what the server sent %d", index, info.Index)
		}
		return err
	}
	snap, err := s.folder.Take(save, check)
	if err != nil {
		return takenSnapshot{}, err
	}
	taken := takenSnapshot{Path: snap.Path, Index: info.Index, Size: snap.Size, Seconds: time.Since(began).Seconds()}
	removed, err := s.folder.Prune()
	if err != nil {
		s.says.say("Warning: %v", err)
	}
	taken.Removed = removed
	s.figures.took(snap.At, taken)
	return taken, nil
}

// show prints a snapshot: a line, or a document, since there may be more of them.
func (s *snapshotRun) show(taken takenSnapshot) error {
	format, err := s.out.chosen()
	if err != nil {
		return err
	}
	w := s.out.c.OutOrStdout()
	switch format {
	case formatJSON:
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(taken)
	case formatYAML:
		if _, err := fmt.Fprintln(w, "---"); err != nil {
			return err
		}
		return writeYAML(w, taken)
	}
	line := fmt.Sprintf("Saved and verified %s to index %d (%d bytes, %.1f s)", taken.Path, taken.Index, taken.Size, taken.Seconds)
	for _, old := range taken.Removed {
		line += fmt.Sprintf("\nRemoved %s", filepath.Base(old))
	}
	_, err = fmt.Fprintln(w, line)
	return err
}

// tell writes the metrics.
func (s *snapshotRun) tell() {
	if err := s.figures.write(); err != nil {
		s.says.say("Warning: %v", err)
	}
}
