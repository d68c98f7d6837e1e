package login

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Types of methods.
const (
	JWT        = "jwt"
	Cert       = "cert"
	Kubernetes = "kubernetes"
)

// Types are those that a method can have, as errors list them.
var Types = []string{JWT, Cert}

// Bounds of the configuration of a method.
const (
	mostKeys     = 32
	mostMappings = 64
	mostPatterns = 64
)

// JWTConfig is the configuration of a method of type jwt.
//
// Source: contract, ACL API, section 6.1.
type JWTConfig struct {
	JWTValidationPubKeys []string `json:",omitempty"` // PEM

	JWKSURL    string `json:",omitempty"`
	JWKSCACert string `json:",omitempty"`

	OIDCDiscoveryURL    string `json:",omitempty"`
	OIDCDiscoveryCACert string `json:",omitempty"`

	JWTSupportedAlgs  []string          `json:",omitempty"` // empty: all asymmetric ones
	BoundAudiences    []string          `json:",omitempty"`
	BoundIssuer       string            `json:",omitempty"`
	ClaimMappings     map[string]string `json:",omitempty"` // claim or JSON pointer to name
	ListClaimMappings map[string]string `json:",omitempty"`

	ExpirationLeeway duration `json:",omitempty"` // 0: the default; below 0: none
	NotBeforeLeeway  duration `json:",omitempty"`
	ClockSkewLeeway  duration `json:",omitempty"`

	keys  []crypto.PublicKey // of JWTValidationPubKeys
	roots *x509.CertPool     // of the CA of the URL; nil: the system's
}

// CertConfig is the configuration of a method of type cert. A certificate counts when
// it comes from one of the authorities and one of its names is allowed; the first name
// that is, in the order of the fields, is who the client is.
type CertConfig struct {
	// CACerts are the authorities, in PEM; none: those of the listener, which has
	// verified the certificate.
	CACerts []string `json:",omitempty"`

	// AllowedURIs and AllowedDNS are patterns: * stands for anything within one part
	// of the name, ** (URIs only) across parts.
	AllowedURIs []string `json:",omitempty"`
	AllowedDNS  []string `json:",omitempty"`

	AllowCommonName bool `json:",omitempty"`

	// RevokedFingerprints are SHA-256 hashes of certificates that do not count, in
	// hexadecimal; CRLs are lists of revoked certificates, in PEM, each signed by one of
	// CACerts.
	RevokedFingerprints []string `json:",omitempty"`
	CRLs                []string `json:",omitempty"`

	roots   *x509.CertPool
	revoked map[string]bool // fingerprints
	crls    []*x509.RevocationList
	uris    []*regexp.Regexp
	dns     []*regexp.Regexp
}

// kubernetesConfig is read in order to say what is missing.
type kubernetesConfig struct{ Host, CACert, ServiceAccountJWT string }

// duration is a duration as text or as a number of nanoseconds. It is shown as text.
type duration time.Duration

func (d *duration) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
		if text == "-1" {
			*d = -1
			return nil
		}
		parsed, err := time.ParseDuration(text)
		*d = duration(parsed)
		return err
	}
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	var n int64
	err := json.Unmarshal(b, &n)
	*d = duration(n)
	return err
}

// MarshalJSON is part of json.Marshaler.
func (d duration) MarshalJSON() ([]byte, error) {
	if d < 0 {
		return []byte("-1"), nil
	}
	return json.Marshal(time.Duration(d).String())
}

// leeway is how much time a setting gives.
func (d duration) leeway(otherwise time.Duration) time.Duration {
	switch {
	case d < 0:
		return 0
	case d == 0:
		return otherwise
	}
	return time.Duration(d)
}

// Normalize checks the configuration of a method and returns it as it is kept. The
// error's text is the wire's, without what it begins with.
func Normalize(kind string, config []byte) ([]byte, error) {
	switch kind {
	case JWT:
		c, err := parseJWT(config)
		if err != nil {
			return nil, err
		}
		return json.Marshal(c)
	case Cert:
		c, err := parseCert(config)
		if err != nil {
			return nil, err
		}
		return json.Marshal(c)
	case Kubernetes:
		return nil, checkKubernetes(config)
	}
	//lint:ignore ST1005 the text is the wire's
	return nil, fmt.Errorf("Type should be one of: %v", Types)
}

