package tlsconf

import (
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// Options is what a Keeper needs besides the configuration.
type Options struct {
	Log hclog.Logger

	// Now is the clock; nil: the system's.
	Now func() time.Time

	// Tick says when to look at the files; nil: every Interval.
	Tick <-chan time.Time
}

// Keeper keeps the certificates of a server.
type Keeper struct {
	log  hclog.Logger
	now  func() time.Time
	tick <-chan time.Time

	sides       []*side // all, that is https and rpc
	https, rpc  *side
	requireCert bool   // a client of the HTTPS API must show a certificate
	requirePeer bool   // a server that connects must show one
	outgoing    bool   // connections to other servers are encrypted
	serverName  string // what another server's certificate must be for; "" for anything

	// looking keeps looks at the files apart, reading included, so that an older state
	// never replaces a newer one. It guards warned and the fields of the sides that
	// say so.
	looking sync.Mutex
	warned  map[fingerprint]int
}

// side is the files of one block.
type side struct {
	block   string
	from    config.TLSListener
	needs   needs
	current atomic.Pointer[material]

	// broken is the state of the files that could not be used, and said whether that
	// has been logged. Both guarded by Keeper.looking.
	broken fingerprint
	said   bool
}

// Open reads the certificates of cfg. The error names everything that is wrong.
func Open(cfg *config.Config, opts Options) (*Keeper, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = hclog.NewNullLogger()
	}
	sides := sidesOf(cfg)
	k := &Keeper{
		log: opts.Log, now: opts.Now, tick: opts.Tick,
		sides: sides, https: sides[0], rpc: sides[1],
		requireCert: cfg.TLS.HTTPS.VerifyIncoming,
		requirePeer: cfg.TLS.RPC.VerifyIncoming || cfg.TLS.VerifyServerHostname,
		outgoing:    cfg.TLS.RPC.VerifyOutgoing || cfg.TLS.VerifyServerHostname,
		serverName:  sides[1].needs.name,
		warned:      map[fingerprint]int{},
	}
	var faults []config.Fault
	for _, s := range k.sides {
		m, wrong := s.check(readFiles(s.from))
		faults = append(faults, wrong...)
		s.current.Store(m)
	}
	if len(faults) > 0 {
		return nil, config.Faults(faults)
	}
	if k.rpc.current.Load().cert != nil && !k.outgoing {
		k.log.Warn("connections to other servers are not encrypted although there is a certificate: verify_outgoing is off", "block", rpcBlock)
	}
	k.looking.Lock()
	defer k.looking.Unlock()
	k.warnOfExpiry()
	return k, nil
}

// sidesOf are the blocks of cfg, with nothing read: HTTPS, then the servers' own.
func sidesOf(cfg *config.Config) []*side {
	return []*side{
		{block: httpsBlock, from: cfg.TLS.HTTPS, needs: httpsNeeds(cfg)},
		{block: rpcBlock, from: cfg.TLS.RPC, needs: rpcNeeds(cfg)},
	}
}

// HTTPS is how the HTTPS listeners accept connections, with the application
// protocols given, the preferred one first; nil without a certificate. With
// tls.https.verify_incoming a client must show a certificate of the authorities.
func (k *Keeper) HTTPS(protocols ...string) *tls.Config {
	return k.https.accepting(protocols, k.requireCert, "")
}

// Incoming is how connections of other servers are accepted, with the application
// protocols given: all there are, since what is added to the result later does not
// count. Nil: there is no certificate, and all connections are plain.
//
// With verify_incoming or verify_server_hostname the other side must show a
// certificate of the authorities, with the latter that of a server.
func (k *Keeper) Incoming(protocols ...string) *tls.Config {
	return k.rpc.accepting(protocols, k.requirePeer, k.serverName)
}

// RequiresTLS says whether a connection of another server without TLS is to be
// refused. It is false while a cluster moves to TLS: servers with a certificate
// accept both then.
func (k *Keeper) RequiresTLS() bool { return k.requirePeer }

// Outgoing is how connections to other servers are made, with the application
// protocols given; nil: without TLS, since neither verify_outgoing nor
// verify_server_hostname is on. The other side must have a certificate of the
// authorities, with verify_server_hostname that of a server; the name or address
// that was dialled does not count.
func (k *Keeper) Outgoing(protocols ...string) *tls.Config {
	if !k.outgoing {
		return nil
	}
	s := k.rpc
	c := s.basis(protocols)
	c.ServerName = k.serverName
	c.InsecureSkipVerify = true // VerifyConnection does it, with authorities that may change
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		return verifyServer(cs, s.current.Load().roots, k.serverName)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return s.current.Load().cert, nil
	}
	return c
}

// basis is what does not depend on the files.
func (s *side) basis(protocols []string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols}
	if s.from.MinVersion == "TLSv1_3" {
		c.MinVersion = tls.VersionTLS13
	}
	for _, suite := range tls.CipherSuites() {
		for _, name := range s.from.CipherSuites {
			if suite.Name == name {
				c.CipherSuites = append(c.CipherSuites, suite.ID)
			}
		}
	}
	return c
}

// acceptor is how connections are accepted while the files are these.
type acceptor struct {
	of     *material
	config *tls.Config
}

// accepting is how a listener does its handshakes.
func (s *side) accepting(protocols []string, requireCert bool, name string) *tls.Config {
	if s.current.Load().cert == nil {
		return nil
	}
	basis := s.basis(protocols)
	basis.SessionTicketsDisabled = requireCert // a resumed session would carry an old verdict
	live := basis.Clone()
	// The connections of one certificate have one configuration: one of its own would be kept
	// as long as each of them.
	var last atomic.Pointer[acceptor]
	live.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		m := s.current.Load()
		if a := last.Load(); a != nil && a.of == m {
			return a.config, nil
		}
		c := basis.Clone()
		c.Certificates = []tls.Certificate{*m.cert}
		if requireCert {
			c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, m.roots
			c.VerifyConnection = func(cs tls.ConnectionState) error {
				if len(cs.PeerCertificates) == 0 {
					return errors.New("no certificate was shown")
				}
				return checkName(cs.PeerCertificates[0], name)
			}
		}
		last.Store(&acceptor{m, c})
		return c, nil
	}
	return live
}
