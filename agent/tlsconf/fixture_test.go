package tlsconf_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/tlsconf"
	"github.com/holdfast-kv/holdfast/internal/certs"
)

const day = 24 * time.Hour

// folder is a folder of certificate files.
type folder struct {
	t   *testing.T
	dir string
}

func newFolder(t *testing.T) folder { return folder{t, t.TempDir()} }

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// write puts a file in place in one step, as tools that renew certificates do.
func (f folder) write(name string, data []byte) string {
	f.t.Helper()
	if err := os.WriteFile(f.path(name+".new"), data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path(name+".new"), f.path(name)); err != nil {
		f.t.Fatal(err)
	}
	return f.path(name)
}

// authority makes an authority and writes its certificate to NAME.pem.
func (f folder) authority(name string) *certs.Authority {
	f.t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityRequest{
		Name: name, Validity: certs.Validity{From: time.Now().Add(-100 * day), Until: time.Now().Add(3650 * day)},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(name+".pem", a.Pair().Cert)
	return a
}

// who is asked for of an authority.
func valid(name string, ips ...net.IP) certs.Request {
	return certs.Request{
		Name: name, DNSNames: []string{name, "localhost"}, IPs: ips, Server: true, Client: true,
		Validity: certs.Validity{From: time.Now().Add(-50 * day), Until: time.Now().Add(365 * day)},
	}
}

func until(r certs.Request, from, until time.Time) certs.Request {
	r.Validity = certs.Validity{From: from, Until: until}
	return r
}

// issue writes NAME.pem and NAME-key.pem.
func (f folder) issue(a *certs.Authority, name string, r certs.Request) (cert, key string) {
	f.t.Helper()
	pair, err := a.Issue(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.write(name+".pem", pair.Cert), f.write(name+"-key.pem", pair.Key)
}

// listener names files of the folder.
func (f folder) listener(ca, name string) config.TLSListener {
	return config.TLSListener{
		CAFile: f.path(ca + ".pem"), CertFile: f.path(name + ".pem"), KeyFile: f.path(name + "-key.pem"), MinVersion: "TLSv1_2",
	}
}

// servers is the configuration of a server among others.
func (f folder) servers(ca, name string) *config.Config {
	cfg := config.Default()
	cfg.TLS.RPC = f.listener(ca, name)
	cfg.TLS.RPC.VerifyIncoming, cfg.TLS.RPC.VerifyOutgoing = true, true
	return cfg
}

func open(t *testing.T, cfg *config.Config, opts tlsconf.Options) *tlsconf.Keeper {
	t.Helper()
	k, err := tlsconf.Open(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// logBuffer is a log to look at.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// take returns what was logged since the last time.
func (b *logBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.text.Reset()
	return b.text.String()
}

func (b *logBuffer) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: b, Level: hclog.Debug, DisableTime: true})
}
