package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/acl/login"
)

// loginBytes bounds the description of a token that a login makes, which everybody with a
// credential can have stored.
const loginBytes = 4 << 10

// loginAsked is the body of a login.
type loginAsked struct {
	AuthMethod  string
	BearerToken string
	Meta        map[string]string
}

// badLogin is a login that fails because of what was sent as credential.
type badLogin struct{ error }

func (e *badLogin) Unwrap() error { return e.error }

// aclLogin answers POST /v1/acl/login: a token for somebody else's credential. It needs
// no right.
//
// Source: contract, ACL API, section 6.3; ACL, section 6.6.
func (c *call) aclLogin() error {
	err := c.login()
	if c.s.refusals.loggedIn(err) {
		if many := c.tooOften("Too many failed logins come from your address, wait before you try again"); many != nil {
			return many
		}
	}
	return err
}

func (c *call) login() error {
	var asked loginAsked
	if err := c.decodeACL(&asked, "Failed to decode request body: "); err != nil {
		return err
	}
	if err := c.checkNamespace(); err != nil {
		return err
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if _, err := c.s.node.ReadIndex(c.r.Context(), Default); err != nil {
		return err
	}
	v := c.s.node.Store().View().ACL()
	method := v.Method(asked.AuthMethod)
	if method == nil {
		return &badLogin{&statusError{http.StatusForbidden, fmt.Sprintf("%s: auth method %q not found", acl.ErrNotFound, asked.AuthMethod)}}
	}
	subject, err := c.subject(method, asked.BearerToken)
	if err != nil {
		if c.r.Context().Err() != nil {
			return errClientGone
		}
		c.s.log.Info("login refused", "method", method.Name, "client", c.r.RemoteAddr, "error", err)
		if errors.Is(err, login.ErrProvider) {
			return serverError(err.Error())
		}
		return &badLogin{serverError(err.Error())}
	}
	v = c.s.node.Store().View().ACL() // a provider may have taken its time
	links, err := login.Bind(v, method.Name, c.s.opts.Datacenter, subject, true)
	if err != nil {
		return &badLogin{serverError(err.Error())}
	}
	if login.Empty(&links) {
		return &badLogin{&acl.PermissionError{Bare: true}}
	}
	t, secret, err := c.newToken(v, "", "")
	if err != nil {
		return err
	}
	t.Links, t.Vars, t.Method, t.Local = links, subject.Vars(), method.Name, method.Locality != "global"
	t.Description = "token created via login"
	if len(asked.Meta) > 0 {
		meta, err := json.Marshal(asked.Meta) // sorts them
		if err != nil {
			return err
		}
		t.Description += ": " + string(meta)
		if len(t.Description) > loginBytes {
			return badRequest(fmt.Sprintf("Meta is too long: with it the description would have more than %d bytes", loginBytes))
		}
	}
	if method.MaxTokenTTL > 0 {
		t.Expires = t.Created.Add(method.MaxTokenTTL)
	}
	if !subject.Expires.IsZero() && (t.Expires.IsZero() || subject.Expires.Before(t.Expires)) {
		t.Expires = subject.Expires.UTC() // a certificate's token does not outlive it
	}
	index, err := c.changeACLFreely(&acl.Change{SetToken: &acl.SetToken{Token: t, Create: true, Login: true}})
	if err != nil {
		return err
	}
	c.s.log.Info("login", "method", method.Name, "accessor", t.Accessor, "client", c.r.RemoteAddr)
	return c.encode(showToken(c.s.node.Store().View().ACL(), madeAt(t, index), secret))
}

// subject verifies the credential of a login.
func (c *call) subject(method *acl.AuthMethod, bearer string) (*login.Subject, error) {
	now := c.s.opts.ACL.Now()
	switch method.Type {
	case login.JWT:
		return c.s.methods.Token(c.r.Context(), method.Name, method.Config, bearer, now)
	case login.Cert:
		presented, ok := presentedBy(c.r)
		if !ok {
			return nil, errors.New("no certificate was shown: log in over HTTPS with a client certificate")
		}
		return login.Certificate(method.Config, presented, now)
	}
	return nil, fmt.Errorf("auth methods of type %q are not known here", method.Type)
}

// aclLogout answers POST /v1/acl/logout: the token of the request is deleted, which
// must be one that a login has made.
func (c *call) aclLogout() error {
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if c.q.get(pToken) != "" && c.s.settings.Load().NoTokenInQuery {
		return errTokenInQuery
	}
	secret := sentToken(&c.q, c.r.Header)
	if secret == "" {
		return &statusError{http.StatusUnauthorized, "Supplied token does not exist"}
	}
	if _, err := c.s.node.ReadIndex(c.r.Context(), Default); err != nil {
		return err
	}
	v := c.s.node.Store().View().ACL()
	who, err := c.s.opts.ACL.Resolve(secret)
	if err != nil {
		return err
	}
	c.rights.who = who
	t := v.Token(who.Accessor)
	if t == nil || t.Method == "" {
		return &statusError{http.StatusForbidden, "Permission denied: token wasn't created via login"}
	}
	if _, err := c.changeACLFreely(&acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: []string{t.Accessor}}}); err != nil {
		return err
	}
	c.bool(true)
	return nil
}
