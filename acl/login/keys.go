package login

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Bounds of fetching keys.
const (
	fetchTimeout = 10 * time.Second
	fetchBytes   = 1 << 20
	mostRemotes  = 100 // methods whose keys are kept

	// Keys are fetched again when they are older than keysFresh, and for a token that
	// none of them has signed, but not more often than every keysPause. While the
	// provider does not answer, they are used until they are older than keysUsable.
	keysFresh  = 5 * time.Minute
	keysPause  = 10 * time.Second
	keysUsable = time.Hour
)

// ErrProvider says that a token could not be looked at, because its provider does not
// answer: that is not the fault of who logs in.
var ErrProvider = errors.New("error fetching keys")

// Methods looks at credentials. It keeps the keys of providers between logins.
// Goroutines may share it.
type Methods struct {
	mu      sync.Mutex
	remotes map[string]*remote // by the name of the method; guarded by mu
}

// NewMethods returns a Methods without any keys.
func NewMethods() *Methods { return &Methods{remotes: map[string]*remote{}} }

// remote is the keys of one provider.
type remote struct {
	config [sha256.Size]byte // of the method that it belongs to

	asking chan struct{} // holds one place: who has it may ask the provider

	mu   sync.Mutex
	kept kept // guarded by mu
}

// kept is what is known of a provider.
type kept struct {
	keys    *jose.JSONWebKeySet // never changed; nil: none yet
	issuer  string              // of the provider; "" for a plain key set
	fetched time.Time           // when keys came
	tried   time.Time           // when the last try ended
	failure error               // why it failed
}

func (r *remote) know() kept {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept
}

// remote returns the keys for a method with that configuration.
func (m *Methods) remote(name string, config []byte) *remote {
	hash := sha256.Sum256(config)
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.remotes[name]; r != nil && r.config == hash {
		return r
	}
	if len(m.remotes) >= mostRemotes {
		clear(m.remotes) // methods may be gone by now
	}
	r := &remote{config: hash, asking: make(chan struct{}, 1)}
	m.remotes[name] = r
	return r
}

// verify finds the key that has signed a token and fills in its claims. It returns the
// issuer that the token must have; "" for any.
func (r *remote) verify(ctx context.Context, c *JWTConfig, parsed *jwt.JSONWebToken, now time.Time, into ...any) (issuer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	keys, issuer, err := r.get(ctx, c, now, keysFresh)
	if err != nil {
		return "", err
	}
	if signedBy(keys, parsed, into...) == nil {
		return issuer, nil
	}
	again, issuer, err := r.get(ctx, c, now, keysPause)
	if err != nil {
		return "", err
	}
	if again == keys {
		return "", errNoKey
	}
	return issuer, signedBy(again, parsed, into...)
}

// get returns keys that are not older than age, or the last ones when the provider has
// not answered, or is being asked.
func (r *remote) get(ctx context.Context, c *JWTConfig, now time.Time, age time.Duration) (*jose.JSONWebKeySet, string, error) {
	k := r.know()
	if k.keys != nil && now.Sub(k.fetched) < age {
		return k.keys, k.issuer, nil
	}
	usable := func() bool { return k.keys != nil && now.Sub(k.fetched) < keysUsable }
	select {
	case r.asking <- struct{}{}:
	default:
		if usable() {
			return k.keys, k.issuer, nil
		}
		select {
		case r.asking <- struct{}{}:
		case <-ctx.Done():
			return nil, "", fmt.Errorf("%w: others are waiting for the provider to answer", ErrProvider)
		}
	}
	k = r.refresh(ctx, c, now, age)
	<-r.asking
	if usable() {
		return k.keys, k.issuer, nil
	}
	return nil, "", fmt.Errorf("%w: %w", ErrProvider, k.failure)
}

// refresh asks the provider, unless that was done a moment ago.
func (r *remote) refresh(ctx context.Context, c *JWTConfig, now time.Time, age time.Duration) kept {
	k := r.know()
	if k.keys != nil && now.Sub(k.fetched) < age || !k.tried.IsZero() && now.Sub(k.tried) < keysPause {
		return k
	}
	began := time.Now()
	keys, issuer, err := fetchKeys(ctx, c)
	k.tried, k.failure = now.Add(time.Since(began)), err
	if err == nil {
		k.keys, k.issuer, k.fetched = keys, issuer, now
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = k
	return k
}

// fetchKeys asks the provider.
func fetchKeys(ctx context.Context, c *JWTConfig) (*jose.JSONWebKeySet, string, error) {
	where, issuer := c.JWKSURL, ""
	client := c.client()
	defer client.CloseIdleConnections()
	if c.OIDCDiscoveryURL != "" {
		var about struct {
			Issuer string `json:"issuer"`
			Keys   string `json:"jwks_uri"`
		}
		if err := fetch(ctx, client, strings.TrimSuffix(c.OIDCDiscoveryURL, "/")+"/.well-known/openid-configuration", &about); err != nil {
			return nil, "", err
		}
		if strings.TrimSuffix(about.Issuer, "/") != strings.TrimSuffix(c.OIDCDiscoveryURL, "/") {
			return nil, "", fmt.Errorf("the provider at %s says that it is %q", c.OIDCDiscoveryURL, about.Issuer)
		}
		if err := checkURL(about.Keys); err != nil {
			return nil, "", fmt.Errorf("the provider's jwks_uri: %w", err)
		}
		where, issuer = about.Keys, about.Issuer
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := fetch(ctx, client, where, &set); err != nil {
		return nil, "", err
	}
	if len(set.Keys) > mostKeys {
		return nil, "", fmt.Errorf("%s has more than %d keys", where, mostKeys)
	}
	keys := &jose.JSONWebKeySet{}
	for _, text := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(text) == nil { // keys of kinds that are not known are to be passed over
			keys.Keys = append(keys.Keys, key)
		}
	}
	return keys, issuer, nil
}

func (c *JWTConfig) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.roots},
			DisableKeepAlives: true,
		},
		// Who may be asked stands in the configuration, and is not for others to say.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetch reads one JSON object.
func fetch(ctx context.Context, client *http.Client, where string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", where, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, fetchBytes+1))
	switch {
	case err != nil:
		return fmt.Errorf("read %s: %w", where, err)
	case len(body) > fetchBytes:
		return fmt.Errorf("%s answers more than %d bytes", where, fetchBytes)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read %s: %w", where, err)
	}
	return nil
}
