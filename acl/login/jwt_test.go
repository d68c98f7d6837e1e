package login

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// signer is an identity provider's key.
type signer struct {
	key *ecdsa.PrivateKey
	kid string
}

func newSigner(t *testing.T, kid string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, kid}
}

func (s signer) pem(t *testing.T) string {
	t.Helper()
	return publicPEM(t, s.key.Public())
}

func publicPEM(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (s signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	return signWith(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.key, KeyID: s.kid}}, claims)
}

func signWith(t *testing.T, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Algorithm: "ES256", Use: "sig"}
}

// config makes a configuration of pairs of a name and a value.
func config(t *testing.T, pairs ...any) []byte {
	t.Helper()
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// at is noon and some seconds, as claims have it.
func at(seconds int) int64 { return noon.Unix() + int64(seconds) }

func TestClaimsOfATokenDecide(t *testing.T) {
	s := newSigner(t, "")
	standard := []any{"JWTValidationPubKeys", []string{s.pem(t)}}
	claims := func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	for _, tc := range []struct {
		rule   string
		config []any
		claims map[string]any
		fault  string // in the error; "": none
	}{
		{"one that is valid now counts", nil, claims("iat", at(-10), "exp", at(600)), ""},
		{"one time is enough: iat", nil, claims("iat", at(-10)), ""},
		{"one time is enough: nbf", nil, claims("nbf", at(-10)), ""},
		{"one time is enough: exp", nil, claims("exp", at(10)), ""},
		{"one without any time does not", nil, claims("sub", "x"), "no issue time, notbefore, or expiration time"},
		{"clocks may differ by a minute", nil, claims("exp", at(-59)), ""},
		{"and not by more", nil, claims("exp", at(-61)), "expired"},
		{"unless the method says otherwise", []any{"ClockSkewLeeway", "2m"}, claims("exp", at(-61)), ""},
		{"or says not at all", []any{"ClockSkewLeeway", -1}, claims("exp", at(-2)), "expired"},
		{"one that begins later does not count yet", nil, claims("nbf", at(61), "exp", at(600)), "not valid yet"},
		{"one that was issued in the future does not", nil, claims("iat", at(61), "nbf", at(-1)), "issued in the future"},
		{"a missing end comes after a leeway", nil, claims("iat", at(-150-59)), ""},
		{"which ends too", nil, claims("iat", at(-150-61)), "expired"},
		{"the leeway may be longer", []any{"ExpirationLeeway", "1h"}, claims("iat", at(-3000)), ""},
		{"the leeway may be none", []any{"ExpirationLeeway", -1, "ClockSkewLeeway", -1}, claims("iat", at(-1)), "expired"},
		{"a missing beginning comes before a leeway", nil, claims("exp", at(150+59)), ""},
		{"which has not begun too early", nil, claims("exp", at(150+62)), "not valid yet"},

		{"a bound issuer must be the issuer", []any{"BoundIssuer", "us"}, claims("iat", at(0), "iss", "us"), ""},
		{"another issuer is refused", []any{"BoundIssuer", "us"}, claims("iat", at(0), "iss", "them"), "(iss)"},
		{"no issuer is another issuer", []any{"BoundIssuer", "us"}, claims("iat", at(0)), "(iss)"},
		{"one audience of several is enough", []any{"BoundAudiences", []string{"a", "b"}}, claims("iat", at(0), "aud", []string{"b", "c"}), ""},
		{"an audience may be a text", []any{"BoundAudiences", []string{"a"}}, claims("iat", at(0), "aud", "a"), ""},
		{"another audience is refused", []any{"BoundAudiences", []string{"a"}}, claims("iat", at(0), "aud", "b"), "aud claim"},
		{"no audience is another audience", []any{"BoundAudiences", []string{"a"}}, claims("iat", at(0)), "aud claim"},
		{"an audience where none is bound is for somebody else", nil, claims("iat", at(0), "aud", "a"), "no audiences are bound"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			_, err := NewMethods().Token(t.Context(), "m", config(t, append(tc.config, standard...)...), s.sign(t, tc.claims), noon)
			expectFault(t, err, tc.fault)
		})
	}
}

func expectFault(t *testing.T, err error, fault string) {
	t.Helper()
	switch {
	case fault == "" && err != nil:
		t.Errorf("refused: %v", err)
	case fault != "" && (err == nil || !strings.Contains(err.Error(), fault)):
		t.Errorf("error is %v, want one with %q", err, fault)
	}
}

