package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/agent/rpc"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
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

// TestLeaderKnowsOfAServerThatDoesNotUnderstand: it has met others than the server that sends; then
// the write goes on without Ending, once.
func TestLeaderKnowsOfAServerThatDoesNotUnderstand(t *testing.T) {
	said := &rpc.Refused{Why: rpcpb.Refusal_REFUSAL_NOT_UNDERSTOOD, Text: "upgrade b first"}
	if got := refusal(said); got != error(said) {
		t.Errorf("the leader says %v in place of %v", got, said)
	}
	refused := meaning(said)
	other := errors.New("disk full")
	for _, tc := range []struct {
		name    string
		ending  bool
		answers []error // of the leader
		want    error
	}{
		{"it takes it", true, []error{nil}, nil},
		{"it takes it without", true, []error{refused, nil}, nil},
		{"it refuses that too", true, []error{refused, other}, other},
		{"it refuses for another reason", true, []error{other}, other},
		{"there was none", false, []error{refused}, refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &fsm.Command{Ending: tc.ending}
			sent := 0
			_, err := asUnderstood(c, func(got *fsm.Command) (fsm.Result, error) {
				if got.Ending != (tc.ending && sent == 0) {
					t.Errorf("Ending is %v in try %d", got.Ending, sent+1)
				}
				sent++
				return fsm.Result{}, tc.answers[sent-1]
			})
			if !errors.Is(err, tc.want) || sent != len(tc.answers) || c.Ending != tc.ending {
				t.Errorf("error %v after %d tries, Ending %v; want %v after %d", err, sent, c.Ending, tc.want, len(tc.answers))
			}
		})
	}
	if refused.Error() != "upgrade b first" {
		t.Errorf("the text is %q", refused)
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
