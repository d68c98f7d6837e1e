package httpapi

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-uuid"

	"github.com/holdfast-kv/holdfast/acl"
)

// leastLifetime is how far ahead the end of a new token must be.
//
// Source: contract, ACL API, section 3.1.
const leastLifetime = time.Minute

// tokenShown is a token as answers show it.
//
// Source: contract, ACL API, section 3.
type tokenShown struct {
	AccessorID  string
	SecretID    string
	Description string
	linksShown
	Local          bool
	AuthMethod     string     `json:",omitempty"`
	ExpirationTime *time.Time `json:",omitempty"`
	CreateTime     time.Time
	Hash           []byte
	CreateIndex    uint64
	ModifyIndex    uint64
}

func showToken(v acl.View, t *acl.Token, secret string) tokenShown {
	shown := tokenShown{
		AccessorID: t.Accessor, SecretID: secret, Description: t.Description, linksShown: showLinks(v, t.Links),
		Local: t.Local, AuthMethod: t.Method, CreateTime: t.Created.UTC(),
		Hash: t.ContentHash, CreateIndex: t.CreateIndex, ModifyIndex: t.ModifyIndex,
	}
	if !t.Expires.IsZero() {
		expires := t.Expires.UTC()
		shown.ExpirationTime = &expires
	}
	return shown
}

// secretOf is what a reader of a token sees of its secret.
func (c *call) secretOf(t *acl.Token, mayWrite bool) string {
	switch {
	case !mayWrite:
		return hidden
	case t.Accessor == acl.AnonymousAccessor:
		return acl.AnonymousSecret
	case t.Secret == "":
		return hidden
	}
	return t.Secret
}

// tokenAsked is the body of a request that makes or changes a token.
type tokenAsked struct {
	AccessorID  string
	SecretID    string
	Description string
	linksAsked
	Local          bool
	AuthMethod     string
	ExpirationTTL  wireDuration
	ExpirationTime *time.Time

	// Ignored: clients send back what they have read.
	CreateTime               time.Time
	Hash                     json.RawMessage
	CreateIndex, ModifyIndex uint64
}

const tokenFailed = "Token decoding failed: "

var errNoTokenAccessor = badRequest("Missing token AccessorID")

// errTokenGone says that there is no such token. It is 403 where everything else that
// is missing is 404.
//
// Source: contract, ACL API, section 3.
var (
	errTokenGone    = &statusError{http.StatusForbidden, "token does not exist: " + acl.ErrNotFound.Error()}
	errTokenExpired = &statusError{http.StatusForbidden, "token has expired: " + acl.ErrNotFound.Error()}
)

// tokenCreate answers PUT /v1/acl/token.
func (c *call) tokenCreate() error {
	var asked tokenAsked
	if err := c.decodeACL(&asked, tokenFailed); err != nil {
		return err
	}
	return c.createToken(&asked)
}

func (c *call) createToken(asked *tokenAsked) error {
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	t, secret, err := c.newToken(v, asked.AccessorID, asked.SecretID)
	if err != nil {
		return err
	}
	if asked.AuthMethod != "" {
		return serverError("AuthMethod field is disallowed outside of login")
	}
	if err := c.tokenTimes(t, asked); err != nil {
		return err
	}
	if t.Links, err = asked.links(v, owner{"token", asked.Local}); err != nil {
		return err
	}
	t.Description, t.Local = asked.Description, asked.Local
	accessorHash := ""
	if asked.AccessorID != "" { // must be nobody's secret either
		accessorHash = acl.HashSecret(v.Key(), asked.AccessorID)
	}
	return c.storeNewToken(t, secret, accessorHash)
}

// storeNewToken puts a new token into the table and answers with it.
func (c *call) storeNewToken(t *acl.Token, secret, accessorHash string) error {
	index, err := c.changeACL(&acl.Change{SetToken: &acl.SetToken{Token: t, Create: true, AccessorHash: accessorHash}})
	if err != nil {
		return err
	}
	return c.encode(showToken(c.s.node.Store().View().ACL(), madeAt(t, index), secret))
}

