//go:build unix

package testcluster

import "testing"

// Mode is a past that a server may have; none of them may show in its answers.
type Mode string

const (
	// Single is a server that was just started, with nothing behind it.
	Single Mode = "single"
	// Restarted is a server that was stopped and started again over its data.
	Restarted Mode = "restarted"
	// Restored is a new server that was given another server's snapshot.
	Restored Mode = "restored"
)

// Modes are all the pasts.
func Modes() []Mode { return []Mode{Single, Restarted, Restored} }

// EachMode runs test once per Mode, each against a server of its own as a subtest
// named after the mode. The store is empty when test begins.
//
// A test that writes first and reads later should call Server.Turn between the two:
// then what it wrote goes through the mode's change too.
func EachMode(t *testing.T, opts Options, test func(t *testing.T, s *Server)) {
	t.Helper()
	for _, mode := range Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Helper()
			s := Start(t, opts)
			s.mode = mode
			if mode != Single {
				s.Put("testcluster/past", string(mode))
				s.Turn()
				s.Delete("")
			}
			test(t, s)
		})
	}
}

// Turn does to the server what its mode says: nothing, a restart, or moving its state
// by way of a snapshot to a new server with an empty data directory. The address
// stays the same; connections and parked queries end.
func (s *Server) Turn() {
	s.tb.Helper()
	switch s.mode {
	case Restarted:
		s.Restart()
	case Restored:
		archive := s.Snapshot()
		s.Term()
		s.Wipe()
		s.Start()
		s.Restore(archive)
	}
}
