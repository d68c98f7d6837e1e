package api_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/api"
	"github.com/holdfast-kv/holdfast/internal/certs"
)

// pki is an authority that writes what it issues to files.
type pki struct {
	t   *testing.T
	dir string
	ca  *certs.Authority
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	ca, err := certs.NewAuthority(certs.AuthorityRequest{Name: "CA", Validity: lasting(10 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	p := &pki{t: t, dir: t.TempDir(), ca: ca}
	p.write("ca.pem", ca.Pair().Cert)
	return p
}

func lasting(d time.Duration) certs.Validity {
	return certs.Validity{From: time.Now().Add(-2 * time.Hour), Until: time.Now().Add(d)}
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

func (p *pki) write(name string, data []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// client issues a certificate and names its files.
func (p *pki) client(name string, r certs.Request) api.TLS {
	p.t.Helper()
	pair, err := p.ca.Issue(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(name+".pem", pair.Cert)
	p.write(name+"-key.pem", pair.Key)
	return api.TLS{CAFile: p.path("ca.pem"), CertFile: p.path(name + ".pem"), KeyFile: p.path(name + "-key.pem")}
}

// serve runs an HTTPS server; change may change its settings.
func (p *pki) serve(r certs.Request, change func(*tls.Config)) string {
	p.t.Helper()
	pair, err := p.ca.Issue(r)
	if err != nil {
		p.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		p.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(answer(200, `"x"`))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	if change != nil {
		change(s.TLS)
	}
	s.StartTLS()
	p.t.Cleanup(s.Close)
	return s.URL
}

func TestTLSErrors(t *testing.T) {
	p, other := newPKI(t), newPKI(t)
	local := []net.IP{net.IPv4(127, 0, 0, 1)}
	server := certs.Request{Name: "s", DNSNames: []string{"server.test"}, IPs: local, Server: true, Validity: lasting(time.Hour)}
	expired, early, wrongUse := server, server, server
	expired.Validity = lasting(-time.Hour)
	early.Validity.From = time.Now().Add(30 * time.Minute)
	wrongUse.Server, wrongUse.Client = false, true
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(p.ca.Pair().Cert)
	asks := func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients }
	asks12 := func(c *tls.Config) {
		asks(c)
		c.MaxVersion = tls.VersionTLS12
	}
	plain := httptest.NewServer(answer(200, `"x"`))
	defer plain.Close()

	trusts := api.TLS{CAFile: p.path("ca.pem")}
	valid := p.client("valid", certs.Request{Name: "c", Client: true, Validity: lasting(time.Hour)})
	old := p.client("old", certs.Request{Name: "c", Client: true, Validity: lasting(-time.Hour)})
	stranger := other.client("stranger", certs.Request{Name: "c", Client: true, Validity: lasting(time.Hour)})
	stranger.CAFile = trusts.CAFile
	const forbids = "the server refuses the client's certificate: it has expired, or does not count yet"

	for _, tc := range []struct {
		rule string
		url  string
		tls  api.TLS
		why  string // "" when there is an answer
	}{
		{"both sides agree", p.serve(server, asks), valid, ""},
		{"an authority that is not ours", p.serve(server, nil), api.TLS{CAFile: other.path("ca.pem")}, "the server's certificate comes from an authority that this client does not trust"},
		{"an expired server", p.serve(expired, nil), trusts, "the server's certificate expired on 20"},
		{"a server before its time", p.serve(early, nil), trusts, "the server's certificate does not count before 20"},
		{"a client's certificate as the server's", p.serve(wrongUse, nil), trusts, "the server shows a certificate that is not made for servers"},
		{
			"another name", p.serve(server, nil),
			api.TLS{CAFile: trusts.CAFile, ServerName: "other.test"},
			"the server's certificate is for server.test, 127.0.0.1, not for other.test",
		},
		{"no client certificate", p.serve(server, asks), trusts, "the server asks for a client certificate, and there is none that it would take"},
		{
			"no client certificate, TLS 1.2", p.serve(server, asks12), trusts,
			"the server and this client have no version or cipher of TLS in common, or the server asks for a client certificate",
		},
		{"an expired client", p.serve(server, asks), old, forbids},
		{"an expired client, TLS 1.2", p.serve(server, asks12), old, forbids},
		{"a client of another authority", p.serve(server, asks), stranger, "the server asks for a client certificate, and there is none that it would take"},
		{"HTTPS to a plain port", strings.Replace(plain.URL, "http:", "https:", 1), trusts, "the server speaks plain HTTP there, not HTTPS"},
		{"plain HTTP to a port for HTTPS", strings.Replace(p.serve(server, nil), "https:", "http:", 1), trusts, "the server speaks HTTPS there, not plain HTTP"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			client := connectTo(t, tc.url, api.WithTLS(tc.tls), api.WithRetries(0))
			for range 10 { // what net/http keeps of a refusal is a matter of timing
				_, err := client.KV().Put(t.Context(), "a", []byte("b"))
				client.CloseIdleConnections()
				if tc.why == "" {
					if errors.Is(err, api.ErrUnreachable) {
						t.Fatal(err)
					}
					continue
				}
				var conn *api.ConnectionError
				var refused *api.TLSError
				if !errors.As(err, &conn) || !errors.As(err, &refused) || !strings.HasPrefix(refused.Why, tc.why) {
					t.Fatalf("error %v, want a TLSError %q", err, tc.why)
				}
				if conn.Sent || !errors.Is(err, api.ErrUnreachable) {
					t.Errorf("sent: %v, error %v; want a write that has certainly not happened", conn.Sent, err)
				}
			}
		})
	}
}

// TestOtherAnswersAreNotExplained is about a server that is there and says no.
func TestOtherAnswersAreNotExplained(t *testing.T) {
	s := httptest.NewServer(answer(http.StatusBadRequest, "bad request"))
	defer s.Close()
	_, err := connectTo(t, s.URL).Status().Leader(t.Context())
	var status *api.StatusError
	var refused *api.TLSError
	if !errors.As(err, &status) || errors.As(err, &refused) {
		t.Errorf("error %v, want the server's", err)
	}
}
