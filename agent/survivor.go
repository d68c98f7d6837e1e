package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/datadir"
	"github.com/holdfast-kv/holdfast/agent/logstore"
)

// Survivor tells how far a server is that does not run: one that is left of a cluster
// which has lost its majority for good.
type Survivor struct {
	NodeID string

	// LastTerm and LastIndex are those of its last log entry. Who has the higher term
	// is further, and of those with the same who has the higher index: that server has
	// every write that was ever acknowledged, if one of those compared has.
	LastTerm, LastIndex uint64

	// SnapshotIndex is up to where its newest snapshot goes: so much was committed. 0
	// without one.
	SnapshotIndex uint64

	// Servers are the last configuration of the cluster in its log.
	Servers []SurvivorPeer
}

// SurvivorPeer is a server of the last configuration that a survivor knows.
type SurvivorPeer struct {
	ID      string
	Address string // of the server port
	Voter   bool
}

// Compare is negative, zero or positive as s is less far than, as far as, or further
// than other.
func (s *Survivor) Compare(other *Survivor) int {
	return cmp.Or(cmp.Compare(s.LastTerm, other.LastTerm), cmp.Compare(s.LastIndex, other.LastIndex))
}

// Knows is the server with an id in the last configuration; nil when there is none.
func (s *Survivor) Knows(id string) *SurvivorPeer {
	for i := range s.Servers {
		if s.Servers[i].ID == id {
			return &s.Servers[i]
		}
	}
	return nil
}

// StoppedServer is the data dir of a server that does not run, and kept from running
// until Close.
type StoppedServer struct {
	Survivor
	dir *datadir.Dir
}

// OpenStopped looks at the data dir of a server, which must not run. The error is one
// line for the operator; a running server's is a *datadir.LockedError.
func OpenStopped(path string) (s *StoppedServer, err error) {
	if !datadir.Used(path) {
		return nil, fmt.Errorf("%s is not the data dir of a server that was part of a cluster", path)
	}
	dir, err := datadir.Open(path, datadir.Options{})
	if err != nil {
		return nil, err
	}
	s = &StoppedServer{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, dir.Close())
			s = nil
		}
	}()
	if s.NodeID, err = dir.NodeID(""); err != nil {
		return s, err
	}
	storage, err := logstore.Open(dir.RaftDir(), logstore.Options{Initialised: true, OnInitialised: dir.MarkInitialised})
	if err != nil {
		return s, err
	}
	return s, errors.Join(s.survey(storage), storage.Close())
}

// Close lets the server be started again.
func (s *StoppedServer) Close() error { return s.dir.Close() }

// survey finds out how far the log goes and which servers it names.
func (s *StoppedServer) survey(storage *logstore.Store) error {
	snapshots, err := storage.Snapshots().List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	var config raft.Configuration
	if len(snapshots) > 0 { // the newest is first
		newest := snapshots[0]
		s.SnapshotIndex, s.LastIndex, s.LastTerm, config = newest.Index, newest.Index, newest.Term, newest.Configuration
	}
	first, _ := storage.FirstIndex() // they cannot fail
	last, _ := storage.LastIndex()
	var entry raft.Log
	for i := last; i >= max(first, s.SnapshotIndex+1) && i > 0; i-- {
		if err := storage.GetLog(i, &entry); err != nil {
			return fmt.Errorf("read log entry %d: %w", i, err)
		}
		if i == last {
			s.LastIndex, s.LastTerm = entry.Index, entry.Term
		}
		if entry.Type == raft.LogConfiguration {
			config = raft.DecodeConfiguration(entry.Data)
			break
		}
	}
	for _, server := range config.Servers {
		s.Servers = append(s.Servers, SurvivorPeer{ID: string(server.ID), Address: string(server.Address), Voter: server.Suffrage == raft.Voter})
	}
	if s.Knows(s.NodeID) == nil {
		return fmt.Errorf("the last configuration in the log of %s does not name this server, %s: it was taken out of the cluster, or its log is "+
			"another's; another survivor must be recovered", s.dir.Path(), s.NodeID)
	}
	return nil
}

