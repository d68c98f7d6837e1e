package agent

import (
	"context"
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
			if ok != tc.known || ok && got != (follower{7, at, word{term: 2}}) {
				t.Errorf("known %v: %+v", ok, got)
			}
		})
	}
}

// TestWhoseWordCounts: that of servers with a vote, in the leader's term, of what was sent to them
// after the round had begun.
func TestWhoseWordCounts(t *testing.T) {
	of := func(voters ...raft.ServerID) (c raft.Configuration) {
		for _, id := range voters {
			c.Servers = append(c.Servers, raft.Server{ID: id})
		}
		c.Servers = append(c.Servers, raft.Server{ID: "replica", Suffrage: raft.Nonvoter}, raft.Server{ID: "new", Suffrage: raft.Staging})
		return c
	}
	now := word{term: 3, round: 5}
	for _, tc := range []struct {
		rule  string
		c     raft.Configuration
		words map[raft.ServerID]word
		want  bool
	}{
		{"one of two others is enough", of("a", "b", "c"), map[raft.ServerID]word{"b": now}, true},
		{"also in a round that began later", of("a", "b", "c"), map[raft.ServerID]word{"c": {term: 3, round: 6}}, true},
		{"nobody's is not", of("a", "b", "c"), nil, false},
		{"nor one that was given in the round before", of("a", "b", "c"), map[raft.ServerID]word{"b": {term: 3, round: 4}}, false},
		{"nor in another term", of("a", "b", "c"), map[raft.ServerID]word{"b": {term: 2, round: 5}, "c": {term: 4, round: 5}}, false},
		{"nor those of servers without a vote", of("a", "b", "c"), map[raft.ServerID]word{"replica": now, "new": now}, false},
		{"nor of one that is not there", of("a", "b", "c"), map[raft.ServerID]word{"d": now}, false},
		{"of five, one is not enough", of("a", "b", "c", "d", "e"), map[raft.ServerID]word{"b": now}, false},
		{"but two are", of("a", "b", "c", "d", "e"), map[raft.ServerID]word{"b": now, "e": now}, true},
		{"of four, one is not", of("a", "b", "c", "d"), map[raft.ServerID]word{"b": now}, false},
		{"who has the only vote needs no other", of("a"), nil, true},
		{"who has none needs a majority of others", of("b", "c"), map[raft.ServerID]word{"b": now}, false},
		{"and can have it", of("b", "c"), map[raft.ServerID]word{"b": now, "c": now}, true},
		{"nobody confirms nothing", of(), nil, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			f := newFollowers(time.Now)
			for id, w := range tc.words {
				f.note(id, 1, w)
			}
			if got := f.confirmed(tc.c, "a", now.term, now.round); got != tc.want {
				t.Errorf("%t, want %t", got, tc.want)
			}
		})
	}
}

// TestAnAnswerIsOfTheRoundThatItWasSentIn: what was under way when a round began confirms nothing, and
// does not undo what a later message has confirmed, in whatever order they come back.
func TestAnAnswerIsOfTheRoundThatItWasSentIn(t *testing.T) {
	three := raft.Configuration{Servers: []raft.Server{{ID: "a"}, {ID: "b"}, {ID: "c"}}}
	voters := func() raft.Configuration { return three }
	early, late := newSlow(), newSlow()
	f := newFollowers(time.Now)
	send := func(s *slowTransport) <-chan error {
		done := make(chan error, 1)
		go func() {
			done <- f.listen(s).AppendEntries("b", "b:1", &raft.AppendEntriesRequest{Term: 2}, &raft.AppendEntriesResponse{})
		}()
		<-s.sent
		return done
	}
	answer := func(s *slowTransport, done <-chan error) {
		t.Helper()
		close(s.answer)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	before := send(early)
	round := f.begin()
	after := send(late)
	confirmed := make(chan error, 1)
	go func() { confirmed <- f.confirm(t.Context(), voters, "a", 2, round) }()

	if f.confirmed(three, "a", 2, round) {
		t.Error("confirmed by nobody")
	}
	answer(late, after)
	if err := <-confirmed; err != nil {
		t.Error(err)
	}
	answer(early, before)
	if !f.confirmed(three, "a", 2, round) {
		t.Error("an earlier answer that came late has undone it")
	}

	// An answer to something earlier does not confirm a round.
	early = newSlow()
	before = send(early)
	round = f.begin()
	answer(early, before)
	ended, end := context.WithCancel(t.Context())
	end()
	if err := f.confirm(ended, voters, "a", 2, round); !errors.Is(err, context.Canceled) {
		t.Errorf("confirmed by an answer to what was sent before: %v", err)
	}
}

// slowTransport has a follower that answers when it is told to.
type slowTransport struct {
	transport
	sent, answer chan struct{}
}

func newSlow() *slowTransport {
	return &slowTransport{sent: make(chan struct{}), answer: make(chan struct{})}
}

func (s *slowTransport) AppendEntries(_ raft.ServerID, _ raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	close(s.sent)
	<-s.answer
	*resp = raft.AppendEntriesResponse{Term: args.Term, Success: true}
	return nil
}

func TestFollowersThatLeftAreForgotten(t *testing.T) {
	f := newFollowers(time.Now)
	f.note("b", 1, word{})
	f.note("c", 2, word{})
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
	m.followers.note("peer-1", m.raft.LastIndex()-1, word{})
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
