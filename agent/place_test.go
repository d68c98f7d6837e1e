package agent

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestPlace: a server is removed when the configuration had it in this run and has it no
// more; to be told to join makes it another run.
func TestPlace(t *testing.T) {
	with := []raft.Server{{ID: "a"}, {ID: "self"}}
	without := []raft.Server{{ID: "a"}}
	p := newPlace("self")
	first, removed := p.look(without)
	if removed {
		t.Error("a server that was not in the configuration yet counts as removed")
	}
	for _, step := range []struct {
		rule    string
		servers []raft.Server
		removed bool
	}{
		{"it has its place", with, false},
		{"it was taken out", without, true},
		{"an empty configuration says nothing", nil, false},
		{"still", without, true},
		{"it was put in again", with, false},
		{"and taken out again", without, true},
	} {
		if run, removed := p.look(step.servers); removed != step.removed || run != first {
			t.Errorf("%s: run %q, removed %v; want run %q, removed %v", step.rule, run, removed, first, step.removed)
		}
	}
	p.renew()
	if run, removed := p.look(without); removed || run == first {
		t.Errorf("told to join: run %q, removed %v; want another run than %q, not removed", run, removed, first)
	}
}

// TestRemovals: who was removed is remembered for the run in which it was.
func TestRemovals(t *testing.T) {
	var r removals
	if r.still("a", "1") {
		t.Error("nobody was removed")
	}
	r.note("a", "1")
	if !r.still("a", "1") || r.still("b", "1") {
		t.Error("a was removed in run 1, and nobody else")
	}
	if r.still("a", "2") {
		t.Error("it is in another run")
	}
	if r.still("a", "1") {
		t.Error("it is not forgotten")
	}
}
