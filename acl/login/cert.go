package login

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// certValues and certLists are what binding rules may speak of.
var (
	certValues = []string{"name", "uri", "dns0", "cn", "ou", "spiffe.trust_domain", "spiffe.path", "fingerprint"}
	certLists  = []string{"uri", "dns"}
)

// nameBytes bounds the name of whoever has a certificate.
const nameBytes = 512

// Presented is a certificate as a connection has it.
type Presented struct {
	Chain    []*x509.Certificate // as the client sent it: its own first, at least one
	Verified bool                // by the listener, against its own authorities
}

// Certificate returns whom a certificate is about, by a method of type cert. The error
// says why it does not count there.
func Certificate(config []byte, p Presented, now time.Time) (*Subject, error) {
	c, err := parseCert(config)
	if err != nil {
		return nil, err
	}
	leaf := p.Chain[0]
	if err := c.trust(p, now); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(leaf.Raw)
	fingerprint := hex.EncodeToString(sum[:])
	if c.revoked[fingerprint] || c.listed(leaf) {
		return nil, errors.New("the certificate was revoked")
	}
	s := &Subject{Values: map[string]string{"cn": leaf.Subject.CommonName, "fingerprint": fingerprint}, Lists: map[string][]string{}}
	for _, u := range leaf.URIs {
		s.Lists["uri"] = append(s.Lists["uri"], u.String())
	}
	for _, name := range leaf.DNSNames {
		s.Lists["dns"] = append(s.Lists["dns"], strings.ToLower(name))
	}
	s.Values["ou"] = strings.Join(leaf.Subject.OrganizationalUnit, ",")
	if len(s.Lists["dns"]) > 0 {
		s.Values["dns0"] = s.Lists["dns"][0]
	}
	if err := c.name(s, leaf); err != nil {
		return nil, err
	}
	for name, value := range s.Values {
		if value == "" || len(value) > valueBytes {
			delete(s.Values, name)
		}
	}
	s.Expires = leaf.NotAfter
	return s, nil
}

// trust tells why a certificate is not one of the authorities'.
func (c *CertConfig) trust(p Presented, now time.Time) error {
	if c.roots == nil {
		if !p.Verified {
			return errors.New("the certificate was not verified by the listener, and the method names no authorities")
		}
		if now.After(p.Chain[0].NotAfter) {
			return errors.New("the certificate has expired")
		}
		return nil
	}
	between := x509.NewCertPool()
	for _, cert := range p.Chain[1:] {
		between.AddCert(cert)
	}
	_, err := p.Chain[0].Verify(x509.VerifyOptions{
		Roots: c.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

// listed tells whether a list of its issuer has the certificate.
func (c *CertConfig) listed(leaf *x509.Certificate) bool {
	for _, list := range c.crls {
		if string(list.RawIssuer) != string(leaf.RawIssuer) {
			continue
		}
		if slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
			return e.SerialNumber.Cmp(leaf.SerialNumber) == 0
		}) {
			return true
		}
	}
	return false
}

// name finds the first name of the certificate that is allowed.
func (c *CertConfig) name(s *Subject, leaf *x509.Certificate) error {
	for _, u := range leaf.URIs {
		text := u.String()
		for _, pattern := range c.uris {
			if !pattern.MatchString(text) {
				continue
			}
			s.Name, s.Values["uri"], s.Values["name"] = text, text, lastPart(u.Path)
			if u.Scheme == "spiffe" {
				s.Values["spiffe.trust_domain"], s.Values["spiffe.path"] = u.Host, strings.TrimPrefix(u.Path, "/")
			}
			return checkName(s.Name)
		}
	}
	for _, dns := range s.Lists["dns"] {
		for _, pattern := range c.dns {
			if pattern.MatchString(dns) {
				s.Name = dns
				s.Values["name"], _, _ = strings.Cut(dns, ".")
				return checkName(s.Name)
			}
		}
	}
	if c.AllowCommonName && leaf.Subject.CommonName != "" {
		s.Name, s.Values["name"] = leaf.Subject.CommonName, leaf.Subject.CommonName
		return checkName(s.Name)
	}
	return errors.New("no name in the certificate is allowed")
}

// checkName refuses names that could not be told apart in records.
func checkName(name string) error {
	if len(name) > nameBytes || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("the name %.80q in the certificate is too long, or has characters that cannot be printed", name)
	}
	return nil
}
