package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// scripted is a transport whose peers answer what a test says.
type scripted struct {
	transport
	resp raft.AppendEntriesResponse
	err  error
}

func (s *scripted) AppendEntries(_ raft.ServerID, _ raft.ServerAddress, _ *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	*resp = s.resp
	return s.err
}

func TestFollowersAreHeard(t *testing.T) {
	at := time.Unix(100, 0)
	for _, tc := range []struct {
		rule  string
		resp  raft.AppendEntriesResponse
		err   error
		known bool
	}{
		{"an answer is noted", raft.AppendEntriesResponse{Term: 2, LastLog: 7, Success: true}, nil, true},
		{"also of one that refuses the entries, being behind", raft.AppendEntriesResponse{Term: 2, LastLog: 7}, nil, true},
		{"not of one in a later term", raft.AppendEntriesResponse{Term: 3, LastLog: 7}, nil, false},
		{"nor of one that could not be reached", raft.AppendEntriesResponse{Term: 2, LastLog: 7}, errors.New("unreachable"), false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := newFollowers(func() time.Time { return at })
			err := f.listen(&scripted{resp: tc.resp, err: tc.err}).
				AppendEntries("b", "b:1", &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{}, Term: 2}, &raft.AppendEntriesResponse{})
			if !errors.Is(err, tc.err) {
				t.Errorf("error %v, want %v", err, tc.err)
			}
			got, ok := f.of([]raft.ServerID{"b"})["b"]
			if ok != tc.known || ok && got != (follower{7, at}) {
				t.Errorf("known %v: %+v", ok, got)
			}
		})
	}
}

func TestFollowersThatLeftAreForgotten(t *testing.T) {
	f := newFollowers(time.Now)
	f.note("b", 1)
	f.note("c", 2)
	if got := f.of([]raft.ServerID{"b", "d"}); len(got) != 1 || got["b"].lastIndex != 1 {
		t.Errorf("got %+v", got)
	}
	if got := f.of([]raft.ServerID{"b", "c"}); len(got) != 1 {
		t.Errorf("c has left and is still known: %+v", got)
	}
}

// TestMetricsOfFollowers adds a member that nobody can reach, and takes it out again.
func TestMetricsOfFollowers(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	m.ask(t, "PUT", "/v1/kv/a", "1")
	series := func() int { return len(m.scrape(t)["holdfast_raft_follower_lag_entries"].GetMetric()) }
	if n := series(); n != 0 {
		t.Fatalf("%d followers of a server that is alone", n)
	}
	// Without a vote, so that the log goes on.
	if err := m.raft.AddNonvoter("peer-1", "127.0.0.1:1", 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	if got := value(t, m.scrape(t), "holdfast_raft_follower_lag_entries", "peer", "peer-1"); got < 3 {
		t.Errorf("a follower that was never heard from lags by %v, want the whole log", got)
	}
	m.followers.note("peer-1", m.raft.LastIndex()-1)
	families := m.scrape(t)
	if got := value(t, families, "holdfast_raft_follower_lag_entries", "peer", "peer-1"); got != 1 {
		t.Errorf("lag is %v, want 1", got)
	}
	if got := value(t, families, "holdfast_raft_follower_last_contact_seconds", "peer", "peer-1"); got < 0 || got > 60 {
		t.Errorf("last contact is %v", got)
	}
	if err := m.raft.RemoveServer("peer-1", 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	if n := series(); n != 0 {
		t.Errorf("%d series are left of a follower that was taken out", n)
	}
}

func TestMetricsWithoutCertificates(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	for _, use := range []string{"https", "rpc"} {
		if got := value(t, m.scrape(t), certificateExpiry, "use", use); got != 0 {
			t.Errorf("without a certificate %s has %v", use, got)
		}
	}
}
