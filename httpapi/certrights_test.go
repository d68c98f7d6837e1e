package httpapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/acl/login"
	"github.com/holdfast-kv/holdfast/session"
)

// byCert makes a method that knows certificates by their common name, and gives the policy
// of a token to all of them. It returns what takes that away.
func (g *guardedServer) byCert(t *testing.T, x testToken) (revoke *acl.Change) {
	t.Helper()
	config, err := login.Normalize(login.Cert, json.RawMessage(`{"AllowCommonName":true}`))
	if err != nil {
		t.Fatal(err)
	}
	g.change(t, &acl.Change{SetMethod: &acl.AuthMethod{Name: "certs", Type: login.Cert, Config: config}})
	rule := newID(t)
	g.change(t, &acl.Change{SetBinding: &acl.BindingRule{ID: rule, Method: "certs", BindType: "policy", BindName: "p-" + x.policy}})
	return &acl.Change{DelBinding: rule}
}

// withCert is a request over a connection whose client has shown a certificate.
func withCert(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	leaf := &x509.Certificate{Raw: []byte("leaf"), Subject: pkix.Name{CommonName: "web"}, NotAfter: time.Now().Add(time.Hour)}
	r := httptest.NewRequestWithContext(WithPeer(t.Context()), method, target, strings.NewReader(body))
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
	return r
}

// TestParkedQueryOfACertificate: it ends when the certificate is worth nothing any more,
// and does not go on as somebody without one.
func TestParkedQueryOfACertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuardedServer(t, acl.DefaultDeny)
		revoke := g.byCert(t, g.token(t, `key_prefix "app/" { policy = "read" }`))
		wait := func(target string) *waiter {
			x := &waiter{w: httptest.NewRecorder(), began: time.Now(), done: make(chan struct{})}
			go func() {
				defer close(x.done)
				serveTo(g, x.w, withCert(t, http.MethodGet, target, ""))
				x.took = time.Since(x.began)
			}()
			synctest.Wait()
			return x
		}
		index := g.put(t, "app/a", "1")
		one, list, ended := wait("/v1/kv/app/a?wait=2h&index="+index), wait("/v1/kv/app/?keys&index="+index), wait("/v1/kv/app/a?index="+index)
		one.mustWait(t)
		g.token(t, "") // of others
		one.mustWait(t)
		list.mustWait(t)
		g.put(t, "app/a", "2")
		synctest.Wait()
		<-ended.done
		if ended.w.Code != http.StatusOK {
			t.Errorf("a change is answered %d %q", ended.w.Code, ended.w.Body)
		}
		index = ended.w.Header().Get("X-Consul-Index")
		one, list = wait("/v1/kv/app/a?index="+index), wait("/v1/kv/app/?keys&index="+index)
		g.change(t, revoke)
		one.mustEnd(t, 0, http.StatusForbidden, "ACL not found")
		list.mustEnd(t, 0, http.StatusForbidden, "ACL not found")
	})
}

// TestWriteOfARevokedCertificate: also through a server that has not heard of it.
func TestWriteOfARevokedCertificate(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	revoke := g.byCert(t, g.token(t, `key_prefix "app/" { policy = "write" }`))
	s, _ := newLaggingServer(t, g)
	put := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, withCert(t, http.MethodPut, "/v1/kv/app/a", "1"))
		return w
	}
	expect(t, put(), http.StatusOK, "true")
	g.change(t, revoke)
	w := put()
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "anonymous token lacks") {
		t.Errorf("answer is %d %q, want it refused", w.Code, w.Body)
	}
}

// changing is a Sessions before whose first renewal something happens that the server which
// is asked has not heard of.
type changing struct {
	renewing
	once   *sync.Once
	change func()
}

func (c changing) RenewSession(ctx context.Context, id string, given *acl.Given) (*session.Session, error) {
	c.once.Do(c.change)
	return c.renewing.RenewSession(ctx, id, given)
}

// TestLockOfACertificateWhileRulesChange: a change of a rule that says who a certificate is
// does not cost a lock, unless it was the one that counts.
func TestLockOfACertificateWhileRulesChange(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		revoked bool
		status  int
	}{
		{"another rule", false, http.StatusOK},
		{"its own", true, http.StatusForbidden},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			g := newGuardedServer(t, acl.DefaultDeny)
			x := g.token(t, `key_prefix "" { policy = "write" } session_prefix "" { policy = "write" }`)
			revoke := g.byCert(t, x)
			s, _ := newLaggingServer(t, g)
			s.opts.Sessions = changing{renewing{g.node}, new(sync.Once), func() {
				if tc.revoked {
					g.change(t, revoke)
				} else {
					g.change(t, &acl.Change{SetBinding: &acl.BindingRule{
						ID: newID(t), Method: "certs", BindType: "role", BindName: "nobody", Selector: `subject.cn == "other"`,
					}})
				}
			}}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, withCert(t, http.MethodPost, "/v1/lock/l?ttl=30s", ""))
			if w.Code != tc.status {
				t.Errorf("answer is %d %q, want %d", w.Code, w.Body, tc.status)
			}
		})
	}
}

// TestTokenBeforeCertificate: a token counts before the certificate of the connection, also
// when it is wrong, and the certificate before the server's own token.
func TestTokenBeforeCertificate(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	g.byCert(t, g.token(t, `key_prefix "app/" { policy = "read" }`))
	g.put(t, "app/a", "1")
	g.put(t, "b", "2")
	g.slots["default"] = g.token(t, `key "b" { policy = "read" }`).secret
	for _, tc := range []struct {
		target, token string
		status        int
	}{
		{"/v1/kv/app/a", "", 200},
		{"/v1/kv/b", "", 403},
		{"/v1/kv/b", g.slots["default"], 200},
		{"/v1/kv/app/a", g.slots["default"], 403},
		{"/v1/kv/app/a", newID(t), 403},
	} {
		r := withCert(t, http.MethodGet, tc.target, "")
		r.Header.Set("X-Consul-Token", tc.token)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != tc.status {
			t.Errorf("%s with token %q is answered %d %q, want %d", tc.target, tc.token, w.Code, w.Body, tc.status)
		}
	}
}
