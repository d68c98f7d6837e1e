package agent

import (
	"errors"
	"io"
	"time"

	"github.com/hashicorp/raft"
)

// snapshotSpeed bounds the bytes a second that a snapshot for a follower takes from
// the network and the disk, so that writes go on meanwhile.
const snapshotSpeed = 64 << 20

// InstallSnapshot sends a snapshot to a follower. While it is under way the log that
// the follower needs next is kept.
func (t *network) InstallSnapshot(
	id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	t.a.keepLog(1)
	defer t.a.keepLog(-1)
	return t.NetworkTransport.InstallSnapshot(id, target, args, resp, &slowReader{r: data, speed: snapshotSpeed, began: time.Now(), stop: t.a.closing})
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

// keepLog counts the snapshots under way. As long as there are some, the log is not
// cut behind a new snapshot.
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

// sendsSnapshot tells whether a snapshot is on its way to a follower.
func (a *Agent) sendsSnapshot() bool {
	a.keeping.Lock()
	defer a.keeping.Unlock()
	return a.transfers > 0
}

// keepAll is more entries than a log has.
const keepAll = 1 << 40