// TestForgedTokensDoNotCount: signatures by other keys, by none, or by the public key
// taken for a shared secret.
func TestForgedTokensDoNotCount(t *testing.T) {
	s, other := newSigner(t, ""), newSigner(t, "")
	method := config(t, "JWTValidationPubKeys", []string{s.pem(t)})
	good := map[string]any{"iat": at(0), "sub": "x"}
	token := s.sign(t, good)
	if _, err := NewMethods().Token(t.Context(), "m", method, token, noon); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	encode := base64.RawURLEncoding.EncodeToString
	unsigned := encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	shared := signWith(t, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(s.pem(t))}, good)
	altered := parts[0] + "." + encode([]byte(fmt.Sprintf(`{"iat":%d,"sub":"root"}`, at(0)))) + "." + parts[2]
	for name, tc := range map[string]struct{ token, fault string }{
		"another key":                        {other.sign(t, good), "no known key"},
		"no signature":                       {unsigned, "error parsing token"},
		"the public key as a shared secret":  {shared, "error parsing token"},
		"claims that were altered":           {altered, "no known key"},
		"nothing":                            {"", "missing jwt"},
		"no token at all":                    {"hello", "error parsing token"},
		"one that is longer than any":        {strings.Repeat("a", tokenBytes+1), "too long"},
		"a signature cut off":                {parts[0] + "." + parts[1] + ".", "no known key"},
		"an algorithm that is not supported": {token, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			used := method
			if tc.fault == "-" {
				used, tc.fault = config(t, "JWTValidationPubKeys", []string{s.pem(t)}, "JWTSupportedAlgs", []string{"RS256"}), "error parsing token"
			}
			_, err := NewMethods().Token(t.Context(), "m", used, tc.token, noon)
			if err == nil {
				t.Fatal("it counts")
			}
			expectFault(t, err, tc.fault)
		})
	}
}

func TestClaimsAreTakenOver(t *testing.T) {
	s := newSigner(t, "")
	method := config(t,
		"JWTValidationPubKeys", []string{s.pem(t)},
		"ClaimMappings", map[string]string{"team": "team", "/address/city": "city", "level": "level", "admin": "admin", "none": "none"},
		"ListClaimMappings", map[string]string{"groups": "groups", "/nested/list": "nested", "one": "one"},
	)
	got, err := NewMethods().Token(t.Context(), "m", method, s.sign(t, map[string]any{
		"iat": at(0), "sub": "somebody", "team": "Payments", "address": map[string]any{"city": "Bern"}, "level": 7, "admin": true,
		"groups": []string{"a", "b"}, "nested": map[string]any{"list": []any{"x", 1}}, "one": "alone",
	}), noon)
	if err != nil {
		t.Fatal(err)
	}
	want := &Subject{
		Name:   "somebody",
		Values: map[string]string{"team": "Payments", "city": "Bern", "level": "7", "admin": "true"},
		Lists:  map[string][]string{"groups": {"a", "b"}, "nested": {"x", "1"}, "one": {"alone"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, err = NewMethods().Token(t.Context(), "m", method, s.sign(t, map[string]any{"iat": at(0), "team": map[string]any{}}), noon)
	expectFault(t, err, `error converting claim "team"`)
}

// provider is an identity provider that serves its keys.
type provider struct {
	*httptest.Server
	keys   atomic.Pointer[jose.JSONWebKeySet]
	asked  atomic.Int64
	broken atomic.Bool
	hang   atomic.Pointer[hang] // nil: it answers at once
}

// hang tells of a request and keeps it until answer is closed.
type hang struct{ asked, answer chan struct{} }

func newProvider(t *testing.T, signers ...signer) *provider {
	t.Helper()
	p := &provider{}
	p.rotate(signers...)
	mux := http.NewServeMux()
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		if h := p.hang.Load(); h != nil {
			h.asked <- struct{}{}
			<-h.answer
		}
		if p.broken.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(p.keys.Load())
	})
	mux.HandleFunc("/modern", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{"kty": "XYZ"}, p.keys.Load().Keys[0]}})
	})
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte(" "), fetchBytes+2))
	})
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys"})
	})
	mux.HandleFunc("/liar/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": "https://somebody.example", "jwks_uri": p.URL + "/keys"})
	})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) rotate(signers ...signer) {
	set := &jose.JSONWebKeySet{}
	for _, s := range signers {
		set.Keys = append(set.Keys, s.public())
	}
	p.keys.Store(set)
}

