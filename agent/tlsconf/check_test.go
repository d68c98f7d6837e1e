package tlsconf_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/tlsconf"
)

// TestCheck has one configuration for each rule, and every sentence the operator
// reads about it; DIR stands for the folder.
func TestCheck(t *testing.T) {
	f := newFolder(t)
	ca := f.authority("ca")
	f.issue(ca, "server", valid("server.dc1.consul"))
	f.issue(ca, "client", valid("client.dc1.consul"))
	f.write("empty.pem", nil)
	f.write("text.pem", []byte("no certificate"))
	f.write("broken.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	for _, dir := range []string{"authorities", "nothing", "mixed"} {
		if err := os.Mkdir(f.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f.write("authorities/a.pem", ca.Pair().Cert)
	f.write("authorities/..data", []byte("left out"))
	f.write("mixed/a.pem", ca.Pair().Cert)
	f.write("mixed/readme.txt", []byte("text"))

	https := func(change func(*config.TLSListener)) *config.Config {
		cfg := config.Default()
		cfg.Ports.HTTPS = 8501
		cfg.TLS.HTTPS = f.listener("ca", "server")
		change(&cfg.TLS.HTTPS)
		return cfg
	}
	servers := func(change func(*config.Config)) *config.Config {
		cfg := f.servers("ca", "server")
		change(cfg)
		return cfg
	}
	for _, tc := range []struct {
		rule string
		cfg  *config.Config
		want []string
	}{
		{"without TLS nothing is needed", config.Default(), nil},
		{"HTTPS with all it needs", https(func(l *config.TLSListener) { l.VerifyIncoming = true }), nil},
		{"servers with all they need", servers(func(c *config.Config) { c.TLS.VerifyServerHostname = true }), nil},
		{"authorities may be in a folder", https(func(l *config.TLSListener) { l.CAFile, l.CAPath = "", f.path("authorities") }), nil},
		{"HTTPS needs a certificate", https(func(l *config.TLSListener) { *l = config.TLSListener{} }), []string{
			"ports.https: needs a certificate to serve HTTPS: set cert_file and key_file in tls.https or in tls.defaults",
		}},
		{"verifying clients needs an authority", https(func(l *config.TLSListener) { l.CAFile, l.VerifyIncoming = "", true }), []string{
			"tls.https.verify_incoming: needs an authority to verify the certificates of clients: set ca_file or ca_path in tls.https or in tls.defaults",
		}},
		{"but not where HTTPS is off", func() *config.Config {
			c := https(func(l *config.TLSListener) { l.CAFile, l.VerifyIncoming = "", true })
			c.Ports.HTTPS = -1
			return c
		}(), nil},
		{"servers need both for each of their settings", servers(func(c *config.Config) {
			c.TLS.RPC = config.TLSListener{VerifyIncoming: true}
			c.TLS.VerifyServerHostname = true
		}), []string{
			"tls.internal_rpc.verify_incoming: needs a certificate to show to other servers: set cert_file and key_file in tls.internal_rpc or in tls.defaults",
			"tls.internal_rpc.verify_server_hostname: needs a certificate to show to other servers: set cert_file and key_file in tls.internal_rpc or in tls.defaults",
			"tls.internal_rpc.verify_incoming: needs an authority to verify the certificates of other servers: set ca_file or ca_path in tls.internal_rpc or in tls.defaults",
			"tls.internal_rpc.verify_server_hostname: needs an authority to verify the certificates of other servers: set ca_file or ca_path in tls.internal_rpc or in tls.defaults",
		}},
		{"all that is wrong with files is said at once", https(func(l *config.TLSListener) {
			l.CertFile, l.KeyFile, l.CAFile, l.CAPath = f.path("none.pem"), f.path("none-key.pem"), f.path("empty.pem"), f.path("nothing")
		}), []string{
			"tls.https.cert_file: DIR/none.pem does not exist",
			"tls.https.key_file: DIR/none-key.pem does not exist",
			"tls.https.ca_file: DIR/empty.pem holds no certificate in PEM",
			"tls.https.ca_path: DIR/nothing is empty",
		}},
		{"both blocks at once", func() *config.Config {
			c := https(func(l *config.TLSListener) { l.CAFile = f.path("text.pem") })
			c.TLS.RPC = f.listener("text", "server")
			return c
		}(), []string{
			"tls.https.ca_file: DIR/text.pem holds no certificate in PEM",
			"tls.internal_rpc.ca_file: DIR/text.pem holds no certificate in PEM",
		}},
		{"a key of another certificate", https(func(l *config.TLSListener) { l.KeyFile = f.path("client-key.pem") }), []string{
			"tls.https.key_file: DIR/server.pem and DIR/client-key.pem do not make a pair: private key does not match public key",
		}},
		{"a key where the certificate should be", https(func(l *config.TLSListener) { l.CertFile = f.path("server-key.pem") }), []string{
			"tls.https.cert_file: DIR/server-key.pem holds no certificate in PEM",
		}},
		{"a certificate where the key should be", https(func(l *config.TLSListener) { l.KeyFile = f.path("server.pem") }), []string{
			"tls.https.key_file: DIR/server.pem holds no private key in PEM",
		}},
		{"a broken authority", https(func(l *config.TLSListener) { l.CAFile = f.path("broken.pem") }), []string{
			"tls.https.ca_file: DIR/broken.pem has a certificate that cannot be read: x509: malformed certificate",
		}},
		{"a folder for a file", https(func(l *config.TLSListener) { l.CAFile = f.path("authorities") }), []string{
			"tls.https.ca_file: DIR/authorities cannot be read: is a directory",
		}},
		{"a folder with something else in it", https(func(l *config.TLSListener) { l.CAFile, l.CAPath = "", f.path("mixed") }), []string{
			"tls.https.ca_path: DIR/mixed/readme.txt holds no certificate in PEM",
		}},
		{"a client's certificate as the server's own", servers(func(c *config.Config) {
			c.TLS.RPC = f.listener("ca", "client")
			c.TLS.VerifyServerHostname = true
		}), []string{
			"tls.internal_rpc.cert_file: DIR/client.pem is for client.dc1.consul, localhost: with verify_server_hostname it must be for server.dc1.consul",
		}},
		{"a server's certificate of another domain", servers(func(c *config.Config) {
			c.TLS.VerifyServerHostname, c.Domain = true, "example"
		}), []string{
			"tls.internal_rpc.cert_file: DIR/server.pem is for server.dc1.consul, localhost: with verify_server_hostname it must be for server.dc1.example",
		}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var got []string
			for _, fault := range tlsconf.Check(tc.cfg) {
				got = append(got, strings.ReplaceAll(fault.Error(), f.dir, "DIR"))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, err := tlsconf.Open(tc.cfg, tlsconf.Options{}); (err == nil) != (tc.want == nil) {
				t.Errorf("Open says %v", err)
			}
		})
	}
}

// TestFaultsHaveTheirPlace is about what config.Load makes of Check.
func TestFaultsHaveTheirPlace(t *testing.T) {
	f := newFolder(t)
	f.issue(f.authority("ca"), "server", valid("server.dc1.consul"))
	file := f.write("a.hcl", []byte(`
data_dir = "/tmp/x"
ports { https = 8501 }
tls {
  defaults {
    ca_file = "`+f.path("none.pem")+`"
    verify_incoming = true
  }
}
`))
	_, err := config.Load(config.Sources{Paths: []string{file}, Inspect: tlsconf.Check})
	want := []string{
		"DIR/a.hcl:6: tls.defaults.ca_file: DIR/none.pem does not exist",
		"DIR/a.hcl:3: ports.https: needs a certificate to serve HTTPS: set cert_file and key_file in tls.https or in tls.defaults",
		"DIR/a.hcl:7: tls.defaults.verify_incoming: needs a certificate to show to other servers: set cert_file and key_file in tls.internal_rpc or in tls.defaults",
	}
	if err == nil {
		t.Fatal("it is taken")
	}
	if diff := cmp.Diff(want, strings.Split(strings.ReplaceAll(err.Error(), f.dir, "DIR"), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
