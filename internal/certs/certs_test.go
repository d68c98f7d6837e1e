package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/certs"
)

var (
	from  = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	years = certs.Validity{From: from, Until: from.AddDate(5, 0, 0)}
	year  = certs.Validity{From: from, Until: from.AddDate(1, 0, 0)}
)

func newAuthority(t *testing.T, domains ...string) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority(certs.AuthorityRequest{Name: "Test CA", Validity: years, OnlyDomains: domains})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func parse(t *testing.T, p certs.Pair) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func TestWhatIsIssuedIsTaken(t *testing.T) {
	a := newAuthority(t)
	pair, err := a.Issue(certs.Request{
		Name: "server.dc1.consul", DNSNames: []string{"server.dc1.consul"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Validity: year,
	})
	if err != nil {
		t.Fatal(err)
	}
	leaf := parse(t, pair)
	if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("key is of type %T, want ECDSA on P-256", leaf.PublicKey)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parse(t, a.Pair()))
	for _, tc := range []struct {
		rule  string
		opts  x509.VerifyOptions
		taken bool
	}{
		{"as the server it names", x509.VerifyOptions{DNSName: "server.dc1.consul", CurrentTime: from}, true},
		{"at its address", x509.VerifyOptions{DNSName: "127.0.0.1", CurrentTime: from}, true},
		{"not as another", x509.VerifyOptions{DNSName: "server.dc2.consul", CurrentTime: from}, false},
		{"not as a client", x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: from}, false},
		{"not after its time", x509.VerifyOptions{CurrentTime: year.Until.Add(time.Second)}, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			tc.opts.Roots = roots
			if _, err := leaf.Verify(tc.opts); (err == nil) != tc.taken {
				t.Errorf("verify: %v, want taken = %v", err, tc.taken)
			}
		})
	}
}

func TestNothingIsIssuedThatNobodyWouldTake(t *testing.T) {
	for _, tc := range []struct {
		rule string
		from *certs.Authority
		req  certs.Request
		why  string // "" when it is issued
	}{
		{"within the authority's time", newAuthority(t), certs.Request{Name: "a", Validity: years}, ""},
		{
			"beyond it", newAuthority(t),
			certs.Request{Name: "a", Validity: certs.Validity{From: from, Until: years.Until.Add(time.Hour)}},
			"longer than the authority itself",
		},
		{"within its domains", newAuthority(t, "consul"), certs.Request{Name: "a", DNSNames: []string{"server.dc1.consul"}, Validity: year}, ""},
		{"outside of them", newAuthority(t, "consul"), certs.Request{Name: "a", DNSNames: []string{"example.com"}, Validity: year}, "not permitted"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			_, err := tc.from.Issue(tc.req)
			if tc.why == "" && err != nil || tc.why != "" && (err == nil || !strings.Contains(err.Error(), tc.why)) {
				t.Errorf("error %v, want one with %q", err, tc.why)
			}
		})
	}
}

func TestReadAuthority(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	leaf, err := a.Issue(certs.Request{Name: "a", Validity: year})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule string
		pair certs.Pair
		why  string
	}{
		{"its own files", a.Pair(), ""},
		{"the key of another", certs.Pair{Cert: a.Pair().Cert, Key: other.Pair().Key}, "private key does not match"},
		{"a certificate that may not sign", leaf, "not that of an authority"},
		{"no certificate", certs.Pair{Key: a.Pair().Key}, "failed to find any PEM data"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			_, err := certs.ReadAuthority(tc.pair)
			if tc.why == "" && err != nil || tc.why != "" && (err == nil || !strings.Contains(err.Error(), tc.why)) {
				t.Errorf("error %v, want one with %q", err, tc.why)
			}
		})
	}
}

func TestTwoAuthoritiesDiffer(t *testing.T) {
	a, b := parse(t, newAuthority(t).Pair()), parse(t, newAuthority(t).Pair())
	if a.Subject.String() == b.Subject.String() || a.SerialNumber.Cmp(b.SerialNumber) == 0 {
		t.Errorf("both are %s with the serial %d", a.Subject, a.SerialNumber)
	}
}