// Names returns the names of the values and of the lists that a method knows.
func Names(kind string, config []byte) (values, lists []string) {
	switch kind {
	case JWT:
		c, err := parseJWT(config)
		if err != nil {
			return nil, nil
		}
		for _, name := range c.ClaimMappings {
			values = append(values, name)
		}
		for _, name := range c.ListClaimMappings {
			lists = append(lists, name)
		}
		return values, lists
	case Cert:
		return certValues, certLists
	}
	return nil, nil
}

// decode reads one JSON object, whose keys must be known.
func decode(config []byte, into any) error {
	if len(bytes.TrimSpace(config)) == 0 {
		config = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(config))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		//lint:ignore ST1005 the text is the wire's
		return fmt.Errorf("Config: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func checkKubernetes(config []byte) error {
	var c kubernetesConfig
	if err := decode(config, &c); err != nil {
		return err
	}
	for _, setting := range []struct{ name, value string }{
		{"Host", c.Host}, {"CACert", c.CACert}, {"ServiceAccountJWT", c.ServiceAccountJWT},
	} {
		if setting.value == "" {
			//lint:ignore ST1005 the text is the wire's
			return fmt.Errorf("Config.%s is required", setting.name)
		}
	}
	return errors.New("type kubernetes is not supported: use type jwt with the OIDCDiscoveryURL or the JWKSURL of the Kubernetes cluster, " +
		"which signs the tokens of its service accounts")
}

// asymmetric are the signatures that count, the usual ones first.
var asymmetric = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

func (c *JWTConfig) algorithms() []jose.SignatureAlgorithm {
	if len(c.JWTSupportedAlgs) == 0 {
		return asymmetric
	}
	out := make([]jose.SignatureAlgorithm, len(c.JWTSupportedAlgs))
	for i, name := range c.JWTSupportedAlgs {
		out[i] = jose.SignatureAlgorithm(name)
	}
	return out
}

func parseJWT(config []byte) (*JWTConfig, error) {
	c := &JWTConfig{}
	if err := decode(config, c); err != nil {
		return nil, err
	}
	sources := 0
	for _, given := range []bool{len(c.JWTValidationPubKeys) > 0, c.JWKSURL != "", c.OIDCDiscoveryURL != ""} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		return nil, fmt.Errorf("exactly one of 'JWTValidationPubKeys', 'JWKSURL', or 'OIDCDiscoveryURL' must be set for type %q", JWT)
	}
	if len(c.JWTValidationPubKeys) > mostKeys {
		return nil, fmt.Errorf("JWTValidationPubKeys has more than %d keys", mostKeys)
	}
	for i, text := range c.JWTValidationPubKeys {
		key, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("error parsing public key JWTValidationPubKeys[%d]: %w", i, err)
		}
		c.keys = append(c.keys, key)
	}
	var err error
	if c.roots, err = checkSource("JWKSURL", c.JWKSURL, "JWKSCACert", c.JWKSCACert); err != nil {
		return nil, err
	}
	roots, err := checkSource("OIDCDiscoveryURL", c.OIDCDiscoveryURL, "OIDCDiscoveryCACert", c.OIDCDiscoveryCACert)
	if err != nil {
		return nil, err
	}
	if roots != nil {
		c.roots = roots
	}
	for _, name := range c.JWTSupportedAlgs {
		if !slices.Contains(asymmetric, jose.SignatureAlgorithm(name)) {
			return nil, fmt.Errorf("JWTSupportedAlgs: %q is not one of %v", name, asymmetric)
		}
	}
	if err := checkMappings("ClaimMappings", c.ClaimMappings); err != nil {
		return nil, err
	}
	return c, checkMappings("ListClaimMappings", c.ListClaimMappings)
}

// checkSource checks a URL that keys are fetched from, and its authority.
func checkSource(name, where, caName, ca string) (*x509.CertPool, error) {
	if where == "" {
		if ca != "" {
			return nil, fmt.Errorf("%s is set without %s", caName, name)
		}
		return nil, nil
	}
	if err := checkURL(where); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if ca == "" {
		return nil, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		return nil, fmt.Errorf("%s has no certificate in PEM", caName)
	}
	return roots, nil
}

