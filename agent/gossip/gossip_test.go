package gossip_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/agent/gossip"
)

// options are those of a server that is quick to meet others.
func options(name string) gossip.Options {
	return gossip.Options{
		NodeName: name, NodeID: "id-" + name, Datacenter: "dc1",
		Tags: map[string]string{
			gossip.TagRole: gossip.RoleServer, gossip.TagID: "id-" + name, gossip.TagDatacenter: "dc1", gossip.TagPort: "8300", gossip.TagExpect: "3",
		},
		BindAddr: "127.0.0.1", AdvertiseAddr: "127.0.0.1",
		ReconnectWithin: time.Hour,
		Interval:        20 * time.Millisecond, Nodes: 3, ProbeInterval: 100 * time.Millisecond, ProbeTimeout: 50 * time.Millisecond,
		RetransmitMult: 4, SuspicionMult: 2, Log: hclog.NewNullLogger(),
	}
}

// start makes a member that is closed at the end of the test.
func start(t *testing.T, o gossip.Options) *gossip.Gossip {
	t.Helper()
	g, err := gossip.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// addressOf is where a member listens.
func addressOf(t *testing.T, g *gossip.Gossip, name string) string {
	t.Helper()
	m := member(g, name)
	if m == nil {
		t.Fatalf("%s does not know itself", name)
	}
	return net.JoinHostPort(m.Addr, strconv.Itoa(int(m.Port)))
}

func member(g *gossip.Gossip, name string) *gossip.Member {
	for _, m := range g.Members() {
		if m.Name == name {
			return &m
		}
	}
	return nil
}

// await waits until a member is seen in a state.
func await(t *testing.T, g *gossip.Gossip, name string, status gossip.Status) {
	t.Helper()
	end := time.After(30 * time.Second)
	for {
		changed := g.Changed()
		if m := member(g, name); m != nil && m.Status == status {
			return
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("%s is not %v after 30 s: %+v", name, status, g.Members())
		}
	}
}

func TestServersMeet(t *testing.T) {
	a, b := start(t, options("a")), start(t, options("b"))
	changed := a.Changed()
	if n, err := b.Join([]string{addressOf(t, a, "a")}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	await(t, a, "b", gossip.Alive)
	await(t, b, "a", gossip.Alive)
	select {
	case <-changed:
	case <-time.After(30 * time.Second):
		t.Error("nobody was told that a member came")
	}
	m := member(a, "b")
	if m.ID != "id-b" || m.Datacenter != "dc1" || m.ServerAddress() != "127.0.0.1:8300" || m.Expect() != 3 || m.Replica() {
		t.Errorf("%+v", m)
	}
	if a.Encrypted() {
		t.Error("encrypted without a key")
	}
}

func TestWhoDoesNotBelongIsRefused(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		change func(*gossip.Options)
		reason string
	}{
		{"a server of another datacenter", func(o *gossip.Options) { o.Datacenter, o.Tags[gossip.TagDatacenter] = "dc2", "dc2" }, "datacenter"},
		{"a server with the same id", func(o *gossip.Options) { o.NodeID, o.Tags[gossip.TagID] = "id-a", "id-a" }, "data dir copied"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			a := start(t, options("a"))
			o := options("b")
			tc.change(&o)
			b, err := gossip.Start(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			if n, err := b.Join([]string{addressOf(t, a, "a")}); err == nil || n != 0 || !strings.Contains(err.Error(), tc.reason) {
				t.Errorf("joined %d, %v; want an error with %q", n, err, tc.reason)
			}
			if member(a, "b") != nil || member(b, "a") != nil {
				t.Errorf("they met: %v and %v", a.Members(), b.Members())
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	a := start(t, options("a"))
	if n, err := a.Join([]string{"127.0.0.1:1"}); n != 0 || err == nil {
		t.Errorf("joined %d, %v", n, err)
	}
}

func TestHowAServerGoes(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		leave bool
		want  gossip.Status
	}{
		{"who leaves has left", true, gossip.Left},
		{"who is only gone has failed", false, gossip.Failed},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			a, b := start(t, options("a")), start(t, options("b"))
			if _, err := b.Join([]string{addressOf(t, a, "a")}); err != nil {
				t.Fatal(err)
			}
			await(t, a, "b", gossip.Alive)
			if tc.leave {
				if err := b.Leave(); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			await(t, a, "b", tc.want)
			if tc.leave {
				return
			}
			if err := a.ForceLeave("nobody", false); !errors.Is(err, gossip.ErrUnknownMember) {
				t.Errorf("force nobody to leave: %v", err)
			}
			if err := a.ForceLeave("b", false); err != nil {
				t.Fatal(err)
			}
			await(t, a, "b", gossip.Left)
			if err := a.ForceLeave("b", true); err != nil {
				t.Fatal(err)
			}
			if m := member(a, "b"); m != nil {
				t.Errorf("it was to be forgotten: %+v", m)
			}
		})
	}
}

func TestKeysOfGossip(t *testing.T) {
	key := func(b byte) ([]byte, string) {
		k := bytes.Repeat([]byte{b}, 32)
		return k, base64.StdEncoding.EncodeToString(k)
	}
	first, firstText := key(1)
	_, secondText := key(2)
	encrypted := func(name, dir string) gossip.Options {
		o := options(name)
		o.Dir, o.EncryptKey, o.VerifyIncoming, o.VerifyOutgoing = dir, first, true, true
		o.Interval = 200 * time.Millisecond // the time to answer a question about keys is 16 of it
		return o
	}
	dir := filepath.Join(t.TempDir(), "serf")
	a, b := start(t, encrypted("a", dir)), start(t, encrypted("b", t.TempDir()))
	if _, err := b.Join([]string{addressOf(t, a, "a")}); err != nil {
		t.Fatal(err)
	}
	await(t, a, "b", gossip.Alive)
	if c := start(t, options("c")); true {
		if _, err := c.Join([]string{addressOf(t, a, "a")}); err == nil {
			t.Error("a server without the key was let in")
		}
	}
	var failed *gossip.KeyError
	if err := a.UseKey(secondText, 0); !errors.As(err, &failed) || failed.Failed != 2 {
		t.Errorf("use a key that nobody has: %v", err)
	}
	if err := a.RemoveKey(firstText, 0); !errors.As(err, &failed) {
		t.Errorf("remove the key in use: %v", err)
	}
	for _, step := range []struct {
		what string
		do   func(string, uint8) error
		key  string
		keys []string // first: in use
	}{
		{"install", a.InstallKey, secondText, []string{firstText, secondText}},
		{"use", b.UseKey, secondText, []string{secondText, firstText}},
		{"remove", a.RemoveKey, firstText, []string{secondText}},
	} {
		if err := step.do(step.key, 0); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		got, err := b.ListKeys(0)
		if err != nil || got.Members != 2 || len(got.Keys) != len(step.keys) || got.Primary[step.keys[0]] != 2 {
			t.Errorf("after %s: %+v, %v", step.what, got, err)
		}
		for _, k := range step.keys {
			if got.Keys[k] != 2 {
				t.Errorf("after %s: %d members have key %s", step.what, got.Keys[k], k)
			}
		}
	}
	file := filepath.Join(dir, "local.keyring")
	data, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(data, []byte(secondText)) || bytes.Contains(data, []byte(firstText)) {
		t.Errorf("kept: %s, %v", data, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read the keys: %v, %v", info, err)
	}
	// After a restart the kept key counts, not the one in the configuration.
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, encrypted("a", dir))
	if _, err := again.Join([]string{addressOf(t, b, "b")}); err != nil {
		t.Errorf("the changed key was not kept: %v", err)
	}
}

func TestKeyFilesThatCannotBeRead(t *testing.T) {
	for _, tc := range []struct{ rule, data string }{
		{"no JSON", "x"},
		{"no base64", `["?"]`},
		{"no key", `["AA=="]`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			o := options("a")
			o.Dir = t.TempDir()
			if err := os.WriteFile(filepath.Join(o.Dir, "local.keyring"), []byte(tc.data), 0o600); err != nil {
				t.Fatal(err)
			}
			if g, err := gossip.Start(o); err == nil || !strings.Contains(err.Error(), "local.keyring") {
				if g != nil {
					_ = g.Close()
				}
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestKeysMayBeKeptNowhere(t *testing.T) {
	o := options("a")
	o.Dir, o.EncryptKey, o.NoKeyringFile = t.TempDir(), bytes.Repeat([]byte{1}, 16), true
	if g := start(t, o); !g.Encrypted() {
		t.Error("not encrypted")
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "local.keyring")); !os.IsNotExist(err) {
		t.Errorf("a file of keys: %v", err)
	}
}

func TestAServerMayComeBackUnderAnotherName(t *testing.T) {
	a, b := start(t, options("a")), start(t, options("b"))
	if _, err := b.Join([]string{addressOf(t, a, "a")}); err != nil {
		t.Fatal(err)
	}
	await(t, a, "b", gossip.Alive)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, a, "b", gossip.Failed)
	o := options("c")
	o.NodeID, o.Tags[gossip.TagID] = "id-b", "id-b"
	c := start(t, o)
	if _, err := c.Join([]string{addressOf(t, a, "a")}); err != nil {
		t.Fatal(err)
	}
	await(t, a, "c", gossip.Alive)
	await(t, c, "a", gossip.Alive)
}
