package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"
)

// Pair is a certificate and the key that belongs to it, both in PEM.
type Pair struct {
	Cert []byte
	Key  []byte // secret
}

// Validity is when a certificate counts.
type Validity struct {
	From, Until time.Time
}

// AuthorityRequest says what a new authority is to be.
type AuthorityRequest struct {
	Name     string // the common name; the serial number is put behind it, so that two authorities differ
	Validity Validity

	// OnlyDomains, unless it is empty, are the DNS names (with what is below them)
	// that certificates of the authority may be for. Addresses are not bound by it.
	OnlyDomains []string
}

// Request says what a certificate is to be for.
type Request struct {
	Name     string // the common name
	DNSNames []string
	IPs      []net.IP
	URIs     []*url.URL // such as spiffe://example.org/production/web
	Server   bool       // may stand for a server
	Client   bool       // may stand for a client
	Validity Validity
}

// Authority issues certificates.
type Authority struct {
	pair Pair
	cert *x509.Certificate
	key  crypto.Signer
}

// NewAuthority makes an authority with a new key.
func NewAuthority(r AuthorityRequest) (*Authority, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:                serial,
		Subject:                     pkix.Name{CommonName: fmt.Sprintf("%s %d", r.Name, serial)},
		NotBefore:                   r.Validity.From,
		NotAfter:                    r.Validity.Until,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		IsCA:                        true,
		BasicConstraintsValid:       true,
		SubjectKeyId:                id,
		AuthorityKeyId:              id,
		PermittedDNSDomains:         r.OnlyDomains,
		PermittedDNSDomainsCritical: len(r.OnlyDomains) > 0,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return ReadAuthority(Pair{Cert: encode("CERTIFICATE", der), Key: keyPEM})
}

// ReadAuthority takes an authority that was made before.
func ReadAuthority(p Pair) (*Authority, error) {
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	switch {
	case !ok:
		return nil, errors.New("read authority: its key cannot sign")
	case !pair.Leaf.IsCA || !pair.Leaf.BasicConstraintsValid:
		return nil, errors.New("read authority: the certificate is not that of an authority")
	}
	return &Authority{pair: p, cert: pair.Leaf, key: key}, nil
}

// Pair is the authority's own certificate and key.
func (a *Authority) Pair() Pair { return a.pair }

// Until is when the authority's certificate expires, and with it all that it issued.
func (a *Authority) Until() time.Time { return a.cert.NotAfter }

// Issue makes a certificate with a new key. It is checked the way the other side of
// a connection will check it, so that no certificate comes out that nobody takes:
// one that lives longer than the authority, or whose names the authority may not give.
func (a *Authority) Issue(r Request) (Pair, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return Pair{}, err
	}
	id, err := keyID(key.Public())
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: r.Name},
		DNSNames:              r.DNSNames,
		IPAddresses:           r.IPs,
		URIs:                  r.URIs,
		NotBefore:             r.Validity.From,
		NotAfter:              r.Validity.Until,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true,
		SubjectKeyId:          id,
	}
	if r.Server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if r.Client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("issue certificate for %s: %w", r.Name, err)
	}
	if err := a.check(der); err != nil {
		return Pair{}, fmt.Errorf("issue certificate for %s: %w", r.Name, err)
	}
	return Pair{Cert: encode("CERTIFICATE", der), Key: keyPEM}, nil
}

// check verifies a certificate that was just made, as of its last second.
func (a *Authority) check(der []byte) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if cert.NotAfter.After(a.cert.NotAfter) {
		return fmt.Errorf("it would be valid until %s, longer than the authority itself, %s",
			cert.NotAfter.Format(time.DateOnly), a.cert.NotAfter.Format(time.DateOnly))
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: cert.NotAfter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	return key, encode("EC PRIVATE KEY", der), nil
}

// newSerial is a random number of 127 bits, never 0.
//
// Source: RFC 5280, section 4.1.2.2: positive, at most 20 bytes.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

// keyID names a key in certificates.
func keyID(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