// madeAt is a new token as the table has it since index.
func madeAt(t *acl.Token, index uint64) *acl.Token {
	row := *t
	row.ContentHash, row.CreateIndex, row.ModifyIndex = t.Sum(), index, index
	return &row
}

// newToken returns a token with ids, the wished ones or random ones, and its secret.
func (c *call) newToken(v acl.View, accessor, secret string) (t *acl.Token, chosen string, err error) {
	key := v.Key()
	if key == nil {
		return nil, "", serverError("The ACL tables are not ready yet, try again")
	}
	t = &acl.Token{Created: c.s.opts.ACL.Now().UTC()}
	if t.Accessor, err = tokenID(v, "AccessorID", strings.ToLower(accessor)); err != nil {
		return nil, "", err
	}
	if secret, err = tokenID(v, "SecretID", secret); err != nil {
		return nil, "", err
	}
	t.Hash = acl.HashSecret(key, secret)
	if !v.Hashed() {
		t.Secret = secret
	}
	return t, secret, nil
}

// tokenID checks the id that is wished, or makes one.
func tokenID(v acl.View, field, wished string) (string, error) {
	const invalid = "Invalid Token: "
	if wished == "" {
		id, err := uuid.GenerateUUID()
		if err != nil {
			return "", fmt.Errorf("make a token id: %w", err)
		}
		return id, nil
	}
	switch {
	case !isUUID(wished):
		return "", serverError(invalid + field + " - not a valid UUID")
	case strings.HasPrefix(wished, acl.ReservedPrefix):
		return "", serverError(invalid + field + ` - UUIDs with the prefix "` + acl.ReservedPrefix + `" are reserved`)
	case v.Token(strings.ToLower(wished)) != nil, v.TokenByHash(acl.HashSecret(v.Key(), wished)) != nil:
		return "", serverError(invalid + field + " is already in use")
	}
	return wished, nil
}

// tokenTimes sets when a new token ends.
func (c *call) tokenTimes(t *acl.Token, asked *tokenAsked) error {
	if ttl := time.Duration(asked.ExpirationTTL); ttl != 0 {
		switch {
		case ttl < 0:
			return serverError(fmt.Sprintf("Token Expiration TTL '%s' should be > 0", ttl))
		case asked.ExpirationTime != nil:
			return serverError("Token Expiration TTL and Expiration Time cannot both be set")
		}
		t.Expires = t.Created.Add(ttl)
	} else if asked.ExpirationTime != nil && !asked.ExpirationTime.IsZero() {
		t.Expires = asked.ExpirationTime.UTC()
	}
	return c.checkLifetime(t)
}

func (c *call) checkLifetime(t *acl.Token) error {
	if t.Expires.IsZero() {
		if most := c.s.settings.Load().TokenMaxTTL; most > 0 {
			return serverError(fmt.Sprintf("Tokens must expire: give an ExpirationTTL of at most %s", most))
		}
		return nil
	}
	if t.Expires.Before(t.Created) {
		return serverError("ExpirationTime cannot be before CreateTime")
	}
	ahead := t.Expires.Sub(t.Created)
	if ahead < leastLifetime {
		return serverError(fmt.Sprintf("ExpirationTime cannot be less than %s in the future (was %s)", leastLifetime, ahead))
	}
	if most := c.s.settings.Load().TokenMaxTTL; most > 0 && ahead > most {
		return serverError(fmt.Sprintf("ExpirationTime cannot be more than %s in the future (was %s)", most, ahead))
	}
	return nil
}

