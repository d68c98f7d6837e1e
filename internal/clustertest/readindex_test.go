package clustertest

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// TestAQuestionIsAVotersWord: a voter that asks for the index of its reads, and is in the
// leader's term, is a majority with the leader of three: nobody else is asked. Of any other
// question the leader makes sure by a round.
func TestAQuestionIsAVotersWord(t *testing.T) {
	slow(t)
	const times = 100
	for _, size := range []int{3, 5} {
		c := testcluster.StartCluster(t, testcluster.ClusterOptions{Servers: size})
		leader, follower := c.Leader(), c.Followers()[0]
		ids := raftServers(t, leader)
		voter, term := ids[follower.Name()].ID, uint64(termOf(t, leader))
		conn, err := grpc.NewClient(leader.PeerAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		server := rpcpb.NewServerServiceClient(conn)
		rounds := func() float64 { return seriesOf(t, leader, "holdfast_raft_verify_leader_total") }
		for _, tc := range []struct {
			name string
			of   *rpcpb.ReadIndexRequest
			word bool // instead of a round
		}{
			{"a voter", &rpcpb.ReadIndexRequest{Id: voter, Term: term}, size == 3},
			{"a voter in an earlier term", &rpcpb.ReadIndexRequest{Id: voter, Term: term - 1}, false},
			{"a voter in a later term", &rpcpb.ReadIndexRequest{Id: voter, Term: term + 1}, false},
			{"one without a vote", &rpcpb.ReadIndexRequest{Id: "somebody", Term: term}, false},
			{"the leader itself", &rpcpb.ReadIndexRequest{Id: ids[leader.Name()].ID, Term: term}, false},
			{"one of an earlier version", &rpcpb.ReadIndexRequest{}, false},
		} {
			before := rounds()
			for range times {
				if r, err := server.ReadIndex(t.Context(), tc.of); err != nil || r.GetIndex() == 0 {
					t.Fatalf("of %d: %s: %v, %v", size, tc.name, r, err)
				}
			}
			if made := rounds() - before; made >= times == tc.word { // some are made for others
				t.Errorf("of %d: %s: %g rounds for %d questions", size, tc.name, made, times)
			}
		}
		before := rounds()
		for range times {
			follower.Get("a/key")
		}
		if made := rounds() - before; made >= times == (size == 3) {
			t.Errorf("of %d: %g rounds for %d reads through a follower", size, made, times)
		}
	}
}
