package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// A NameError is a certificate that is valid and for somebody else: a client's, say,
// that is shown as a server's.
type NameError struct {
	Has  string // what it is for
	Want string // what it must be for
}

// Error names both.
func (e *NameError) Error() string {
	return fmt.Sprintf("the certificate is for %s, and that of a server is for %s", e.Has, e.Want)
}

// names says what a certificate is for.
func names(c *x509.Certificate) string {
	words := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		words = append(words, ip.String())
	}
	switch {
	case len(words) > 0:
		return strings.Join(words, ", ")
	case c.Subject.CommonName != "":
		return c.Subject.CommonName + " (as common name only, which does not count)"
	}
	return "nobody"
}

// checkName is what is wrong with a certificate for name; "" is anybody.
func checkName(c *x509.Certificate, name string) error {
	if name == "" || c.VerifyHostname(name) == nil {
		return nil
	}
	return &NameError{Has: names(c), Want: name}
}

// verifyServer does for an outgoing connection what crypto/tls does with fixed
// authorities, with those of the current files.
func verifyServer(cs tls.ConnectionState, roots *x509.CertPool, name string) error {
	between := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		between.AddCert(c)
	}
	leaf := cs.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	return checkName(leaf, name)
}