func (p *provider) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
}

func TestKeysAreFetched(t *testing.T) {
	s := newSigner(t, "k1")
	p := newProvider(t, s)
	token := s.sign(t, map[string]any{"iat": at(0), "iss": p.URL})
	stranger := s.sign(t, map[string]any{"iat": at(0), "iss": "https://somebody.example"})
	for _, tc := range []struct {
		rule   string
		config []any
		token  string
		fault  string
	}{
		{"from a key set", []any{"JWKSURL", p.URL + "/keys", "JWKSCACert", p.ca()}, token, ""},
		{"from a key set with keys of a kind that nobody knows", []any{"JWKSURL", p.URL + "/modern", "JWKSCACert", p.ca()}, token, ""},
		{"whose issuer is any", []any{"JWKSURL", p.URL + "/keys", "JWKSCACert", p.ca()}, stranger, ""},
		{"by the word of a provider", []any{"OIDCDiscoveryURL", p.URL, "OIDCDiscoveryCACert", p.ca()}, token, ""},
		{"which must be the issuer", []any{"OIDCDiscoveryURL", p.URL, "OIDCDiscoveryCACert", p.ca()}, stranger, "(iss)"},
		{"and the bound one", []any{"OIDCDiscoveryURL", p.URL, "OIDCDiscoveryCACert", p.ca(), "BoundIssuer", "us"}, token, "(iss)"},
		{"not from one who says it is another", []any{"OIDCDiscoveryURL", p.URL + "/liar", "OIDCDiscoveryCACert", p.ca()}, token, "says that it is"},
		{"not from one with another's certificate", []any{"JWKSURL", p.URL + "/keys"}, token, "certificate"},
		{"not from where it points to", []any{"JWKSURL", p.URL + "/elsewhere", "JWKSCACert", p.ca()}, token, "302"},
		{"not without end", []any{"JWKSURL", p.URL + "/huge", "JWKSCACert", p.ca()}, token, "more than"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			_, err := NewMethods().Token(t.Context(), "m", config(t, tc.config...), tc.token, noon)
			expectFault(t, err, tc.fault)
		})
	}
}

// TestKeysAreKeptAndReplaced: a provider is asked again when it may have new keys, and
// never as often as clients like.
func TestKeysAreKeptAndReplaced(t *testing.T) {
	old, young := newSigner(t, "k1"), newSigner(t, "k2")
	p := newProvider(t, old)
	m := NewMethods()
	method := config(t, "JWKSURL", p.URL+"/keys", "JWKSCACert", p.ca(), "ClockSkewLeeway", "24h")
	try := func(s signer, after time.Duration, fault string, asked int64) {
		t.Helper()
		_, err := m.Token(t.Context(), "m", method, s.sign(t, map[string]any{"iat": at(0)}), noon.Add(after))
		expectFault(t, err, fault)
		if got := p.asked.Load(); got != asked {
			t.Errorf("after %s the provider was asked %d times, want %d", after, got, asked)
		}
	}
	try(old, 0, "", 1)
	try(old, time.Second, "", 1)
	p.rotate(old, young)
	// Some room, since it takes a moment to ask.
	const later = keysPause + 5*time.Second
	try(young, 2*time.Second, "no known key", 1) // asked a moment ago
	try(young, later, "", 2)                     // an unknown key is a reason to ask
	for range 20 {
		try(newSigner(t, "k3"), later+time.Second, "no known key", 2)
	}
	p.rotate(young)
	try(old, 2*later, "", 2) // taken back, which is noticed when they are no longer fresh
	try(old, later+keysFresh, "no known key", 3)
	p.broken.Store(true)
	try(young, later+2*keysFresh, "", 4)
	try(young, later+2*keysFresh+time.Second, "", 4)
	try(young, later+keysFresh+keysUsable, "error fetching keys", 5)
	_, err := m.Token(t.Context(), "m", method, young.sign(t, map[string]any{"iat": at(0)}), noon.Add(later+keysFresh+keysUsable))
	if !errors.Is(err, ErrProvider) {
		t.Errorf("%v is not an error of the provider", err)
	}
}