// tokenPut answers PUT /v1/acl/token/<accessor>, and .../clone.
func (c *call) tokenPut() error {
	if accessor, ok := strings.CutSuffix(c.arg, "/clone"); ok {
		return c.tokenClone(strings.ToLower(accessor))
	}
	accessor := strings.ToLower(c.arg)
	var asked tokenAsked
	if err := c.decodeACL(&asked, tokenFailed); err != nil {
		return err
	}
	if accessor == "" {
		return c.createToken(&asked)
	}
	if asked.AccessorID != "" && !strings.EqualFold(asked.AccessorID, accessor) {
		return badRequest("Token Accessor ID in URL and payload do not match")
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	if !isUUID(accessor) {
		return serverError("AccessorID is not a valid UUID")
	}
	old := v.Token(accessor)
	if old == nil || old.ExpiredAt(c.s.opts.ACL.Now()) {
		return serverError(`Cannot find token "` + accessor + `"`)
	}
	if err := unchanged(v, old, &asked); err != nil {
		return err
	}
	next := *old
	next.Description = asked.Description
	if next.Links, err = asked.links(v, owner{"token", old.Local}); err != nil {
		return err
	}
	index, err := c.changeACL(&acl.Change{SetToken: &acl.SetToken{Token: &next}})
	if err != nil {
		return err
	}
	next.ContentHash, next.ModifyIndex = next.Sum(), index
	return c.encode(showToken(c.s.node.Store().View().ACL(), &next, c.secretOf(&next, true)))
}

// unchanged checks that a request leaves alone what an update cannot change.
//
// Source: contract, ACL API, section 3.1.
func unchanged(v acl.View, old *acl.Token, asked *tokenAsked) error {
	switch {
	case asked.SecretID != "" && !sameSecret(v, old, asked.SecretID):
		return serverError("Changing a token's SecretID is not permitted")
	case asked.Local != old.Local:
		return serverError("Cannot toggle local mode of " + old.Accessor)
	case asked.AuthMethod != "" && asked.AuthMethod != old.Method:
		return serverError("Cannot change AuthMethod of " + old.Accessor)
	case asked.ExpirationTTL != 0,
		asked.ExpirationTime != nil && !asked.ExpirationTime.Equal(old.Expires):
		return serverError("Cannot change expiration time of " + old.Accessor)
	}
	return nil
}

// sameSecret tells whether a secret that was sent back is that of the token, or stands
// for one that could not be shown.
func sameSecret(v acl.View, t *acl.Token, sent string) bool {
	if sent == hidden && t.Secret == "" {
		return true
	}
	return subtle.ConstantTimeCompare([]byte(acl.HashSecret(v.Key(), sent)), []byte(t.Hash)) == 1
}

// tokenClone answers PUT /v1/acl/token/<accessor>/clone.
func (c *call) tokenClone(accessor string) error {
	var asked tokenAsked
	if err := c.decodeACL(&asked, tokenFailed); err != nil {
		return err
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	source := v.Token(accessor)
	switch {
	case source == nil || source.ExpiredAt(c.s.opts.ACL.Now()):
		return errTokenGone
	case source.Method != "":
		return serverError("Cannot clone a token created from an auth method")
	}
	t, secret, err := c.newToken(v, "", "")
	if err != nil {
		return err
	}
	t.Links, t.Local, t.Expires, t.Description = source.Links, source.Local, source.Expires, source.Description
	if asked.Description != "" {
		t.Description = asked.Description
	}
	if err := c.checkLifetime(t); err != nil {
		return err
	}
	return c.storeNewToken(t, secret, "")
}

// tokenDelete answers DELETE /v1/acl/token/<accessor>.
func (c *call) tokenDelete() error {
	if c.arg == "" {
		return errNoTokenAccessor
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	accessor := strings.ToLower(c.arg)
	switch {
	case !isUUID(accessor):
		return serverError("Accessor ID is missing or an invalid UUID")
	case accessor == acl.AnonymousAccessor:
		return serverError("Delete operation not permitted on the anonymous token")
	}
	t := v.Token(accessor)
	if t == nil || t.ExpiredAt(c.s.opts.ACL.Now()) {
		return noneToDelete("token")
	}
	asks, err := c.identity()
	if err != nil {
		return err
	}
	if asks.Accessor == accessor {
		return serverError("Deletion of the request's authorization token is not permitted")
	}
	if _, err := c.changeACL(&acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{accessor}}}); err != nil {
		return err
	}
	c.bool(true)
	return nil
}

// tokenRead answers GET /v1/acl/token/<accessor>.
func (c *call) tokenRead() error {
	if c.arg == "" {
		return errNoTokenAccessor
	}
	accessor := strings.ToLower(c.arg)
	return c.readTables(tokensIndex, func(v acl.View) (any, error) {
		if !isUUID(accessor) {
			return nil, serverError("AccessorID is not a valid UUID")
		}
		t := v.Token(accessor)
		if err := c.present(t); err != nil {
			return nil, err
		}
		shown := showToken(v, t, c.secretOf(t, c.may(acl.ResourceACL, acl.AccessWrite, "")))
		if c.q.has(pExpanded) {
			return c.expand(v, t, shown), nil
		}
		return shown, nil
	})
}

func (c *call) present(t *acl.Token) error {
	switch {
	case t == nil:
		return errTokenGone
	case t.ExpiredAt(c.s.opts.ACL.Now()):
		return errTokenExpired
	}
	return nil
}

// tokenSelf answers GET /v1/acl/token/self: whoever has a secret may see what it is.
func (c *call) tokenSelf() error {
	secret, err := c.secret()
	if err != nil {
		return err
	}
	whoever := func() error { // needs no right, but if it waits it ends with the token
		if secret != "" {
			_, _ = c.identity() // what is not known is said below
		}
		return nil
	}
	err = c.readTablesIf(whoever, tokensIndex, func(v acl.View) (any, error) {
		if secret == "" || v.Key() == nil {
			return nil, errTokenGone
		}
		t := v.TokenByHash(acl.HashSecret(v.Key(), secret))
		if err := c.present(t); err != nil {
			return nil, err
		}
		return showToken(v, t, secret), nil
	})
	if errors.Is(err, acl.ErrNotFound) { // it has ended meanwhile
		return errTokenGone
	}
	return err
}

// tokenList answers GET /v1/acl/tokens.
func (c *call) tokenList() error {
	wanted, err := c.tokenFilter()
	return c.readTables(tokensIndex, func(v acl.View) (any, error) {
		if err != nil {
			return nil, err
		}
		shown, now := []tokenShown{}, c.s.opts.ACL.Now()
		mayWrite := c.may(acl.ResourceACL, acl.AccessWrite, "")
		v.Tokens(func(t *acl.Token) bool {
			if !t.ExpiredAt(now) && wanted(t) {
				shown = append(shown, showToken(v, t, c.secretOf(t, mayWrite)))
			}
			return true
		})
		return shown, nil
	})
}

// tokenFilter reads what a list of tokens is narrowed by.
func (c *call) tokenFilter() (func(*acl.Token) bool, error) {
	policy, role := strings.ToLower(c.q.get(pPolicy)), strings.ToLower(c.q.get(pRole))
	service, method := c.q.get(pServiceName), c.q.get(pAuthMethod)
	given := 0
	for _, v := range []string{policy, role, service, method} {
		if v != "" {
			given++
		}
	}
	if given > 1 {
		return nil, serverError("can only filter by one of policy, role, serviceName, or methodName at a time")
	}
	return func(t *acl.Token) bool {
		switch {
		case policy != "":
			return slices.Contains(t.Policies, policy)
		case role != "":
			return slices.Contains(t.Roles, role)
		case service != "":
			return slices.ContainsFunc(t.ServiceIdentities, func(s acl.ServiceIdentity) bool { return s.Service == service })
		case method != "":
			return t.Method == method
		}
		return true
	}, nil
}

// tokenExpanded is a token with everything that reaches it.
//
// Source: contract, ACL API, section 3.2.
type tokenExpanded struct {
	ExpandedPolicies []policyShown
	ExpandedRoles    []roleShown

	NamespaceDefaultPolicyIDs []string
	NamespaceDefaultRoleIDs   []string

	AgentACLDefaultPolicy string
	AgentACLDownPolicy    string
	ResolvedByAgent       string

	tokenShown
}

func (c *call) expand(v acl.View, t *acl.Token, shown tokenShown) tokenExpanded {
	settings := c.s.settings.Load()
	out := tokenExpanded{
		AgentACLDefaultPolicy: settings.DefaultPolicy[0], AgentACLDownPolicy: settings.DownPolicy,
		ResolvedByAgent: c.s.opts.NodeName, tokenShown: shown,
	}
	for _, id := range t.Roles {
		if r := v.Role(id); r != nil {
			out.ExpandedRoles = append(out.ExpandedRoles, showRole(v, r))
		}
	}
	links := []acl.Links{t.Links}
	for _, id := range t.Roles {
		if r := v.Role(id); r != nil {
			links = append(links, r.Links)
		}
	}
	shownIDs := map[string]bool{}
	add := func(p *acl.Policy) {
		if p != nil && !shownIDs[p.ID] {
			shownIDs[p.ID] = true
			out.ExpandedPolicies = append(out.ExpandedPolicies, showPolicy(p))
		}
	}
	for _, l := range links {
		for _, id := range l.Policies {
			add(v.Policy(id))
		}
	}
	for _, l := range links {
		for _, s := range acl.SyntheticPolicies(l, "") {
			add(s.Policy)
		}
	}
	return out
}

// rotation is the body of a request for a new secret.
type rotation struct {
	Grace wireDuration // how long the former secret works
}

// mostGrace is how long a former secret may work, at most.
const mostGrace = 24 * time.Hour

// tokenRotate answers POST /v1/acl/token/<accessor>/rotate: a new secret for the same
// token. A token may rotate itself.
func (c *call) tokenRotate() error {
	var asked rotation
	if c.r.ContentLength != 0 {
		if err := c.decodeACL(&asked, tokenFailed); err != nil {
			return err
		}
	}
	grace := time.Duration(asked.Grace)
	if grace < 0 || grace > mostGrace {
		return badRequest(fmt.Sprintf("Invalid Grace %s, want a duration from 0s to %s", grace, mostGrace))
	}
	// Who has a secret that was replaced meanwhile must not replace that again.
	if err := c.freshRights(); err != nil {
		return err
	}
	asks, err := c.identity()
	if err != nil {
		return err
	}
	accessor := strings.ToLower(c.arg)
	own := asks.Accessor == accessor && accessor != acl.AnonymousAccessor
	if !own {
		if err := c.mayAsk(acl.AccessWrite); err != nil {
			return err
		}
	}
	v := c.s.node.Store().View().ACL()
	t := v.Token(accessor)
	if err := c.present(t); err != nil {
		return err
	}
	if accessor == acl.AnonymousAccessor {
		return serverError("The secret of the anonymous token is a word of the protocol and cannot change")
	}
	_, secret, err := c.newToken(v, "", "")
	if err != nil {
		return err
	}
	change := &acl.Rotate{Accessor: accessor, Hash: acl.HashSecret(v.Key(), secret)}
	if !v.Hashed() {
		change.Secret = secret
	}
	if grace > 0 {
		change.FormerUntil = c.s.opts.ACL.Now().Add(grace).UTC()
	}
	do := c.changeACL
	if own {
		do = c.changeACLFreely
	}
	if _, err := do(&acl.Change{Rotate: change}); err != nil {
		return err
	}
	v = c.s.node.Store().View().ACL()
	if t = v.Token(accessor); t == nil {
		return errTokenGone
	}
	return c.encode(showToken(v, t, secret))
}
