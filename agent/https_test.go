package agent

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/internal/certs"
)

// secured is a server with HTTPS and nothing else, and the authority of its clients.
type secured struct {
	*inMemory
	authority *certs.Authority
	dir       string
	host      string // host:port
}

// startSecured runs a server; change may change its configuration before.
func startSecured(t *testing.T, change func(*config.Config)) *secured {
	t.Helper()
	s := &secured{dir: t.TempDir()}
	var err error
	s.authority, err = certs.NewAuthority(certs.AuthorityRequest{Name: "Test CA", Validity: lasting(48 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "ca.pem", s.authority.Pair().Cert)
	s.serverCertificate(t, "first.test")
	cfg := testConfig()
	cfg.Ports.HTTP, cfg.Ports.HTTPS = -1, 0
	cfg.TLS.HTTPS = config.TLSListener{
		CAFile: s.path("ca.pem"), CertFile: s.path("server.pem"), KeyFile: s.path("server-key.pem"), MinVersion: "TLSv1_2",
	}
	if change != nil {
		change(cfg)
	}
	s.inMemory, _ = startInMemory(t, Options{Loaded: &config.Loaded{Config: cfg}})
	if urls := s.URLs(); len(urls) != 1 || !strings.HasPrefix(urls[0], "https://127.0.0.1:") {
		t.Fatalf("served at %v, want one address that begins with https://127.0.0.1:", urls)
	}
	s.host = strings.TrimPrefix(s.url, "https://")
	return s
}

func lasting(d time.Duration) certs.Validity {
	return certs.Validity{From: time.Now().Add(-time.Hour), Until: time.Now().Add(d)}
}

func (s *secured) path(name string) string { return filepath.Join(s.dir, name) }

func (s *secured) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(s.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *secured) issue(t *testing.T, r certs.Request) certs.Pair {
	t.Helper()
	pair, err := s.authority.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func (s *secured) serverCertificate(t *testing.T, name string) {
	t.Helper()
	pair := s.issue(t, certs.Request{
		Name: name, DNSNames: []string{name}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Validity: lasting(24 * time.Hour),
	})
	s.write(t, "server.pem", pair.Cert)
	s.write(t, "server-key.pem", pair.Key)
}

// client makes an HTTP client that shows pair, if it has one.
func (s *secured) client(t *testing.T, pair certs.Pair) *http.Client {
	t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AppendCertsFromPEM(s.authority.Pair().Cert)
	if pair.Cert != nil {
		p, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &p, nil }
	}
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// logged waits until the log has a line with all the words.
func (s *secured) logged(t *testing.T, words ...string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for line := range strings.Lines(s.log.String()) {
			found := true
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no line of the log has %q:\n%s", words, s.log)
		}
	}
}

func TestHTTPSServesTheAPI(t *testing.T) {
	s := startSecured(t, nil)
	client := s.client(t, certs.Pair{})
	for _, step := range []struct{ method, path, body, want string }{
		{http.MethodPut, "/v1/kv/a", "hello", "true"},
		{http.MethodGet, "/v1/kv/a?raw", "", "hello"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), step.method, s.url+step.path, strings.NewReader(step.body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || string(got) != step.want {
			t.Errorf("%s %s: %d %q, error %v", step.method, step.path, res.StatusCode, got, err)
		}
		if res.ProtoMajor != 2 {
			t.Errorf("served by %s, want HTTP/2", res.Proto)
		}
	}
	old := s.client(t, certs.Pair{})
	old.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	old.Transport.(*http.Transport).TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	res, err := old.Get(s.url + "/v1/status/leader")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.ProtoMajor != 1 {
		t.Errorf("a client without HTTP/2 is served by %s", res.Proto)
	}
}

func TestRefusedClients(t *testing.T) {
	s := startSecured(t, func(c *config.Config) { c.TLS.HTTPS.VerifyIncoming = true })
	strangers, err := certs.NewAuthority(certs.AuthorityRequest{Name: "Other CA", Validity: lasting(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := strangers.Issue(certs.Request{Name: "x", Client: true, Validity: lasting(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule   string
		pair   certs.Pair
		alert  string // what the client reads; "" when it is served
		reason string // in the log
	}{
		{"a client of the authority", s.issue(t, certs.Request{Name: "x", Client: true, Validity: lasting(time.Hour)}), "", ""},
		{"no certificate", certs.Pair{}, "certificate required", "client didn't provide a certificate"},
		{"another authority", stranger, "unknown certificate authority", "its certificate comes from an authority that is not in ca_file or ca_path"},
		{
			"an expired certificate", s.issue(t, certs.Request{Name: "x", Client: true, Validity: lasting(-time.Minute)}),
			"expired certificate", "its certificate counts from",
		},
		{
			"a certificate of a server", s.issue(t, certs.Request{Name: "x", Server: true, Validity: lasting(time.Hour)}),
			"bad certificate", "its certificate is not made for this side of a connection",
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			for range 20 { // the client must never see a reset in place of the alert
				client := s.client(t, tc.pair)
				client.Transport.(*http.Transport).ForceAttemptHTTP2 = false // with HTTP/2, net/http may drop the alert
				res, err := client.Get(s.url + "/v1/status/leader")
				if err == nil {
					res.Body.Close()
				}
				switch {
				case tc.alert == "" && err != nil:
					t.Fatal(err)
				case tc.alert != "" && (err == nil || !strings.Contains(err.Error(), tc.alert)):
					t.Fatalf("the client reads %v, want %q", err, tc.alert)
				}
			}
			if tc.reason != "" {
				s.logged(t, "TLS connection refused", "client=127.0.0.1:", tc.reason)
			}
		})
	}
}

// TestAClientThatDistrustsTheServer is about one that says so without encryption, as
// OpenSSL does.
func TestAClientThatDistrustsTheServer(t *testing.T) {
	s := startSecured(t, nil)
	raw, err := net.Dial("tcp", s.host)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	client := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error {
		_, err := raw.Write([]byte{21, 3, 3, 0, 2, 2, 48}) // an alert, fatal: unknown authority
		return errors.Join(err, errors.New("not this one"))
	}})
	if err := client.HandshakeContext(t.Context()); err == nil {
		t.Error("it takes the certificate")
	}
	s.logged(t, "TLS connection refused", "it broke the handshake off, most likely since it does not trust the certificate of this server")
}

// TestARefusedClientReadsWhy is about one that has sent its request when the server
// refuses it: with TLS 1.3 it cannot know before.
func TestARefusedClientReadsWhy(t *testing.T) {
	s := startSecured(t, func(c *config.Config) { c.TLS.HTTPS.VerifyIncoming = true })
	conn, err := tls.Dial("tcp", s.host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(make([]byte, 8<<10)); err != nil {
		t.Fatal(err)
	}
	s.logged(t, "TLS connection refused")
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("the client reads %v, want the alert", err)
	}
}

func TestPlainHTTPOnTheHTTPSPort(t *testing.T) {
	s := startSecured(t, nil)
	res, err := http.Get("http://" + s.host + "/v1/status/leader")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusBadRequest || string(text) != "Client sent an HTTP request to an HTTPS server.\n" {
		t.Errorf("%d %q, error %v", res.StatusCode, text, err)
	}
	s.logged(t, "[WARN]", "TLS connection refused", `reason="it does not speak TLS"`)
}

func TestHandshakesHaveATimeLimit(t *testing.T) {
	s := startSecured(t, func(c *config.Config) { c.Limits.HTTPSHandshakeTimeout = 100 * time.Millisecond })
	conn, err := net.Dial("tcp", s.host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := bufio.NewReader(conn).ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("the server does not close: %v", err)
	}
	s.logged(t, "it did not finish the TLS handshake in time")
	if n := s.conns.open(); n != 0 {
		t.Errorf("%d connections count as open", n)
	}
}

func TestWhoVanishesIsNoWarning(t *testing.T) {
	s := startSecured(t, nil)
	conn, err := net.Dial("tcp", s.host)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	s.logged(t, "[DEBUG]", "TLS connection refused", "it closed the connection during the TLS handshake")
}

func TestConnectionsOverTLSCountForTheirClient(t *testing.T) {
	s := startSecured(t, func(c *config.Config) { c.Limits.HTTPMaxConnsPerClient = 1 })
	first := s.client(t, certs.Pair{})
	get := func(c *http.Client) error {
		res, err := c.Get(s.url + "/v1/status/leader")
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		return err
	}
	if err := get(first); err != nil {
		t.Fatal(err)
	}
	if err := get(s.client(t, certs.Pair{})); err == nil {
		t.Error("a second connection of the address is served")
	}
	if n := s.conns.refused.Load(); n == 0 {
		t.Error("the connection that was refused is not counted")
	}
	if err := get(first); err != nil {
		t.Errorf("the first one is served no longer: %v", err)
	}
}

func TestReloadReadsCertificates(t *testing.T) {
	s := startSecured(t, nil)
	shown := func() string {
		conn, err := tls.Dial("tcp", s.host, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	parked := s.client(t, certs.Pair{})
	waits := make(chan error, 1)
	go func() {
		res, err := parked.Get(s.url + "/v1/kv/waited-for?index=1&wait=15s")
		if err == nil {
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				err = fmt.Errorf("answered %d", res.StatusCode)
			}
		}
		waits <- err
	}()
	s.serverCertificate(t, "second.test")
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != "second.test" {
		t.Errorf("%s is shown", got)
	}
	s.write(t, "server.pem", nil)
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "tls.https.cert_file: "+s.path("server.pem")+" holds no certificate in PEM") {
		t.Errorf("reload says %v", err)
	}
	if got := shown(); got != "second.test" {
		t.Errorf("%s is shown after a broken reload", got)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPut, s.url+"/v1/kv/waited-for", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.client(t, certs.Pair{}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if err := <-waits; err != nil {
		t.Errorf("a query that waited through all of it: %v", err)
	}
}

const certificateExpiry = "holdfast_tls_certificate_expiry_timestamp_seconds"

// TestMetricsOfCertificates: each use of a certificate tells when it ends, also after it
// was renewed.
func TestMetricsOfCertificates(t *testing.T) {
	var rpc config.TLSListener
	s := startSecured(t, func(cfg *config.Config) {
		rpc = cfg.TLS.HTTPS
		rpc.CertFile, rpc.KeyFile = strings.Replace(rpc.CertFile, "server.pem", "rpc.pem", 1), strings.Replace(rpc.KeyFile, "server-key", "rpc-key", 1)
		for from, to := range map[string]string{cfg.TLS.HTTPS.CertFile: rpc.CertFile, cfg.TLS.HTTPS.KeyFile: rpc.KeyFile} {
			data, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cfg.TLS.RPC = rpc
	})
	expect := func(use string, left time.Duration) {
		t.Helper()
		res, err := s.client(t, certs.Pair{}).Get(s.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		end := time.Unix(int64(value(t, familiesOf(t, string(body)), certificateExpiry, "use", use)), 0)
		if got := time.Until(end); got > left || got < left-time.Hour {
			t.Errorf("the certificate for %s expires %s, in %s; want in %s", use, end, got, left)
		}
	}
	expect("https", 24*time.Hour)
	expect("rpc", 24*time.Hour)
	pair := s.issue(t, certs.Request{Name: "renewed.test", DNSNames: []string{"renewed.test"}, Server: true, Validity: lasting(36 * time.Hour)})
	s.write(t, "rpc.pem", pair.Cert)
	s.write(t, "rpc-key.pem", pair.Key)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	expect("https", 24*time.Hour)
	expect("rpc", 36*time.Hour)
}

func TestLinesAboutRefusedConnectionsAreBounded(t *testing.T) {
	var r refusals
	now := time.Unix(0, 0).Add(time.Hour)
	shown := 0
	for range 3 * refusalLines {
		if _, ok := r.say(now); ok {
			shown++
		}
	}
	if shown != refusalLines {
		t.Errorf("%d lines at once, want %d", shown, refusalLines)
	}
	if more, ok := r.say(now.Add(refusalWindow)); !ok || more != 2*refusalLines {
		t.Errorf("the next line is shown: %v; it tells of %d others, want %d", ok, more, 2*refusalLines)
	}
	if more, _ := r.say(now.Add(refusalWindow)); more != 0 {
		t.Errorf("%d are told of twice", more)
	}
}
