package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// TestHeldBack: a command is proposed only when every server of the configuration is
// known to understand it, whether it has a vote or not.
func TestHeldBack(t *testing.T) {
	members := map[string]*gossip.Member{
		"new":   {Name: "new", Tags: map[string]string{gossip.TagEntries: "2", "build": "0.2.0:"}},
		"newer": {Name: "newer", Tags: map[string]string{gossip.TagEntries: "7", "build": "0.7.0:"}},
		"old":   {Name: "old", Tags: map[string]string{gossip.TagEntries: "1", "build": "0.1.0:"}},
		"first": {Name: "first", Tags: map[string]string{"build": "0.0.1:"}},
		"odd":   {Name: "odd", Tags: map[string]string{gossip.TagEntries: "-2"}},
	}
	memberOf := func(id string) *gossip.Member { return members[id] }
	for _, tc := range []struct {
		rule    string
		servers string
		says    string // "": it is proposed
	}{
		{"a server alone", "self", ""},
		{"all understand", "self new newer", ""},
		{"one does not", "self new old", "old, of version 0.1.0, does not know it: upgrade all servers first"},
		{"one does not say", "self first", "first, of version 0.0.1, does not know it"},
		{"one says something odd", "self odd", "odd, of version"},
		{"one is not known", "self new lost", "server lost at lost:1 has not been met"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var servers []raft.Server
			for id := range strings.FieldsSeq(tc.servers) {
				servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id + ":1"), Suffrage: raft.Nonvoter})
			}
			err := heldBackBy(2, "self", servers, memberOf)
			if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("error is %v, want %q", err, tc.says)
			}
		})
	}
}

// TestEndingIsLeftOutWhereSomeDoNotUnderstandIt: a write that makes its key end goes on
// during an upgrade, as an entry that all understand.
func TestEndingIsLeftOutWhereSomeDoNotUnderstandIt(t *testing.T) {
	command := func() *fsm.Command {
		return &fsm.Command{Write: &kvs.Op{Verb: kvs.Set, Key: "k"}, Ties: fsm.Ties{TTL: time.Minute}, Checked: &acl.Checked{Accessor: "a"}, Ending: true}
	}
	among := func(version string) func(uint32) error {
		return func(needs uint32) error {
			return heldBackBy(needs, "self", []raft.Server{{ID: "self"}, {ID: "other"}}, func(string) *gossip.Member {
				return &gossip.Member{Name: "other", Tags: map[string]string{gossip.TagEntries: version}}
			})
		}
	}
	for version, want := range map[string]bool{"1": false, "2": false, "3": true, "4": true} {
		c := command()
		got := endingUnless(c, among(version))
		if got.Ending != want || got.Write != c.Write || got.Ties != c.Ties || got.Checked != c.Checked {
			t.Errorf("beside a server of version %s: %+v, want Ending %v", version, got, want)
		}
		if !c.Ending {
			t.Error("the command is changed, which may be tried again")
		}
		if needs := got.Needs(); !want && needs != 2 {
			t.Errorf("beside a server of version %s it needs version %d", version, needs)
		}
	}
	plain := &fsm.Command{Write: &kvs.Op{Verb: kvs.Set, Key: "k"}}
	if endingUnless(plain, func(uint32) error { t.Error("an ordinary write asks"); return nil }) != plain {
		t.Error("an ordinary write is another command")
	}
}

// TestTooOld: who does not understand what the state has needed gets no place.
func TestTooOld(t *testing.T) {
	a := &Agent{store: fsm.NewStore()}
	if err := a.tooOld(&gossip.Member{Tags: map[string]string{gossip.TagEntries: "1"}}); err != nil {
		t.Errorf("nothing was needed yet: %v", err)
	}
	if err := a.tooOld(&gossip.Member{Tags: map[string]string{gossip.TagEntries: "0"}}); err == nil {
		t.Error("what every version understands is too new for one that understands nothing")
	}
}
