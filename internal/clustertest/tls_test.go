package clustertest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/certs"
	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// wallet is a folder with certificates of one authority.
type wallet struct {
	t         *testing.T
	dir       string
	authority *certs.Authority
}

var validity = certs.Validity{From: time.Now().Add(-time.Hour), Until: time.Now().Add(24 * time.Hour)}

func newWallet(t *testing.T) wallet {
	t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityRequest{Name: "test authority", Validity: validity})
	if err != nil {
		t.Fatal(err)
	}
	w := wallet{t, t.TempDir(), a}
	w.write("ca.pem", a.Pair().Cert)
	return w
}

func (w wallet) write(name string, data []byte) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// rpc is tls.internal_rpc with a certificate for host and what else is set.
func (w wallet) rpc(host string, set map[string]any) map[string]any {
	w.t.Helper()
	pair, err := w.authority.Issue(certs.Request{
		Name: host, DNSNames: []string{host, "localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Client: true, Validity: validity,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	block := map[string]any{
		"ca_file": filepath.Join(w.dir, "ca.pem"), "cert_file": w.write(host+".pem", pair.Cert), "key_file": w.write(host+"-key.pem", pair.Key),
	}
	for k, v := range set {
		block[k] = v
	}
	return map[string]any{"internal_rpc": block}
}

// Names that certificates are for.
const (
	serverHost = "server.dc1.consul"
	clientHost = "client.dc1.consul"
)

// TestTLSBetweenServers: three servers that want certificates of each other are one
// store, and who has none, or the wrong one, gets no place in it and is told why.
func TestTLSBetweenServers(t *testing.T) {
	slow(t)
	w := newWallet(t)
	strict := map[string]any{"verify_incoming": true, "verify_outgoing": true, "verify_server_hostname": true}
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{
		Each: testcluster.Options{Config: map[string]any{"tls": w.rpc(serverHost, strict)}},
	})
	c.Followers()[0].Put("a", "1")
	if value, _ := c.Followers()[1].Get("a"); value != "1" {
		t.Fatalf("the other follower holds %q", value)
	}
	another := newWallet(t)
	for _, tc := range []struct {
		rule  string
		tls   map[string]any
		knock func(*testing.T, string)
		in    string // what the leader says of a connection of it
		out   string // and of its own connection to it
	}{
		{
			"one without TLS",
			map[string]any{},
			knockPlain,
			"it is not encrypted, and tls.internal_rpc.verify_incoming wants that", "TLS handshake with server",
		},
		{
			"one with a certificate of another authority", another.rpc(serverHost, map[string]any{"verify_outgoing": true}), another.knock(serverHost),
			"certificate signed by unknown authority", "certificate signed by unknown authority",
		},
		{
			"one with the certificate of a client", w.rpc(clientHost, map[string]any{"verify_outgoing": true}), w.knock(clientHost),
			"the certificate is for " + clientHost, "the certificate is for " + clientHost,
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			leader := c.Leader()
			before := len(leader.Log())
			tc.knock(t, leader.PeerAddr())
			awaitLine(t, leader, before, "refused a connection to the server port", tc.in)

			stranger := c.Add()
			stranger.SetConfig("tls", tc.tls)
			stranger.Launch()
			// It was met, by gossip that is not encrypted here, and got no further.
			awaitLine(t, leader, before, "member="+stranger.Name(), "it gets no place in the cluster", tc.out)
			awaitLine(t, stranger, 0, "refused a connection to the server port")
			for _, s := range c.Servers()[:3] {
				if r := raftServers(t, s); len(r) != 3 {
					t.Errorf("%s has the Raft configuration %v", s.Name(), r)
				}
			}
			if resp := stranger.Do(http.MethodGet, "/v1/kv/a?stale", nil); resp.Status == http.StatusOK {
				t.Errorf("it has got the data: %s", resp.Body)
			}
			stranger.Kill9()
			c.Forget(stranger)
		})
	}
}

// knockPlain opens a connection as a server without TLS does that is Raft's.
func knockPlain(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, conn)
}

// knock opens one with a certificate, and takes whatever the other side shows.
func (w wallet) knock(host string) func(*testing.T, string) {
	return func(t *testing.T, address string) {
		t.Helper()
		cert, err := tls.LoadX509KeyPair(filepath.Join(w.dir, host+".pem"), filepath.Join(w.dir, host+"-key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := tls.Dial("tcp", address, &tls.Config{
			InsecureSkipVerify: true, NextProtos: []string{"h2"},
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
		})
		if err != nil {
			return // refused as early as that
		}
		defer conn.Close()
		awaitEnd(t, conn)
	}
}

// awaitEnd waits until the other side closes a connection, which must say nothing.
func awaitEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(make([]byte, 1))
	if n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection was not refused: %d bytes, %v", n, err)
	}
}

// TestMoveToTLS: a cluster without TLS comes to demand it in three rounds of restarts,
// one server after the other, and is one store all the while.
func TestMoveToTLS(t *testing.T) {
	slow(t)
	w := newWallet(t)
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{})
	round := 0
	for _, set := range []map[string]any{
		{}, // certificates everywhere
		{"verify_outgoing": true},
		{"verify_outgoing": true, "verify_incoming": true},
	} {
		block := w.rpc(serverHost, set)
		for _, s := range c.Servers() {
			s.SetConfig("tls", block)
			s.Restart()
			c.AwaitFormed()
			round++
			value := fmt.Sprint(round)
			for _, through := range c.Servers() {
				through.Put("a", value)
				for _, other := range c.Servers() {
					if got, _ := other.Get("a"); got != value {
						t.Fatalf("after restart %d %s holds %q, written through %s was %q", round, other.Name(), got, through.Name(), value)
					}
				}
			}
		}
	}
}
