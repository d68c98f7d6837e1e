package agent

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/config"
)

// reached waits until a condition holds.
func reached(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// TestRevocationEndsDownloadsAndProfiles: a client that reads a large answer slowly gets no
// more of it than is on its way when its token is deleted, and sees that it is cut off; who
// has a profile taken is answered 403.
func TestRevocationEndsDownloadsAndProfiles(t *testing.T) {
	for _, server := range []string{config.ServerHTTP1, config.ServerNetHTTP} {
		t.Run(strings.ReplaceAll(server, "/", " "), func(t *testing.T) {
			m := withACLs(t, func(cfg *config.Config) { cfg.HTTP.Server, cfg.EnableDebug = server, true }, nil)
			const values = 32 // so much that no socket takes it all
			for i := range values {
				path := fmt.Sprintf("/v1/kv/big/%d", i)
				if status, _, text := m.ask(t, http.MethodPut, path, strings.Repeat("v", 500<<10), "X-Consul-Token", management); status != http.StatusOK {
					t.Fatal(status, text)
				}
			}
			t.Run("large answer", func(t *testing.T) { m.revokeDownload(t, 1, "/v1/kv/big/?recurse") })
			t.Run("snapshot", func(t *testing.T) { m.revokeDownload(t, 2, "/v1/snapshot") })
			t.Run("profile", func(t *testing.T) { m.revokeProfile(t, 3) })
		})
	}
}

// revoke deletes the token that token made.
func (m *inMemory) revoke(t *testing.T, accessor string) {
	t.Helper()
	m.change(t, &acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{accessor}}})
}

func (m *inMemory) revokeDownload(t *testing.T, n int, path string) {
	who := m.token(t, n, time.Time{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(m.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\nX-Consul-Token: %s\r\n\r\n", path, who.Token.Secret); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%+v, %v", res, err)
	}
	defer res.Body.Close()
	m.token(t, 10+n, time.Time{})
	if m.api.Busy() != 1 {
		t.Fatal("the answer does not last: it must be larger")
	}
	m.revoke(t, who.Accessor)
	reached(t, "nothing more is sent", func() bool { return m.api.Busy() == 0 })
	if got, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Errorf("the client was sent %d bytes and thinks that this is all", got)
	}
	if !strings.Contains(m.deniedTo(t, who.Accessor), strings.SplitN(path, "?", 2)[0]) {
		t.Error("the denial is not in the list of them")
	}
}

// deniedTo is what the server remembers of denials of somebody.
func (m *inMemory) deniedTo(t *testing.T, accessor string) string {
	t.Helper()
	_, _, text := m.ask(t, http.MethodGet, "/v1/acl/denials?accessor="+accessor, "", "X-Consul-Token", management)
	return text
}

func (m *inMemory) revokeProfile(t *testing.T, n int) {
	who := m.token(t, n, time.Time{})
	before := m.store.Topics().Len()
	type answer struct {
		status int
		text   string
	}
	answered := make(chan answer, 1)
	go func() {
		status, header, text := m.ask(t, http.MethodGet, "/debug/pprof/profile?seconds=3600", "", "X-Consul-Token", who.Token.Secret)
		if header.Get("Content-Disposition") != "" {
			text += " as an attachment"
		}
		answered <- answer{status, text}
	}()
	reached(t, "the profile is under way", func() bool { return m.store.Topics().Len() > before })
	m.revoke(t, who.Accessor)
	if got := <-answered; got != (answer{http.StatusForbidden, "ACL not found"}) {
		t.Errorf("answer is %+v", got)
	}
}
