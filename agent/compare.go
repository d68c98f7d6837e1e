package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/fsm"
)

// Every server keeps a rolling hash of what it has applied. They compare it regularly:
// a log that is the same everywhere makes the same state everywhere, unless memory,
// a disk or this program is broken.

// compareInterval is how often a server compares itself with the others, and
// hashesTold how many of its marks it tells.
const (
	compareInterval = 10 * time.Second
	hashesTold      = 16
)

func hashesToProto(marks []fsm.Hash) []*rpcpb.StateHash {
	if len(marks) > hashesTold {
		marks = marks[len(marks)-hashesTold:]
	}
	var out []*rpcpb.StateHash
	for _, m := range marks {
		out = append(out, &rpcpb.StateHash{Index: m.Index, Hash: m.Sum, Since: m.Since, Rules: m.Rules})
	}
	return out
}

// compareStates takes this server out of service when it differs from a majority of
// the voters. If only some differ, it cannot be told who is right; that is logged.
func (a *Agent) compareStates(ctx context.Context) error {
	tick := time.NewTicker(compareInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if a.peers == nil || !a.hasPeers() {
			continue
		}
		if err := a.compareOnce(ctx); err != nil {
			return err
		}
	}
}

func (a *Agent) compareOnce(ctx context.Context) error {
	servers := a.configuration().Servers
	answers := map[raft.ServerID][]*rpcpb.StateHash{}
	var mu sync.Mutex
	var asked sync.WaitGroup
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	for _, s := range servers {
		if string(s.ID) == a.nodeID || s.Suffrage != raft.Voter {
			continue
		}
		asked.Go(func() {
			server, err := a.peers.client.Server(a.addressOf(string(s.ID), string(s.Address)))
			if err != nil {
				return
			}
			status, err := server.Status(ctx, &rpcpb.StatusRequest{})
			if err != nil || status.GetNodeId() != string(s.ID) {
				return // it is compared when it is there again
			}
			mu.Lock()
			defer mu.Unlock()
			answers[s.ID] = status.GetHashes()
		})
	}
	asked.Wait()
	return a.judge(servers, answers)
}

// judge compares what others have told. The error is why this server must not serve.
func (a *Agent) judge(servers []raft.Server, answers map[raft.ServerID][]*rpcpb.StateHash) error {
	voters := 0
	var differ []string
	var at uint64
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			voters++
		}
		if index, differs := a.differs(answers[s.ID]); differs {
			differ, at = append(differ, string(s.ID)), index
		}
	}
	if len(differ) == 0 {
		return nil
	}
	a.log.Error("the state of this server differs from that of others with the same log", "index", at, "others", strings.Join(differ, ", "))
	if len(differ) < voters/2+1 {
		return nil
	}
	return fmt.Errorf("the state of this server differs at index %d from that of a majority (%s), although the log is the same: "+
		"its memory or disk may be broken; stop it, move its data dir away and start it again, so that it takes the state from the others",
		at, strings.Join(differ, ", "))
}

// differs compares another server's marks with this one's and tells at which index
// they differ, if they do.
func (a *Agent) differs(marks []*rpcpb.StateHash) (index uint64, differs bool) {
	for _, m := range marks {
		mine, ok := a.store.HashAt(m.GetIndex())
		if !ok {
			continue
		}
		equal, comparable := mine.Compare(fsm.Hash{Index: m.GetIndex(), Since: m.GetSince(), Rules: m.GetRules(), Sum: m.GetHash()})
		if comparable && !equal {
			return m.GetIndex(), true
		}
	}
	return 0, false
}
