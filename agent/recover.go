package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/fsm"
)

// peersFile, in the folder of Raft, is how an operator says which servers are left of
// a cluster that has lost its quorum for good. It is honoured at the next start and
// then renamed, so that it counts once.
const (
	peersFile     = "peers.json"
	peersFileUsed = "peers.json.used"
)

// recoverPeers makes the servers in the operator's file the only ones, if there is one.
// What this server has in its log counts as committed then.
func (a *Agent) recoverPeers(conf *raft.Config, transport raft.Transport) error {
	if a.dir == nil {
		return nil
	}
	path := filepath.Join(a.dir.RaftDir(), peersFile)
	peers, err := raft.ReadConfigJSON(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s says which servers are left, but cannot be used: %w; mend or remove it", path, err)
	case !namesVoter(peers, conf.LocalID):
		return fmt.Errorf("%s does not name this server, %s, as one with a vote; mend or remove it", path, conf.LocalID)
	}
	aside := fsm.NewStore() // thrown away: Raft reads the state again
	machine := fsm.New(aside, a.logs.Named("fsm"), a.stop)
	if err := raft.RecoverCluster(conf, machine, a.storage, a.storage.Stable(), a.storage.Snapshots(), transport, peers); err != nil {
		return fmt.Errorf("make the servers in %s the only ones: %w", path, err)
	}
	if err := os.Rename(path, filepath.Join(a.dir.RaftDir(), peersFileUsed)); err != nil {
		return fmt.Errorf("put %s aside, which was used: %w", path, err)
	}
	a.log.Warn("the cluster was recovered: these servers are the only ones now", "servers", fmt.Sprint(peers.Servers), "index", aside.Applied())
	return nil
}

func namesVoter(c raft.Configuration, id raft.ServerID) bool {
	for _, s := range c.Servers {
		if s.ID == id {
			return s.Suffrage == raft.Voter
		}
	}
	return false
}
