package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/mitchellh/pointerstructure"
)

// Defaults of what is given to clocks that differ.
//
// Source: contract, ACL API, section 6.1.
const (
	claimLeeway = 150 * time.Second // in place of a missing exp or nbf
	skewLeeway  = time.Minute
)

// tokenBytes bounds a token that is looked at.
const tokenBytes = 64 << 10

// Bounds of what is taken over from a token.
const (
	valueBytes = 1024
	mostListed = 1000
)

// Errors of a login whose token does not count. Their texts are the wire's.
var (
	ErrMissing = errors.New("missing jwt")
	errNoKey   = errors.New("no known key successfully validated the token signature")
)

// Token verifies a signed token against a method of type jwt and returns whom it is
// about.
//
// Source: contract, ACL API, section 6.1.
func (m *Methods) Token(ctx context.Context, name string, config []byte, token string, now time.Time) (*Subject, error) {
	if token == "" {
		return nil, ErrMissing
	}
	if len(token) > tokenBytes {
		return nil, errors.New("error parsing token: it is too long")
	}
	c, err := parseJWT(config)
	if err != nil {
		return nil, err
	}
	parsed, err := jwt.ParseSigned(token, c.algorithms())
	if err != nil {
		return nil, fmt.Errorf("error parsing token: %w", err)
	}
	var claims jwt.Claims
	var all map[string]any
	issuer := c.BoundIssuer
	if len(c.keys) > 0 {
		err = errNoKey
		for _, key := range c.keys {
			if parsed.Claims(key, &claims, &all) == nil {
				err = nil
				break
			}
		}
	} else {
		var provider string
		provider, err = m.remote(name, config).verify(ctx, c, parsed, now, &claims, &all)
		if provider != "" {
			if issuer != "" && issuer != provider {
				return nil, fmt.Errorf("error validating claims: the provider is %q and not the bound issuer %q (iss)", provider, issuer)
			}
			issuer = provider
		}
	}
	if err != nil {
		return nil, err
	}
	if err := c.validate(&claims, issuer, now); err != nil {
		return nil, err
	}
	return c.project(all)
}

// validate checks the claims of a token whose signature is good.
func (c *JWTConfig) validate(claims *jwt.Claims, issuer string, now time.Time) error {
	at := func(d *jwt.NumericDate) int64 {
		if d == nil {
			return 0
		}
		return int64(*d)
	}
	issued, starts, ends := at(claims.IssuedAt), at(claims.NotBefore), at(claims.Expiry)
	if issued == 0 && starts == 0 && ends == 0 {
		return errors.New("no issue time, notbefore, or expiration time encoded in token")
	}
	if ends == 0 {
		ends = max(issued, starts) + int64(c.ExpirationLeeway.leeway(claimLeeway).Seconds())
	}
	if starts == 0 {
		if starts = issued; starts == 0 {
			starts = ends - int64(c.NotBeforeLeeway.leeway(claimLeeway).Seconds())
		}
	}
	notBefore, expiry := jwt.NumericDate(starts), jwt.NumericDate(ends)
	claims.NotBefore, claims.Expiry = &notBefore, &expiry
	expected := jwt.Expected{Issuer: issuer, Time: now}
	if err := claims.ValidateWithLeeway(expected, c.ClockSkewLeeway.leeway(skewLeeway)); err != nil {
		return fmt.Errorf("error validating claims: %w", err)
	}
	switch {
	case len(c.BoundAudiences) == 0 && len(claims.Audience) > 0:
		return errors.New("error validating claims: audience claim found in JWT but no audiences are bound")
	case len(c.BoundAudiences) == 0:
		return nil
	case !slices.ContainsFunc(claims.Audience, func(a string) bool { return slices.Contains(c.BoundAudiences, a) }):
		return errors.New("error validating claims: aud claim does not match any bound audience")
	}
	return nil
}

// project takes over the claims that the method maps.
func (c *JWTConfig) project(all map[string]any) (*Subject, error) {
	s := &Subject{Values: map[string]string{}, Lists: map[string][]string{}}
	for claim, name := range c.ClaimMappings {
		found, ok := lookUp(all, claim)
		if !ok {
			continue
		}
		text, ok := asText(found)
		if !ok {
			return nil, fmt.Errorf("error converting claim %q to string: it is a %T", claim, found)
		}
		s.Values[name] = text
	}
	for claim, name := range c.ListClaimMappings {
		found, ok := lookUp(all, claim)
		if !ok {
			continue
		}
		list, ok := found.([]any)
		if !ok {
			list = []any{found} // providers send a list of one as it is
		}
		if len(list) > mostListed {
			return nil, fmt.Errorf("claim %q has more than %d elements", claim, mostListed)
		}
		texts := []string{}
		for _, element := range list {
			text, ok := asText(element)
			if !ok {
				return nil, fmt.Errorf("error converting claim %q to a list of strings: it has a %T", claim, element)
			}
			texts = append(texts, text)
		}
		s.Lists[name] = texts
	}
	if sub, ok := all["sub"].(string); ok {
		s.Name = sub
	}
	return s, nil
}

// lookUp finds a claim by its name or by a JSON pointer.
func lookUp(all map[string]any, claim string) (any, bool) {
	if !strings.HasPrefix(claim, "/") {
		found, ok := all[claim]
		return found, ok && found != nil
	}
	found, err := pointerstructure.Get(all, claim)
	return found, err == nil && found != nil
}

// asText makes a text of a simple value.
func asText(v any) (string, bool) {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case bool:
		text = strconv.FormatBool(v)
	case float64:
		text = strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		text = v.String()
	default:
		return "", false
	}
	return text, len(text) <= valueBytes
}

// signedBy tries a key set on a token and fills in its claims.
func signedBy(set *jose.JSONWebKeySet, parsed *jwt.JSONWebToken, into ...any) error {
	kid := ""
	if len(parsed.Headers) > 0 {
		kid = parsed.Headers[0].KeyID
	}
	for _, key := range set.Keys {
		if kid != "" && key.KeyID != "" && key.KeyID != kid || key.Use == "enc" || !key.IsPublic() {
			continue
		}
		if parsed.Claims(key.Key, into...) == nil {
			return nil
		}
	}
	return errNoKey
}