// checkURL refuses what keys cannot be fetched from safely: whoever can change them on
// the way can make tokens.
func checkURL(where string) error {
	u, err := url.Parse(where)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q is not a URL", where)
	}
	switch {
	case u.User != nil:
		return fmt.Errorf("%q has a user", u.Redacted())
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%q is not an https URL", where)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// variable is what a value or a list may be called.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func checkMappings(what string, mappings map[string]string) error {
	if len(mappings) > mostMappings {
		return fmt.Errorf("%s has more than %d entries", what, mostMappings)
	}
	seen := map[string]string{}
	for claim, name := range mappings {
		if !variable.MatchString(name) {
			return fmt.Errorf("%s: %q cannot be the name of a value: only letters, digits and '_' are allowed", what, name)
		}
		if other, twice := seen[name]; twice {
			return fmt.Errorf("%s maps two claims to %q: %q and %q", what, name, min(claim, other), max(claim, other))
		}
		seen[name] = claim
	}
	return nil
}

// parseKey reads a public key, or the one in a certificate.
func parseKey(text string) (crypto.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("data does not contain any valid public keys in PEM")
	}
	switch block.Type {
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

func parseCert(config []byte) (*CertConfig, error) {
	c := &CertConfig{}
	if err := decode(config, c); err != nil {
		return nil, err
	}
	if len(c.AllowedURIs) == 0 && len(c.AllowedDNS) == 0 && !c.AllowCommonName {
		return nil, errors.New("no name is allowed: set 'AllowedURIs', 'AllowedDNS' or 'AllowCommonName'")
	}
	if len(c.AllowedURIs)+len(c.AllowedDNS) > mostPatterns {
		return nil, fmt.Errorf("more than %d names are allowed", mostPatterns)
	}
	for _, pattern := range c.AllowedURIs {
		c.uris = append(c.uris, glob(pattern, "/"))
	}
	for _, pattern := range c.AllowedDNS {
		c.dns = append(c.dns, glob(strings.ToLower(pattern), "."))
	}
	authorities, err := c.parseAuthorities()
	if err != nil {
		return nil, err
	}
	c.revoked = map[string]bool{}
	for _, f := range c.RevokedFingerprints {
		plain := strings.ToLower(strings.ReplaceAll(f, ":", ""))
		if !fingerprintForm.MatchString(plain) {
			return nil, fmt.Errorf("RevokedFingerprints: %q is not the SHA-256 hash of a certificate in hexadecimal", f)
		}
		c.revoked[plain] = true
	}
	return c, c.parseCRLs(authorities)
}

var fingerprintForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (c *CertConfig) parseAuthorities() (all []*x509.Certificate, err error) {
	for i, text := range c.CACerts {
		rest := []byte(text)
		for found := false; ; found = true {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				if !found {
					return nil, fmt.Errorf("CACerts[%d] has no certificate in PEM", i)
				}
				break
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("CACerts[%d]: %w", i, err)
			}
			if c.roots == nil {
				c.roots = x509.NewCertPool()
			}
			c.roots.AddCert(cert)
			all = append(all, cert)
		}
	}
	return all, nil
}

func (c *CertConfig) parseCRLs(authorities []*x509.Certificate) error {
	for i, text := range c.CRLs {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			return fmt.Errorf("CRLs[%d] has no list in PEM", i)
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return fmt.Errorf("CRLs[%d]: %w", i, err)
		}
		signed := func(ca *x509.Certificate) bool { return list.CheckSignatureFrom(ca) == nil }
		if !slices.ContainsFunc(authorities, signed) {
			return fmt.Errorf("CRLs[%d] is not signed by one of 'CACerts'", i)
		}
		c.crls = append(c.crls, list)
	}
	return nil
}

// glob makes an expression of a pattern whose parts are separated by sep.
func glob(pattern, sep string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("^")
	for rest := pattern; rest != ""; {
		switch {
		case sep == "/" && strings.HasPrefix(rest, "**"):
			b.WriteString(".*")
			rest = rest[2:]
		case rest[0] == '*':
			b.WriteString("[^" + regexp.QuoteMeta(sep) + "]*")
			rest = rest[1:]
		default:
			i := strings.IndexByte(rest, '*')
			if i < 0 {
				i = len(rest)
			}
			b.WriteString(regexp.QuoteMeta(rest[:i]))
			rest = rest[i:]
		}
	}
	b.WriteString("$")
	return regexp.MustCompile("(?s)" + b.String())
}

// lastPart is the end of a path.
func lastPart(p string) string {
	if last := path.Base(p); last != "." && last != "/" {
		return last
	}
	return ""
}
