package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/logstore"
)

// InstallSnapshot sends a snapshot to a follower, at a bounded speed, so that writes go
// on meanwhile. While it is under way, and until the follower has caught up, the log that
// it needs next is kept.
func (t *network) InstallSnapshot(
	id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	a := t.a
	a.keepLog(1)
	err := a.hasLogFrom(args.LastLogIndex + 1)
	if err == nil {
		speed := int64(a.config().Raft.SnapshotSendRate)
		err = t.NetworkTransport.InstallSnapshot(id, t.to(id, target), args, resp, &slowReader{r: data, speed: speed, began: time.Now(), stop: a.closing})
	}
	if err != nil || !resp.Success {
		a.keepLog(-1)
		return err
	}
	if !a.group.Go("a follower's log", func(ctx context.Context) error {
		defer a.keepLog(-1)
		a.awaitFollower(ctx, id, a.raft.LastIndex())
		return nil
	}) { // this server stops
		a.keepLog(-1)
	}
	return nil
}

// hasLogFrom returns an error when the log begins behind an index, as it may when a newer
// snapshot was finished a moment ago. Raft tries again, with that one.
func (a *Agent) hasLogFrom(index uint64) error {
	first, err := a.storage.FirstIndex()
	if err != nil {
		return fmt.Errorf("look where the log begins: %w", err)
	}
	if first > index {
		return fmt.Errorf("the log begins at index %d and the follower would need it from %d: a newer snapshot will be sent", first, index)
	}
	return nil
}

// cutLog is the log as Raft gets it. Raft removes it up to a new snapshot, with the entry in
// which that one ends. A follower that was just sent it has its next entries checked against
// that very entry, and would be sent a newer snapshot instead, and so on for as long as there
// are writes. So one entry more is kept.
type cutLog struct{ *logstore.Store }

// DeleteRange removes the start or the end of the log, see [logstore.Store.DeleteRange].
func (l cutLog) DeleteRange(minIndex, maxIndex uint64) error {
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	if maxIndex < last { // it is the start
		maxIndex--
	}
	if minIndex > maxIndex {
		return nil
	}
	return l.Store.DeleteRange(minIndex, maxIndex)
}

// How often it is looked how far a follower has come, and how long one may be silent
// until its log is not kept for it any more.
const (
	followerLook   = 100 * time.Millisecond
	followerSilent = 10 * time.Second
)

// awaitFollower waits until a follower has the log up to an index, or will not have it
// from this server.
func (a *Agent) awaitFollower(ctx context.Context, id raft.ServerID, index uint64) {
	tick := time.NewTicker(followerLook)
	defer tick.Stop()
	began := a.now()
	for a.raft.State() == raft.Leader {
		lastIndex, at := a.followers.heardOf(id)
		if at.Before(began) {
			at = began
		} else if lastIndex >= index {
			return
		}
		if a.now().Sub(at) > followerSilent {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// slowReader reads at a bounded speed.
type slowReader struct {
	r     io.Reader
	speed int64 // bytes a second
	began time.Time
	n     int64
	stop  <-chan struct{}
}

// Read is part of io.Reader.
func (s *slowReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	due := time.Duration(float64(s.n) / float64(s.speed) * float64(time.Second))
	if ahead := due - time.Since(s.began); ahead > 5*time.Millisecond {
		select {
		case <-time.After(ahead):
		case <-s.stop:
			return n, errors.New("the server stops")
		}
	}
	return n, err
}

// keepLog counts the snapshots under way and the followers that catch up behind one. As
// long as there are some, the log is not cut behind a new snapshot.
func (a *Agent) keepLog(change int) {
	a.keeping.Lock()
	defer a.keeping.Unlock()
	before := a.transfers
	a.transfers += change
	if (before == 0) == (a.transfers == 0) {
		return
	}
	conf := a.raft.ReloadableConfig()
	conf.TrailingLogs = a.config().Raft.TrailingLogs
	if a.transfers > 0 {
		conf.TrailingLogs = keepAll
	}
	if err := a.raft.ReloadConfig(conf); err != nil {
		a.log.Warn("keep the log while a snapshot is sent", "error", err)
	}
}

// sendsSnapshot tells whether a follower gets a snapshot, or catches up behind one.
func (a *Agent) sendsSnapshot() bool {
	a.keeping.Lock()
	defer a.keeping.Unlock()
	return a.transfers > 0
}

// keepAll is more entries than a log has.
const keepAll = 1 << 40