// TestAProviderThatHangsHoldsUpNobody: as long as there are keys that may be used.
func TestAProviderThatHangsHoldsUpNobody(t *testing.T) {
	s := newSigner(t, "k1")
	p := newProvider(t, s)
	m := NewMethods()
	method := config(t, "JWKSURL", p.URL+"/keys", "JWKSCACert", p.ca(), "ClockSkewLeeway", "24h")
	token := s.sign(t, map[string]any{"iat": at(0)})
	if _, err := m.Token(t.Context(), "m", method, token, noon); err != nil {
		t.Fatal(err)
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	p.hang.Store(&hang{asked, answer})
	first := make(chan error, 1)
	go func() {
		_, err := m.Token(t.Context(), "m", method, token, noon.Add(keysFresh))
		first <- err
	}()
	<-asked
	for range 3 {
		if _, err := m.Token(t.Context(), "m", method, token, noon.Add(keysFresh)); err != nil {
			t.Error(err)
		}
	}
	close(answer)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if got := p.asked.Load(); got != 2 {
		t.Errorf("the provider was asked %d times", got)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	s := newSigner(t, "")
	keys := []any{"JWTValidationPubKeys", []string{s.pem(t)}}
	for _, tc := range []struct {
		rule   string
		kind   string
		config []any
		fault  string
	}{
		{"no source of keys", JWT, nil, "exactly one of"},
		{"two sources", JWT, append([]any{"JWKSURL", "https://a"}, keys...), "exactly one of"},
		{"a key that is none", JWT, []any{"JWTValidationPubKeys", []string{"x"}}, "error parsing public key JWTValidationPubKeys[0]"},
		{"a URL without encryption", JWT, []any{"JWKSURL", "http://idp.example/keys"}, "not an https URL"},
		{"a URL of a file", JWT, []any{"JWKSURL", "file:///etc/passwd"}, "not a URL"},
		{"a URL with a password", JWT, []any{"JWKSURL", "https://a:b@idp.example/"}, "has a user"},
		{"a CA without its URL", JWT, append([]any{"JWKSCACert", "x"}, keys...), "JWKSCACert is set without JWKSURL"},
		{"a CA that is none", JWT, []any{"JWKSURL", "https://a", "JWKSCACert", "x"}, "JWKSCACert has no certificate"},
		{"a shared secret", JWT, append([]any{"JWTSupportedAlgs", []string{"HS256"}}, keys...), `"HS256"`},
		{"no signature", JWT, append([]any{"JWTSupportedAlgs", []string{"none"}}, keys...), `"none"`},
		{"a name that is none", JWT, append([]any{"ClaimMappings", map[string]string{"a": "b.c"}}, keys...), "cannot be the name of a value"},
		{"two claims of one name", JWT, append([]any{"ClaimMappings", map[string]string{"a": "x", "b": "x"}}, keys...), `two claims to "x": "a" and "b"`},
		{"a setting nobody knows", JWT, append([]any{"Nope", 1}, keys...), "Nope"},
		{"a method that takes nobody", Cert, nil, "no name is allowed"},
		{"an authority that is none", Cert, []any{"AllowCommonName", true, "CACerts", []string{"x"}}, "CACerts[0] has no certificate"},
		{"a fingerprint that is none", Cert, []any{"AllowCommonName", true, "RevokedFingerprints", []string{"12"}}, "RevokedFingerprints"},
		{"a list of nobody", Cert, []any{"AllowCommonName", true, "CRLs", []string{"x"}}, "CRLs[0] has no list"},
		{"a type nobody knows", "oidc", nil, "Type should be one of: ["},
		{"half a cluster of Kubernetes", Kubernetes, []any{"Host", "https://a"}, "Config.CACert is required"},
		{"a whole one", Kubernetes, []any{"Host", "https://a", "CACert", "x", "ServiceAccountJWT", "y"}, "use type jwt"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			_, err := Normalize(tc.kind, config(t, tc.config...))
			if err == nil {
				t.Fatal("it is taken")
			}
			expectFault(t, err, tc.fault)
		})
	}
}

// TestNormalizeKeepsWhatWasSaid: what is kept is read as what was sent.
func TestNormalizeKeepsWhatWasSaid(t *testing.T) {
	s := newSigner(t, "")
	first, err := Normalize(JWT, config(t, "JWTValidationPubKeys", []string{s.pem(t)}, "boundissuer", "us", "ExpirationLeeway", -1, "NotBeforeLeeway", "90s"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"BoundIssuer":"us"`, `"ExpirationLeeway":-1`, `"NotBeforeLeeway":"1m30s"`} {
		if !bytes.Contains(first, []byte(want)) {
			t.Errorf("%s is not in %s", want, first)
		}
	}
	second, err := Normalize(JWT, first)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("again it becomes %s, %v", second, err)
	}
}
