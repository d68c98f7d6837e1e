package tlsconf_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/tlsconf"
)

// meet lets client connect to server over a real connection, both with a word after
// the handshake, and returns what each makes of it.
func meet(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, fromServer, fromClient error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		s := tls.Server(conn, server)
		if err := s.HandshakeContext(ctx); err != nil {
			done <- err
			_, _ = conn.Read(make([]byte, 1024)) // so that the alert arrives before the connection breaks
			return
		}
		_, err = s.Write([]byte("x"))
		done <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if client == nil {
		_, fromClient = conn.Write([]byte("plain text, of some length\n"))
		return state, <-done, fromClient
	}
	c := tls.Client(conn, client)
	if fromClient = c.HandshakeContext(ctx); fromClient == nil {
		_, fromClient = c.Read(make([]byte, 1)) // with TLS 1.3 a refusal comes after the handshake
		state = c.ConnectionState()
	}
	_ = conn.Close()
	return state, <-done, fromClient
}

func TestServersKnowEachOther(t *testing.T) {
	f := newFolder(t)
	ca, other := f.authority("ca"), f.authority("other")
	f.issue(ca, "server", valid("server.dc1.consul"))
	f.issue(ca, "client", valid("client.dc1.consul"))
	f.issue(ca, "elsewhere", valid("server.dc2.consul"))
	f.issue(other, "stranger", valid("server.dc1.consul"))
	f.issue(ca, "old", until(valid("server.dc1.consul"), time.Now().Add(-10*day), time.Now().Add(-day)))
	onlyServer := valid("server.dc1.consul")
	onlyServer.Client = false
	f.issue(ca, "half", onlyServer)
	onlyClient := valid("server.dc1.consul")
	onlyClient.Server = false
	f.issue(ca, "otherhalf", onlyClient)

	byName := func(cfg *config.Config) *config.Config {
		cfg.TLS.VerifyServerHostname = true
		return cfg
	}
	strict := open(t, byName(f.servers("ca", "server")), tlsconf.Options{})
	loose := open(t, f.servers("ca", "server"), tlsconf.Options{})
	// with is a connecting side that shows a certificate and believes anybody.
	with := func(name string) *tls.Config {
		pair, err := tls.LoadX509KeyPair(f.path(name+".pem"), f.path(name+"-key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"rpc"}, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &pair, nil
		}}
	}
	// serving is an accepting side that shows a certificate and believes anybody.
	serving := func(name string) *tls.Config {
		pair, err := tls.LoadX509KeyPair(f.path(name+".pem"), f.path(name+"-key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"rpc"}}
	}
	accepts := func(rule string, k *tlsconf.Keeper, client *tls.Config, why string) {
		t.Run("accepting: "+rule, func(t *testing.T) {
			_, server, _ := meet(t, k.Incoming("rpc"), client)
			judge(t, server, why)
		})
	}
	accepts("a server", strict, strict.Outgoing("rpc"), "")
	accepts("a client's certificate as a server's", strict, with("client"),
		"it shows a certificate for client.dc1.consul, localhost, and that of a server is for server.dc1.consul")
	accepts("a client's certificate where names do not count", loose, with("client"), "")
	accepts("a server of another datacenter", strict, with("elsewhere"),
		"it shows a certificate for server.dc2.consul, localhost, and that of a server is for server.dc1.consul")
	accepts("another authority", strict, with("stranger"), "its certificate comes from an authority that is not in ca_file or ca_path")
	accepts("an expired certificate", loose, with("old"), "its certificate counts from 20")
	accepts("a certificate that is not for clients", loose, with("half"), "its certificate is not made for this side of a connection (extended key usage)")
	accepts("no certificate", strict, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"rpc"}}, "client didn't provide a certificate")
	accepts("plain text", strict, nil, "it does not speak TLS")
	accepts("another protocol", strict, strict.Outgoing("raft"), "client requested unsupported application protocols")

	connects := func(rule string, k *tlsconf.Keeper, server *tls.Config, why string) {
		t.Run("connecting: "+rule, func(t *testing.T) {
			_, _, client := meet(t, server, k.Outgoing("rpc"))
			judge(t, client, why)
		})
	}
	connects("a server", strict, serving("server"), "")
	connects("a client's certificate as a server's", strict, serving("client"),
		"it shows a certificate for client.dc1.consul, localhost, and that of a server is for server.dc1.consul")
	connects("a client's certificate where names do not count", loose, serving("client"), "")
	connects("a certificate that is not for servers", strict, serving("otherhalf"),
		"its certificate is not made for this side of a connection (extended key usage)")
	connects("another authority", loose, serving("stranger"), "its certificate comes from an authority that is not in ca_file or ca_path")
	connects("an expired certificate", loose, serving("old"), "its certificate counts from 20")
	connects("who refuses us", loose, open(t, byName(f.servers("other", "stranger")), tlsconf.Options{}).Incoming("rpc"),
		"its certificate comes from an authority that is not in ca_file or ca_path")
}

