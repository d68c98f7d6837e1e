package torture

import (
	"net/http"
	"time"
)

// stalePause is the pause between two stale reads of one server.
const stalePause = 10 * time.Millisecond

// staleReader reads from one server whatever that server has, and sees to it that what
// it has never gets older.
type staleReader struct {
	load   *Load
	client *client
	seen   sight
}

func (l *Load) startStale(c *client) {
	s := &staleReader{load: l, client: c, seen: newSight(l, c.id, "a stale read")}
	l.stale = append(l.stale, s)
	l.reads.Go(s.run)
}

func (s *staleReader) run() {
	ctx := s.load.reading
	for ctx.Err() == nil {
		a := s.client.do(ctx, http.MethodGet, "/v1/kv/"+watchPrefix+"?recurse&stale", "")
		if a.outcome != done {
			rest(ctx, afterError)
			continue
		}
		s.seen.look(a)
		rest(ctx, stalePause)
	}
}

// sight is what one client has seen of the watched keys at one server. It is for one
// goroutine.
type sight struct {
	load   *Load
	server int
	by     string            // what looks, for messages
	keys   map[string]uint64 // index of each key that was seen
	index  uint64            // of the last answer
}

func newSight(l *Load, server int, by string) sight {
	return sight{load: l, server: server, by: by, keys: map[string]uint64{}}
}

// look takes an answer in and notes what has become older. Watched keys are never
// deleted, so one that has been seen is there.
func (s *sight) look(a answer) []entry {
	list, err := a.entries()
	if err != nil {
		s.load.faults.add("server %d, %s: %v", s.server, s.by, err)
		return nil
	}
	now := map[string]uint64{}
	for _, e := range list {
		now[e.Key] = e.ModifyIndex
	}
	for key, before := range s.keys {
		if now[key] < before {
			s.load.faults.add("server %d, %s of %s goes back from index %d to %d", s.server, s.by, key, before, now[key])
		}
	}
	for key, index := range now {
		s.keys[key] = max(index, s.keys[key])
	}
	if a.index < s.index {
		s.load.faults.add("server %d, %s: X-Consul-Index goes back from %d to %d", s.server, s.by, s.index, a.index)
	}
	s.index = max(s.index, a.index)
	return list
}
