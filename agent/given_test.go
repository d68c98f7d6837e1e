package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/rpc"
	"github.com/holdfast-kv/holdfast/agent/rpc/rpcpb"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// leaderAct is something that a leader does and no log entry says.
type leaderAct struct {
	name string
	here func(ctx context.Context, given *acl.Given) error
	sent func(ctx context.Context, given *rpcpb.Given) error // another server has asked
	says string                                              // what is answered to who may
}

// leaderActs are all of them, each about something that is not there, but for the restore,
// which must be refused before any of it is taken, and before it would change anything.
func (m *inMemory) leaderActs(t *testing.T) []leaderAct {
	t.Helper()
	b := &backend{m.Agent}
	var state bytes.Buffer
	if _, err := fsm.NewStore().Snapshot().WriteTo(&state); err != nil {
		t.Fatal(err)
	}
	tooShort := &rpcpb.RestoreMeta{Size: int64(state.Len()) + 1} // so that nobody's succeeds
	return []leaderAct{
		{
			"remove a server",
			func(ctx context.Context, g *acl.Given) error { return m.RemovePeer(ctx, "nobody", "", g) },
			func(ctx context.Context, g *rpcpb.Given) error { return b.RemovePeer(ctx, "nobody", "", g) },
			`id "nobody" was not found in the Raft configuration`,
		},
		{
			"hand leadership over",
			func(ctx context.Context, g *acl.Given) error { return m.TransferLeader(ctx, "nobody", g) },
			func(ctx context.Context, g *rpcpb.Given) error { return b.TransferLeader(ctx, "nobody", g) },
			"Could not find address for server id nobody",
		},
		{
			"renew a session",
			func(ctx context.Context, g *acl.Given) error {
				_, err := m.RenewSession(ctx, "none", g)
				return err
			},
			func(ctx context.Context, g *rpcpb.Given) error {
				_, _, err := b.RenewSession(ctx, "none", g)
				return err
			},
			"",
		},
		{
			"restore",
			func(ctx context.Context, g *acl.Given) error {
				kept, err := m.keep()
				if err != nil {
					t.Fatal(err)
				}
				defer kept.Discard()
				if broken, err := kept.Take(strings.NewReader("no state")); broken == nil || err != nil {
					t.Fatalf("it is not broken: %v", err)
				}
				return m.Restore(ctx, httpapi.SnapshotMeta{}, kept, g)
			},
			func(ctx context.Context, g *rpcpb.Given) error {
				r := bytes.NewReader(state.Bytes())
				meta := &rpcpb.RestoreMeta{Size: tooShort.GetSize(), Given: g}
				_, err := b.Restore(ctx, meta, r)
				if err != nil && !strings.Contains(err.Error(), "receive the archive") && r.Len() != state.Len() {
					t.Errorf("of the archive of somebody who was refused %d bytes are taken: %v", state.Len()-r.Len(), err)
				}
				return err
			},
			"restore snapshot|receive the archive",
		},
	}
}

