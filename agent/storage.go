package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/datadir"
)

// storage is what Raft keeps its log, its vote and its snapshots in.
type storage struct {
	logs   raft.LogStore
	stable raft.StableStore
	snaps  raft.SnapshotStore
	close  func() error
}

// memoryStorage keeps everything in memory, for -dev.
func memoryStorage() *storage {
	mem := raft.NewInmemStore()
	return &storage{logs: mem, stable: mem, snaps: raft.NewInmemSnapshotStore(), close: func() error { return nil }}
}

func openDisk(dir *datadir.Dir, _ *config.Config, log hclog.Logger) (*storage, error) {
	root := dir.RaftDir()
	if err := os.MkdirAll(filepath.Join(root, "wal"), 0o700); err != nil {
		return nil, err
	}
	logs, err := wal.Open(filepath.Join(root, "wal"))
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	stable, err := raftboltdb.NewBoltStore(filepath.Join(root, "stable.db"))
	if err != nil {
		return nil, fmt.Errorf("open stable store: %w", err)
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(root, 2, log)
	if err != nil {
		return nil, err
	}
	return &storage{logs: logs, stable: stable, snaps: snaps, close: func() error { return errors.Join(logs.Close(), stable.Close()) }}, nil
}
