package agent

import (
	"context"
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// TestAServerThatDiffersStops: only a server that a majority of the voters disagrees
// with takes itself out of service.
func TestAServerThatDiffersStops(t *testing.T) {
	store := fsm.NewStore()
	machine := fsm.New(store, hclog.NewNullLogger(), func(err error) { t.Error(err) })
	for i := uint64(1); i <= 2100; i++ {
		data, err := fsm.Encode(&fsm.Command{Write: &kvs.Op{Verb: kvs.Set, Key: fmt.Sprint(i % 7)}}, int64(i))
		if err != nil {
			t.Fatal(err)
		}
		machine.Apply(&raft.Log{Index: i, Type: raft.LogCommand, Data: data})
	}
	same := hashesToProto(store.HashMarks())
	if len(same) < 2 {
		t.Fatalf("%d marks, want at least 2", len(same))
	}
	changed := func(change func(*rpcpb.StateHash)) []*rpcpb.StateHash {
		list := hashesToProto(store.HashMarks())
		change(list[len(list)-1])
		return list
	}
	other := changed(func(h *rpcpb.StateHash) { h.Hash++ })
	for _, tc := range []struct {
		rule   string
		voters int
		others [][]*rpcpb.StateHash
		stops  bool
	}{
		{"all agree", 3, [][]*rpcpb.StateHash{same, same}, false},
		{"nobody answers", 3, [][]*rpcpb.StateHash{nil, nil}, false},
		{"one of three differs", 3, [][]*rpcpb.StateHash{other, same}, false},
		{"both others differ", 3, [][]*rpcpb.StateHash{other, other}, true},
		{"the other one of two differs", 2, [][]*rpcpb.StateHash{other}, false},
		{"two of five differ", 5, [][]*rpcpb.StateHash{other, other, same, same}, false},
		{"three of five differ", 5, [][]*rpcpb.StateHash{other, other, other, same}, true},
		{"other rules say nothing", 3, [][]*rpcpb.StateHash{
			changed(func(h *rpcpb.StateHash) { h.Hash++; h.Rules++ }), changed(func(h *rpcpb.StateHash) { h.Hash++; h.Since++ }),
		}, false},
		{"an index that is not remembered says nothing", 3, [][]*rpcpb.StateHash{
			changed(func(h *rpcpb.StateHash) { h.Hash++; h.Index += 1 << 30 }), changed(func(h *rpcpb.StateHash) { h.Hash++; h.Index++ }),
		}, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			a := &Agent{nodeID: "self", store: store, log: hclog.NewNullLogger()}
			servers := []raft.Server{{ID: "self", Suffrage: raft.Voter}}
			answers := map[raft.ServerID][]*rpcpb.StateHash{}
			for i, marks := range tc.others {
				id := raft.ServerID(fmt.Sprint("other-", i))
				servers = append(servers, raft.Server{ID: id, Suffrage: raft.Voter})
				answers[id] = marks
			}
			if len(servers) != tc.voters {
				t.Fatalf("%d voters, want %d", len(servers), tc.voters)
			}
			if err := a.judge(servers, answers); (err != nil) != tc.stops {
				t.Errorf("error is %v, want one: %v", err, tc.stops)
			}
		})
	}
}

// TestAServerThatIsAloneComparesNothing.
func TestAServerThatIsAloneComparesNothing(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	if err := m.compareOnce(context.Background()); err != nil {
		t.Error(err)
	}
}
