package agent

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// TestKeyring is the life of keys of a gossip of one server.
func TestKeyring(t *testing.T) {
	key := func(b string) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(b, 32))) }
	m := startWithGossip(t, key("a"))
	do := func(op httpapi.KeyringOp, key string) ([]httpapi.KeyringMembers, error) {
		return m.Keyring(t.Context(), httpapi.KeyringRequest{Op: op, Key: key})
	}
	check := func(primary string, keys ...string) {
		t.Helper()
		list, err := do(httpapi.KeyringList, "")
		if err != nil || len(list) != 1 {
			t.Fatalf("list: %v, %v", list, err)
		}
		got := list[0]
		if len(got.Keys) != len(keys) || got.NumNodes != 1 || got.PrimaryKeys[primary] != 1 {
			t.Errorf("the keys are %v, in use %v, of %d servers; want %v, %s, 1", got.Keys, got.PrimaryKeys, got.NumNodes, keys, primary)
		}
		for _, k := range keys {
			if got.Keys[k] != 1 {
				t.Errorf("%d servers have the key %s, want 1", got.Keys[k], k)
			}
		}
	}
	must := func(op httpapi.KeyringOp, key string) {
		t.Helper()
		if _, err := do(op, key); err != nil {
			t.Errorf("operation %v: %v", op, err)
		}
	}
	check(key("a"), key("a"))
	must(httpapi.KeyringInstall, key("b"))
	check(key("a"), key("a"), key("b"))
	must(httpapi.KeyringUse, key("b"))
	check(key("b"), key("a"), key("b"))
	must(httpapi.KeyringRemove, key("a"))
	check(key("b"), key("b"))

	for _, bad := range []string{"", "no base64", base64.StdEncoding.EncodeToString([]byte("short"))} {
		if _, err := do(httpapi.KeyringInstall, bad); err == nil || !strings.Contains(err.Error(), "16, 24 or 32 bytes") {
			t.Errorf("the key %q is refused with %v", bad, err)
		}
	}
	var failed *httpapi.KeyringError
	if _, err := do(httpapi.KeyringRemove, key("b")); !errors.As(err, &failed) || failed.Members != 1 || failed.Failed != 1 || len(failed.Messages) != 1 {
		t.Errorf("the key in use is removed: %v", err)
	}
	if _, err := do(httpapi.KeyringUse, key("c")); !errors.As(err, &failed) {
		t.Errorf("a key that is not installed is used: %v", err)
	}
}

// TestKeyringWithoutKeys: a gossip that is not encrypted, or none, has no keys.
func TestKeyringWithoutKeys(t *testing.T) {
	alone, _ := startInMemory(t, Options{})
	for name, m := range map[string]*inMemory{"without gossip": alone, "without encryption": startWithGossip(t, "")} {
		var failed *httpapi.KeyringError
		_, err := m.Keyring(t.Context(), httpapi.KeyringRequest{Op: httpapi.KeyringList})
		if !errors.As(err, &failed) || failed.Failed != 1 || failed.Messages["node-1"] != gossip.ErrNotEncrypted.Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMembersOfOne: a server with gossip that is alone is its only member, and leaves
// without asking anybody.
func TestMembersOfOne(t *testing.T) {
	m := startWithGossip(t, "")
	members := m.Members(false)
	if len(members) != 1 || members[0].Name != "node-1" || members[0].Tags["id"] != m.nodeID {
		t.Errorf("the members are %+v", members)
	}
	if !m.lives(m.nodeID) || m.lives("another") {
		t.Error("who lives is itself and nobody else")
	}
	if known := m.addresses(); len(known) != 1 || !known[string(m.address)] {
		t.Errorf("known addresses are %v, want %s", known, m.address)
	}
	own := m.gossip.Members()[0]
	if err := m.admit(t.Context(), &own); err != nil {
		t.Errorf("who has a place is admitted: %v", err)
	}
	stranger := own
	stranger.ID = "6b4f0c3e-9d1f-4a52-8a77-0b6d6c1c3f10" // says the gossip, of the address of another
	if err := m.admit(t.Context(), &stranger); err == nil || !strings.Contains(err.Error(), "answers the server with the id "+m.nodeID) {
		t.Errorf("who is not who the gossip says is refused with %v", err)
	}
	if slices.Contains(m.PeerAddresses(), "stranger") || len(m.PeerAddresses()) != 1 {
		t.Errorf("the configuration has %v", m.PeerAddresses())
	}
	if err := m.markMember(t.Context(), &stranger, "passing", ""); err != nil || m.store.View().Catalog().Node("node-1").ID != m.nodeID {
		t.Errorf("another server has taken the node: %v", err)
	}
	if err := m.dismiss(t.Context(), &own); err != nil || len(m.PeerAddresses()) != 1 {
		t.Errorf("who lives is dismissed: %v", err)
	}
	if err := m.Leave(t.Context()); err != nil {
		t.Errorf("leave: %v", err)
	}
	if err := m.removeHere(t.Context(), "nobody", "", nil); err == nil || err.Error() != `id "nobody" was not found in the Raft configuration` {
		t.Errorf("remove nobody: %v", err)
	}
}

// startWithGossip runs a server in memory that others could join.
func startWithGossip(t *testing.T, encrypt string) *inMemory {
	t.Helper()
	cfg := testConfig()
	cfg.Ports.Server, cfg.Ports.SerfLAN = 0, 0
	cfg.Gossip.SerfLANBind, cfg.Gossip.EncryptKey = "127.0.0.1", encrypt
	m, _ := startInMemory(t, Options{Loaded: &config.Loaded{Config: cfg, Settings: []config.Setting{
		{Name: "ports.server", Source: "file"}, {Name: "ports.serf_lan", Source: "file"},
	}}})
	return m
}
