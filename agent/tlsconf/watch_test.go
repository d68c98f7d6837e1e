package tlsconf_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/tlsconf"
)

// watched is a keeper that looks at its files when the test says so.
type watched struct {
	*tlsconf.Keeper
	log  *logBuffer
	tick chan time.Time
	now  time.Time
}

// watch runs a keeper until stop is called. It must be called in a bubble.
func watch(t *testing.T, cfg *config.Config) (w *watched, stop func()) {
	t.Helper()
	w = &watched{log: &logBuffer{}, tick: make(chan time.Time), now: time.Now()}
	w.Keeper = open(t, cfg, tlsconf.Options{Log: w.log.logger(), Tick: w.tick, Now: func() time.Time { return w.now }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	return w, func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returns %v", err)
		}
	}
}

// look lets the keeper look once, and returns what it logged.
func (w *watched) look() string {
	w.tick <- time.Time{}
	synctest.Wait()
	return w.log.take()
}

// shown is the certificate that a listener shows now.
func shown(t *testing.T, c *tls.Config) *x509.Certificate {
	t.Helper()
	now, err := c.GetConfigForClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	return now.Certificates[0].Leaf
}

func TestNewFilesAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolder(t)
		ca := f.authority("ca")
		f.issue(ca, "server", valid("first.test"))
		w, stop := watch(t, f.servers("ca", "server"))
		defer stop()
		incoming, outgoing := w.Incoming(), w.Outgoing()

		if log := w.look(); log != "" {
			t.Errorf("nothing has changed, and the log says: %s", log)
		}
		f.issue(ca, "server", valid("second.test"))
		if log := w.look(); strings.Count(log, "certificate read again") != 1 || !strings.Contains(log, "second.test") {
			t.Errorf("log: %s", log)
		}
		if got := shown(t, incoming).DNSNames[0]; got != "second.test" {
			t.Errorf("%s is shown to who connects", got)
		}
		pair, err := outgoing.GetClientCertificate(nil)
		if err != nil || pair.Leaf.DNSNames[0] != "second.test" {
			t.Errorf("%v is shown where we connect, error %v", pair.Leaf.DNSNames, err)
		}
	})
}

func TestBrokenFilesChangeNothing(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		spoil func(t *testing.T, f folder)
		why   string
	}{
		{"an empty certificate", func(_ *testing.T, f folder) { f.write("server.pem", nil) }, "holds no certificate in PEM"},
		{"a missing key", func(t *testing.T, f folder) {
			if err := os.Remove(f.path("server-key.pem")); err != nil {
				t.Error(err)
			}
		}, "server-key.pem does not exist"},
		{"an authority that is none", func(_ *testing.T, f folder) { f.write("ca.pem", []byte("x")) }, "holds no certificate in PEM"},
		{"a certificate for another", func(_ *testing.T, f folder) {
			f.issue(f.authority("other"), "server", valid("client.dc1.consul"))
		}, "must be for server.dc1.consul"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFolder(t)
				ca := f.authority("ca")
				f.issue(ca, "server", valid("server.dc1.consul"))
				cfg := f.servers("ca", "server")
				cfg.TLS.VerifyServerHostname = true
				w, stop := watch(t, cfg)
				defer stop()
				incoming := w.Incoming()
				before := shown(t, incoming)

				tc.spoil(t, f)
				if log := w.look(); log != "" {
					t.Errorf("files may be on their way, and the log says: %s", log)
				}
				if log := w.look(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "[ERROR] new certificate files cannot be used, the old ones stay in use") ||
					!strings.Contains(log, tc.why) {
					t.Errorf("log: %s", log)
				}
				if log := w.look(); log != "" {
					t.Errorf("it is said twice: %s", log)
				}
				if err := w.Reload(); err == nil || !strings.Contains(err.Error(), tc.why) {
					t.Errorf("Reload says %v", err)
				}
				if !shown(t, incoming).Equal(before) {
					t.Error("another certificate is shown")
				}

				f.write("ca.pem", ca.Pair().Cert)
				f.issue(ca, "server", valid("server.dc1.consul"))
				if log := w.look(); !strings.Contains(log, "certificate read again") || shown(t, incoming).Equal(before) {
					t.Errorf("the mended files are not used; log: %s", log)
				}
			})
		})
	}
}

func TestFilesThatComeOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolder(t)
		ca := f.authority("ca")
		f.issue(ca, "server", valid("first.test"))
		w, stop := watch(t, f.servers("ca", "server"))
		defer stop()
		next, err := ca.Issue(valid("second.test"))
		if err != nil {
			t.Fatal(err)
		}
		f.write("server.pem", next.Cert)
		if log := w.look(); log != "" || shown(t, w.Incoming()).DNSNames[0] != "first.test" {
			t.Errorf("half a pair is used or complained about: %s", log)
		}
		f.write("server-key.pem", next.Key)
		if w.look(); shown(t, w.Incoming()).DNSNames[0] != "second.test" {
			t.Error("the whole pair is not used")
		}
	})
}

func TestRunLooksByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolder(t)
		ca := f.authority("ca")
		f.issue(ca, "server", valid("first.test"))
		k := open(t, f.servers("ca", "server"), tlsconf.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		f.issue(ca, "server", valid("second.test"))
		time.Sleep(tlsconf.Interval - time.Millisecond)
		synctest.Wait()
		early := shown(t, k.Incoming()).DNSNames[0]
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if late := shown(t, k.Incoming()).DNSNames[0]; early != "first.test" || late != "second.test" {
			t.Errorf("%s before the interval, %s after it", early, late)
		}
		cancel()
		<-ended
	})
}

func TestExpiryIsWarnedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolder(t)
		ca := f.authority("ca")
		start := time.Now().Truncate(time.Second)
		end := start.Add(300 * day)
		f.issue(ca, "server", until(valid("server.dc1.consul"), start.Add(-time.Hour), end))
		cfg := f.servers("ca", "server")
		cfg.TLS.HTTPS, cfg.Ports.HTTPS = cfg.TLS.RPC, 8501 // the same file twice is one certificate
		w, stop := watch(t, cfg)
		defer stop()
		if https, rpc := w.Expiry(); !https.Equal(end) || !rpc.Equal(end) {
			t.Errorf("expiry %s and %s, want %s", https, rpc, end)
		}
		for _, step := range []struct {
			left time.Duration
			says string // of the one line; "" is no line
		}{
			{31 * day, ""},
			{30 * day, "[WARN]  certificate expires soon: "},
			{29 * day, ""},
			{7*day + time.Second, ""},
			{7 * day, "left=168h"},
			{2 * day, ""},
			{time.Hour, "left=1h"},
			{time.Minute, ""},
			{0, "[ERROR] certificate has expired"},
			{-5 * day, ""},
		} {
			w.now = end.Add(-step.left)
			log := w.look()
			if step.says == "" && log != "" || step.says != "" && (strings.Count(log, "\n") != 1 || !strings.Contains(log, step.says)) {
				t.Errorf("%s before the end the log says %q, want %q", step.left, log, step.says)
			}
		}
	})
}

func TestExpiryOfARenewedCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolder(t)
		ca := f.authority("ca")
		now := time.Now().Truncate(time.Second)
		f.issue(ca, "server", until(valid("server.dc1.consul"), now.Add(-300*day), now.Add(5*day)))
		w, stop := watch(t, f.servers("ca", "server"))
		defer stop()
		if log := w.log.take(); strings.Count(log, "expires soon") != 1 {
			t.Errorf("5 days before the end there is one warning at the start, not: %s", log)
		}
		f.issue(ca, "server", until(valid("server.dc1.consul"), now, now.Add(100*day)))
		log := w.look()
		if https, rpc := w.Expiry(); strings.Contains(log, "expires soon") || !https.IsZero() || !rpc.Equal(now.Add(100*day)) {
			t.Errorf("expiry %s and, of HTTPS, %s; log: %s", rpc, https, log)
		}
		w.now = now.Add(80 * day)
		if log := w.look(); strings.Count(log, "expires soon") != 1 {
			t.Errorf("the renewed one is not warned about: %s", log)
		}
	})
}

func TestShortLivesAreNotWarnedAboutFromTheirBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolder(t)
		ca := f.authority("ca")
		now := time.Now().Truncate(time.Second)
		f.issue(ca, "server", until(valid("server.dc1.consul"), now, now.Add(3*day)))
		w, stop := watch(t, f.servers("ca", "server"))
		defer stop()
		if log := w.log.take(); log != "" {
			t.Errorf("log at the start: %s", log)
		}
		w.now = now.Add(50 * time.Hour)
		if log := w.look(); strings.Count(log, "expires soon") != 1 {
			t.Errorf("log on the last day: %s", log)
		}
	})
}

// TestTheAuthorityCountsToo is about an authority that ends before what it issued.
func TestTheAuthorityCountsToo(t *testing.T) {
	f := newFolder(t)
	now := time.Now().Truncate(time.Second)
	old := f.authority("ca")
	f.issue(old, "server", until(valid("server.dc1.consul"), now, old.Until()))
	cfg := f.servers("ca", "server")
	k := open(t, cfg, tlsconf.Options{})
	if _, got := k.Expiry(); !got.Equal(old.Until()) {
		t.Errorf("expiry %s, want that of the authority, %s", got, old.Until())
	}
	log := &logBuffer{}
	open(t, cfg, tlsconf.Options{Log: log.logger(), Now: func() time.Time { return old.Until().Add(-day) }})
	if text := log.take(); !strings.Contains(text, "authority=") || !strings.Contains(text, "for=\"server.dc1.consul") {
		t.Errorf("log: %s", text)
	}
}