// TestRevokedTokenRestoresNothingAndRemovesNobody: another server has found that somebody
// may; before the leader does it, their token is deleted, or is given less. Nor does the
// leader do what nobody has looked at.
func TestRevokedTokenRestoresNothingAndRemovesNobody(t *testing.T) {
	m := withACLs(t, nil, nil)
	if status, _, text := m.ask(t, http.MethodPut, "/v1/kv/app/a", "kept", "X-Consul-Token", management); status != http.StatusOK {
		t.Fatal(status, text)
	}
	deleted, lessened, held := m.token(t, 1, time.Time{}), m.token(t, 2, time.Time{}), m.token(t, 3, time.Time{})
	ended := m.token(t, 4, time.Now().Add(time.Hour))
	ended.Checked.Expires = 1
	to := func(who *acl.Identity) *acl.Given {
		return &acl.Given{Who: who.Checked, Resource: acl.ResourceOperator, Access: acl.AccessWrite}
	}
	m.change(t, &acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{deleted.Accessor}}})
	less := *lessened.Token
	less.Links = acl.Links{}
	m.change(t, &acl.Change{SetToken: &acl.SetToken{Token: &less}})
	for _, act := range m.leaderActs(t) {
		for _, tc := range []struct {
			rule  string
			given *acl.Given
			why   rpcpb.Refusal // 0: it may
			text  string
		}{
			{"nobody has looked", nil, rpcpb.Refusal_REFUSAL_FAILED, errUnchecked.Error()},
			{"the token is deleted", to(deleted), rpcpb.Refusal_REFUSAL_DENIED, "ACL not found"},
			{"the token has ended", to(ended), rpcpb.Refusal_REFUSAL_DENIED, "ACL not found"},
			{
				"the token has lost its rules", to(lessened), rpcpb.Refusal_REFUSAL_DENIED,
				fmt.Sprintf("Permission denied: token with AccessorID '%s' lacks permission 'operator:write'", lessened.Accessor),
			},
			{"the token has its rights", to(held), 0, ""},
			{"the server does it by itself", ownAct, 0, ""},
		} {
			t.Run(act.name+", "+tc.rule, func(t *testing.T) {
				asked, err := givenToProto(tc.given)
				if err != nil {
					t.Fatal(err)
				}
				here, there := act.here(t.Context(), tc.given), act.sent(t.Context(), asked)
				if tc.why == 0 {
					for _, err := range []error{here, there} {
						if !saysOneOf(err, act.says) {
							t.Errorf("who may is answered %v, want %q", err, act.says)
						}
					}
					return
				}
				if here == nil || here.Error() != tc.text {
					t.Errorf("here it is answered %v, want %q", here, tc.text)
				}
				var refused *rpc.Refused
				if !errors.As(there, &refused) || refused.Why != tc.why || refused.Text != tc.text {
					t.Errorf("another server is answered %v, want %v %q", there, tc.why, tc.text)
				}
			})
		}
	}
	if status, _, text := m.ask(t, http.MethodGet, "/v1/kv/app/a?raw", "", "X-Consul-Token", management); status != http.StatusOK || text != "kept" {
		t.Errorf("afterwards the key is %d %q", status, text)
	}
}

// saysOneOf tells whether an error has one of some texts, separated by bars; none is no error.
func saysOneOf(err error, texts string) bool {
	if err == nil || texts == "" {
		return err == nil && texts == ""
	}
	for text := range strings.SplitSeq(texts, "|") {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// TestALeaderWithoutAccessControlLooksAgain, too, at what another server has looked at, and
// does what was asked for by servers without it.
func TestALeaderWithoutAccessControlLooksAgain(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	m.change(t, &acl.Change{Init: &acl.Init{Key: []byte("0123456789abcdef0123456789abcdef")}})
	for _, tc := range []struct {
		given *acl.Given
		want  string
	}{
		{nil, `id "nobody" was not found in the Raft configuration`},
		{&acl.Given{Who: &acl.Checked{Accessor: "gone"}, Resource: acl.ResourceOperator, Access: acl.AccessWrite}, "ACL not found"},
	} {
		if err := m.RemovePeer(t.Context(), "nobody", "", tc.given); err == nil || err.Error() != tc.want {
			t.Errorf("%+v: %v, want %q", tc.given, err, tc.want)
		}
	}
}

// TestGivenTravels from one server to the other as it is, and rubbish gives nothing.
func TestGivenTravels(t *testing.T) {
	for _, g := range []*acl.Given{
		nil,
		ownAct,
		{Who: &acl.Checked{Accessor: "a", Index: 7, Secret: 9, Datacenter: "dc1", Expires: 5}, Resource: acl.ResourceOperator, Access: acl.AccessWrite},
		{Who: &acl.Checked{Accessor: "a", Default: acl.DefaultAllow}, Resource: acl.ResourceKey, Access: acl.AccessWritePrefix, Name: "no\xffUTF-8"},
		{Who: &acl.Checked{Accessor: "cert", Links: &acl.Links{Roles: []string{"r"}}, Vars: map[string]string{"name": "web"}}, Resource: acl.ResourceACL, Access: acl.AccessWrite},
	} {
		m, err := givenToProto(g)
		if err != nil {
			t.Fatal(err)
		}
		got, err := givenFromProto(m)
		if diff := cmp.Diff(g, got); err != nil || diff != "" {
			t.Errorf("it arrives as another: %v\n%s", err, diff)
		}
	}
	who, err := fsm.EncodeChecked(&acl.Checked{Accessor: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*rpcpb.Given{
		{Checked: []byte{0xff}, Resource: "operator", Access: "write"},
		{Checked: who},
		{Checked: who, Resource: "opera", Access: "write"},
		{Checked: who, Resource: "operator", Access: "all"},
	} {
		if g, err := givenFromProto(m); err == nil {
			t.Errorf("%v is taken for %+v", m, g)
		}
	}
}
