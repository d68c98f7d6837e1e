package httpapi

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/acl/login"
)

// peer is what is known of the client of one connection beside its address.
type peer struct {
	// who is the identity that its certificate has in the state of the tables that it
	// was found in; nil: not looked for yet.
	who atomic.Pointer[certIdentity]
}

// certIdentity is what the certificate of a connection is worth.
type certIdentity struct {
	index uint64        // of the tables
	until time.Time     // when it must be looked at again
	id    *acl.Identity // nil: no auth method knows it
}

type peerKey struct{}

// WithPeer gives the context of a connection a place for what its certificate is worth,
// so that it is looked at once for each change of the tables.
func WithPeer(ctx context.Context) context.Context { return context.WithValue(ctx, peerKey{}, &peer{}) }

// presentedBy returns the certificate that the client of a request has shown to this
// server; false when there is none. Nothing that a request says in a header counts.
func presentedBy(r *http.Request) (login.Presented, bool) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return login.Presented{}, false
	}
	return login.Presented{Chain: r.TLS.PeerCertificates, Verified: len(r.TLS.VerifiedChains) > 0}, true
}

// byCertificate returns who asks by the certificate of the connection; nil when there is
// none, or none that an auth method knows and gives something.
//
// Source: contract, ACL, section 6.4.
func (c *call) byCertificate() (*acl.Identity, error) {
	presented, ok := presentedBy(c.r)
	if !ok {
		return nil, nil
	}
	place, _ := c.r.Context().Value(peerKey{}).(*peer)
	if place == nil {
		place = &peer{}
	}
	return c.s.identityOf(presented, place)
}

// identityOf is byCertificate for a certificate and the place of its connection.
func (s *Server) identityOf(presented login.Presented, place *peer) (*acl.Identity, error) {
	for {
		v, now := s.node.Store().View().ACL(), s.opts.ACL.Now()
		if known := place.who.Load(); known != nil && known.index == v.Index() && now.Before(known.until) {
			return known.id, nil
		}
		id, err := s.bindCertificate(v, presented, now)
		if err != nil {
			return nil, err
		}
		if id != nil {
			if id.Index != v.Index() {
				continue // the tables have changed in between
			}
			id.Renew = func() (*acl.Identity, error) {
				id, err := s.identityOf(presented, place)
				if id == nil && err == nil {
					err = acl.ErrNotFound
				}
				return id, err
			}
		}
		until := presented.Chain[0].NotAfter
		if id == nil {
			until = now.Add(time.Minute) // it may not be valid yet
		}
		place.who.Store(&certIdentity{v.Index(), until, id})
		return id, nil
	}
}

// bindCertificate asks the auth methods, by name, whom a certificate is about. The first
// one that gives something decides.
func (s *Server) bindCertificate(v acl.View, presented login.Presented, now time.Time) (id *acl.Identity, err error) {
	v.Methods(func(m *acl.AuthMethod) bool {
		if m.Type != login.Cert {
			return true
		}
		subject, failed := login.Certificate(m.Config, presented, now)
		if failed != nil {
			s.log.Debug("a certificate does not count for an auth method", "method", m.Name, "reason", failed)
			return true
		}
		links, _ := login.Bind(v, m.Name, s.opts.Datacenter, subject, false) // only a login is told of rules that cannot be
		if login.Empty(&links) {
			return true
		}
		id, err = s.opts.ACL.ResolveLinks("cert:"+m.Name+":"+subject.Name, links, subject.Vars(), subject.Expires)
		return false
	})
	return id, err
}
