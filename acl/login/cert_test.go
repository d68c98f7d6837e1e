package login

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newSigner(t, "").key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId: []byte(name),
	}
	a.cert = a.sign(template, template, &a.key.PublicKey)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// issue makes a certificate of a client; change may change what it is for.
func (a *authority) issue(change func(*x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(77), NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	return a.sign(template, a.cert, &key.PublicKey)
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

func (a *authority) crl(serials ...int64) string {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: noon, NextUpdate: noon.Add(time.Hour)}
	for _, n := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: noon})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

func withURIs(uris ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, text := range uris {
			u, err := url.Parse(text)
			if err != nil {
				panic(err)
			}
			c.URIs = append(c.URIs, u)
		}
	}
}

func TestCertificatesAreSubjects(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	web := ours.issue(withURIs("spiffe://example.org/production/web"))
	named := ours.issue(func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "Web One", OrganizationalUnit: []string{"payments"}}
		c.DNSNames = []string{"Web-1.internal.example.org", "other.example.org"}
	})
	sum := sha256.Sum256(web.Raw)
	fingerprint := hex.EncodeToString(sum[:])
	cas := []any{"CACerts", []string{ours.pem()}}
	for _, tc := range []struct {
		rule     string
		config   []any
		cert     *x509.Certificate
		verified bool
		name     string            // "": refused
		values   map[string]string // some of them
		fault    string
	}{
		{
			"an allowed URI is the name", append([]any{"AllowedURIs", []string{"spiffe://example.org/*/web"}}, cas...), web, false,
			"spiffe://example.org/production/web",
			map[string]string{
				"name": "web", "uri": "spiffe://example.org/production/web", "spiffe.trust_domain": "example.org", "spiffe.path": "production/web",
				"fingerprint": fingerprint,
			},
			"",
		},
		{"a star stays within a part", append([]any{"AllowedURIs", []string{"spiffe://example.org/*"}}, cas...), web, false, "", nil, "no name in the certificate is allowed"},
		{"two stars do not", append([]any{"AllowedURIs", []string{"spiffe://example.org/**"}}, cas...), web, false, "spiffe://example.org/production/web", nil, ""},
		{"a pattern is not an expression", append([]any{"AllowedURIs", []string{"spiffe://example.org/.*/.*"}}, cas...), web, false, "", nil, "no name"},
		{"a pattern is about the whole name", append([]any{"AllowedURIs", []string{"example.org/production/web"}}, cas...), web, false, "", nil, "no name"},
		{
			"an allowed DNS name is the name, in lower case", append([]any{"AllowedDNS", []string{"*.internal.example.org"}}, cas...), named, false,
			"web-1.internal.example.org",
			map[string]string{"name": "web-1", "cn": "Web One", "ou": "payments", "dns0": "web-1.internal.example.org"},
			"",
		},
		{"a star stays within a label", append([]any{"AllowedDNS", []string{"*.org"}}, cas...), named, false, "", nil, "no name"},
		{"the common name does not count", append([]any{"AllowedDNS", []string{"Web One"}}, cas...), named, false, "", nil, "no name"},
		{"unless it is allowed", append([]any{"AllowCommonName", true}, cas...), named, false, "Web One", map[string]string{"name": "Web One"}, ""},
		{"another authority's certificate is nothing", []any{"AllowedURIs", []string{"**"}, "CACerts", []string{theirs.pem()}}, web, true, "", nil, "unknown authority"},
		{"without authorities the listener's word counts", []any{"AllowedURIs", []string{"**"}}, web, true, "spiffe://example.org/production/web", nil, ""},
		{"and must be there", []any{"AllowedURIs", []string{"**"}}, web, false, "", nil, "not verified"},
		{"a server's certificate is no client's", append([]any{"AllowCommonName", true}, cas...), ours.issue(func(c *x509.Certificate) {
			c.Subject.CommonName, c.ExtKeyUsage = "x", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), false, "", nil, "usage"},
		{"one that has expired is nothing", append([]any{"AllowCommonName", true}, cas...), ours.issue(func(c *x509.Certificate) {
			c.Subject.CommonName, c.NotAfter = "x", noon.Add(-time.Second)
		}), false, "", nil, "expired"},
		{"nor is it where the listener took it", []any{"AllowCommonName", true}, ours.issue(func(c *x509.Certificate) {
			c.Subject.CommonName, c.NotAfter = "x", noon.Add(-time.Second)
		}), true, "", nil, "expired"},
		{"a revoked fingerprint is nothing", append([]any{"AllowedURIs", []string{"**"}, "RevokedFingerprints", []string{fingerprint}}, cas...), web, false, "", nil, "revoked"},
		{"a listed serial number is nothing", append([]any{"AllowedURIs", []string{"**"}, "CRLs", []string{ours.crl(5, 77)}}, cas...), web, false, "", nil, "revoked"},
		{"a list without it changes nothing", append([]any{"AllowedURIs", []string{"**"}, "CRLs", []string{ours.crl(5)}}, cas...), web, false, "spiffe://example.org/production/web", nil, ""},
		{"another authority's list is refused", append([]any{"AllowedURIs", []string{"**"}, "CRLs", []string{theirs.crl(77)}}, cas...), web, false, "", nil, "not signed by"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			s, err := Certificate(config(t, tc.config...), Presented{Chain: []*x509.Certificate{tc.cert}, Verified: tc.verified}, noon)
			if tc.name == "" {
				if err == nil {
					t.Fatalf("it counts as %q", s.Name)
				}
				expectFault(t, err, tc.fault)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Name != tc.name || !s.Expires.Equal(tc.cert.NotAfter) {
				t.Errorf("it is %q until %s, want %q until %s", s.Name, s.Expires, tc.name, tc.cert.NotAfter)
			}
			for name, want := range tc.values {
				if s.Values[name] != want {
					t.Errorf("%s is %q, want %q", name, s.Values[name], want)
				}
			}
		})
	}
}