// MakeSole leaves word in the data dir that this server alone is the cluster, as if an
// operator had written the file for it. It counts at the next start, once.
func (s *StoppedServer) MakeSole() error {
	path := filepath.Join(s.dir.RaftDir(), peersFile)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already: start the server, which will go by it, or remove it", path)
	}
	type peer struct {
		ID      string `json:"id"`
		Address string `json:"address"`
	}
	text, err := json.MarshalIndent([]peer{{ID: s.NodeID, Address: s.Knows(s.NodeID).Address}}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", peersFile, err)
	}
	return datadir.WriteFile(path, append(text, '\n'))
}

// MayRecover says why nothing may be recovered from s, nil if it may. others are the
// survivors that were looked at beside it. It asks every other server of the last
// configuration whether it is there.
func (s *Survivor) MayRecover(others []Survivor) error {
	answering := s.answering()
	furthest, voters := s, 0
	for i := range others {
		if others[i].Compare(furthest) > 0 {
			furthest = &others[i]
		}
	}
	left := []string{s.NodeID} // servers that are not lost
	for i := range others {
		left = append(left, others[i].NodeID)
	}
	left = append(left, answering...)
	slices.Sort(left)
	left = slices.Compact(left)
	leftVoters := 0
	for _, p := range furthest.Servers {
		if p.Voter {
			voters++
			if slices.Contains(left, p.ID) {
				leftVoters++
			}
		}
	}
	switch {
	case leftVoters >= voters/2+1:
		return fmt.Errorf("no majority is lost: %d of %d servers with a vote are there. Start those that are stopped, and they go on", leftVoters, voters)
	case len(answering) > 0:
		return fmt.Errorf("server %s of this cluster answers at %s: stop it, and give its report, too", answering[0], furthest.addressOf(answering[0], s))
	case furthest != s:
		return fmt.Errorf("server %s is further, at term %d, index %d: recover that one. Then start this one with an empty data dir",
			furthest.NodeID, furthest.LastTerm, furthest.LastIndex)
	}
	return nil
}

func (s *Survivor) addressOf(id string, other *Survivor) string {
	for _, v := range []*Survivor{s, other} {
		if p := v.Knows(id); p != nil {
			return p.Address
		}
	}
	return "(unknown)"
}

// answerWithin is how long another server has to take a connection.
const answerWithin = 2 * time.Second

// answering are the ids of the other servers whose port takes a connection.
func (s *Survivor) answering() []string {
	var mu sync.Mutex
	var ids []string
	var asked sync.WaitGroup
	for _, p := range s.Servers {
		if p.ID == s.NodeID {
			continue
		}
		asked.Go(func() {
			conn, err := net.DialTimeout("tcp", p.Address, answerWithin)
			if err != nil {
				return // nobody is there, or nobody that helps
			}
			_ = conn.Close() // nothing was sent
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, p.ID)
		})
	}
	asked.Wait()
	slices.Sort(ids)
	return ids
}

// Survivors checks that reports are of this server's cluster, each of another server.
func (s *Survivor) Survivors(reports []Survivor) error {
	seen := map[string]bool{s.NodeID: true}
	for i := range reports {
		r := &reports[i]
		switch {
		case r.NodeID == "" || r.LastIndex == 0 || len(r.Servers) == 0:
			return errors.New("a report says nothing: it must be what this command prints with -format=json on another server")
		case seen[r.NodeID]:
			return fmt.Errorf("there are two reports of server %s, or it is this one", r.NodeID)
		case s.Knows(r.NodeID) == nil && r.Knows(s.NodeID) == nil:
			return fmt.Errorf("the report of server %s is of another cluster: neither knows the other", r.NodeID)
		}
		seen[r.NodeID] = true
	}
	return nil
}