// judge holds a handshake's error against the sentence that an operator reads; ""
// is no error.
func judge(t *testing.T, err error, why string) {
	t.Helper()
	switch {
	case why == "" && err != nil:
		t.Errorf("refused: %s", tlsconf.Reason(err))
	case why != "" && err == nil:
		t.Errorf("taken, want %q", why)
	case why != "" && !strings.HasPrefix(tlsconf.Reason(err), why):
		t.Errorf("refused since %q, want %q", tlsconf.Reason(err), why)
	}
}

func TestServerNameAloneEncryptsAndVerifies(t *testing.T) {
	f := newFolder(t)
	f.issue(f.authority("ca"), "server", valid("server.dc1.example"))
	cfg := config.Default()
	cfg.TLS.RPC = f.listener("ca", "server")
	cfg.TLS.VerifyServerHostname, cfg.Domain = true, "example"
	k := open(t, cfg, tlsconf.Options{})
	if !k.RequiresTLS() {
		t.Error("plain connections are taken")
	}
	state, server, client := meet(t, k.Incoming("b", "a"), k.Outgoing("a", "b"))
	if server != nil || client != nil {
		t.Fatalf("server: %v, client: %v", server, client)
	}
	if state.NegotiatedProtocol != "b" || state.ServerName != "server.dc1.example" {
		t.Errorf("protocol %q of server %q, want b of server.dc1.example", state.NegotiatedProtocol, state.ServerName)
	}
}

func TestWhatIsOff(t *testing.T) {
	f := newFolder(t)
	f.issue(f.authority("ca"), "server", valid("server.dc1.consul"))
	none := open(t, config.Default(), tlsconf.Options{})
	https, rpc := none.Expiry()
	if none.HTTPS() != nil || none.Incoming() != nil || none.Outgoing() != nil || none.RequiresTLS() || !https.IsZero() || !rpc.IsZero() {
		t.Error("there is TLS without any setting")
	}
	log := &logBuffer{}
	cfg := config.Default()
	cfg.TLS.RPC = f.listener("ca", "server")
	moving := open(t, cfg, tlsconf.Options{Log: log.logger()})
	if moving.Incoming() == nil || moving.Outgoing() != nil || moving.RequiresTLS() {
		t.Error("with a certificate alone, both kinds of connections are accepted, and plain ones are made")
	}
	if text := log.take(); !strings.Contains(text, "[WARN]  connections to other servers are not encrypted") {
		t.Errorf("log: %s", text)
	}
}

func TestVersionsAndSuites(t *testing.T) {
	f := newFolder(t)
	f.issue(f.authority("ca"), "server", valid("server.dc1.consul"))
	cfg := f.servers("ca", "server")
	const suite = tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
	cfg.TLS.RPC.CipherSuites = []string{tls.CipherSuiteName(suite)}
	k := open(t, cfg, tlsconf.Options{})
	only12 := k.Outgoing()
	only12.MaxVersion, only12.CipherSuites = tls.VersionTLS12, nil
	if state, _, err := meet(t, k.Incoming(), only12); err != nil || state.CipherSuite != suite {
		t.Errorf("suite %s, error %v", tls.CipherSuiteName(state.CipherSuite), err)
	}
	cfg.TLS.RPC.MinVersion = "TLSv1_3"
	if _, _, err := meet(t, open(t, cfg, tlsconf.Options{}).Incoming(), only12); err == nil {
		t.Error("TLS 1.2 is accepted although tls_min_version is TLSv1_3")
	}
}

// TestNothingIsResumedPastItsAuthority is about clients that keep their sessions.
func TestNothingIsResumedPastItsAuthority(t *testing.T) {
	f := newFolder(t)
	ca := f.authority("ca")
	f.issue(ca, "server", valid("server.dc1.consul"))
	f.issue(ca, "client", valid("client.dc1.consul"))
	pair, err := tls.LoadX509KeyPair(f.path("client.pem"), f.path("client-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{
		InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(4),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	}
	k := open(t, f.servers("ca", "server"), tlsconf.Options{})
	incoming := k.Incoming()
	for range 2 {
		if state, server, client := meet(t, incoming, client); server != nil || client != nil || state.DidResume {
			t.Fatalf("server: %v, client: %v, resumed: %v", server, client, state.DidResume)
		}
	}
	other := f.authority("other")
	f.write("ca.pem", other.Pair().Cert)
	f.issue(other, "server", valid("server.dc1.consul"))
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	_, server, _ := meet(t, incoming, client)
	judge(t, server, "its certificate comes from an authority that is not in ca_file or ca_path")
}
