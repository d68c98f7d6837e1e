package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/internal/http1"
)

// openHTTP makes the API and opens its listeners; nothing is accepted yet.
func (a *Agent) openHTTP() error {
	cfg := a.config()
	tokens, err := newOwnTokens(cfg, a.dir)
	if err != nil {
		return err
	}
	a.tokens = tokens
	a.acl = a.newResolver(cfg)
	opts := httpapi.Options{
		Tokens: tokens, Resets: a.resets(),
		Node: a, Cluster: a, Snapshots: a, Sessions: a, Agent: a, Membership: a,
		Log: a.logs.Named("http"), Datacenter: cfg.Datacenter, NodeName: cfg.NodeName,
		ACL: a.acl, Unchecked: a.unchecked,
	}
	if a.audit != nil {
		opts.Audit = a.audit
	}
	a.api = httpapi.New(opts, settingsOf(cfg))
	a.conns = &connLimit{by: map[netip.Addr]int{}}
	a.conns.setMost(cfg.Limits.HTTPMaxConnsPerClient)
	for _, where := range cfg.HTTPListeners() {
		l, err := listen(where)
		if err != nil {
			return err
		}
		var plain net.Listener = &listener{Listener: l, conns: a.conns}
		if cfg.HTTP.Server == config.ServerNetHTTP {
			plain = &lingering{Listener: plain, patience: lingerTime}
		}
		a.listeners = append(a.listeners, plain)
		a.servers = append(a.servers, serverOf(cfg, a.newServer(cfg)))
	}
	return a.openHTTPS(cfg)
}

// openHTTPS opens the listeners with TLS.
func (a *Agent) openHTTPS(cfg *config.Config) error {
	where := cfg.HTTPSListeners()
	secure := a.certs.HTTPS(httpsProtocols...)
	if len(where) > 0 && secure == nil {
		return errors.New("listen for HTTPS: there is no certificate")
	}
	for _, w := range where {
		l, err := listen(w)
		if err != nil {
			return err
		}
		a.listeners = append(a.listeners, newTLSListener(
			&listener{Listener: l, conns: a.conns, silent: true}, secure, cfg.Limits.HTTPSHandshakeTimeout, a.logs.Named("http"), a.group))
		a.servers = append(a.servers, serverOf(cfg, httpsServer(a.newServer(cfg))))
	}
	return nil
}

// httpServer serves the API on one listener: an http.Server, or an http1.Server around one.
type httpServer interface {
	Serve(l net.Listener) error
	SetKeepAlivesEnabled(v bool)
	Shutdown(ctx context.Context) error
	Close() error
}

// serverOf is the server that the configuration wants.
func serverOf(cfg *config.Config, s *http.Server) httpServer {
	if cfg.HTTP.Server == config.ServerNetHTTP {
		return s
	}
	return http1.New(s)
}

// newServer is how the API is served on one listener.
func (a *Agent) newServer(cfg *config.Config) *http.Server {
	return &http.Server{
		Handler:           a.api,
		ReadHeaderTimeout: cfg.Limits.ReadHeaderTimeout,
		IdleTimeout:       cfg.Limits.IdleTimeout,
		MaxHeaderBytes:    int(cfg.HTTP.MaxHeaderBytes),
		ErrorLog:          a.logs.Named("http").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if _, secure := c.(*tls.Conn); secure {
				ctx = httpapi.WithPeer(ctx)
			}
			if c := limited(c); c != nil {
				return httpapi.WithClient(ctx, c.client)
			}
			return ctx
		},
	}
}

func listen(where config.Listener) (net.Listener, error) {
	if where.Network == "unix" {
		// A socket file that a process left behind is in the way of the next one.
		if info, err := os.Lstat(where.Address); err == nil && info.Mode()&os.ModeSocket != 0 {
			if c, err := net.Dial("unix", where.Address); err == nil {
				_ = c.Close()
				return nil, fmt.Errorf("listen on %s: another process serves this socket", where.Address)
			}
			if err := os.Remove(where.Address); err != nil {
				return nil, fmt.Errorf("remove stale socket: %w", err)
			}
		}
	}
	l, err := net.Listen(where.Network, where.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP: %w", err)
	}
	return l, nil
}

// settingsOf picks from the configuration what the API looks at.
func settingsOf(cfg *config.Config) httpapi.Settings {
	headers := http.Header{}
	for name, value := range cfg.HTTP.ResponseHeaders {
		headers.Set(name, value)
	}
	return httpapi.Settings{
		ValueBytes: int64(cfg.Limits.KVMaxValueSize), TxnBytes: int64(cfg.Limits.TxnMaxReqLen), TxnOps: cfg.Limits.TxnMaxOps,
		ParkedPerClient: cfg.Limits.ParkedPerClient, ParkedTotal: cfg.Limits.ParkedTotal,
		AuthFailures: cfg.Limits.AuthFailuresPerClient, AuthFailuresTime: cfg.Limits.AuthFailuresTime,
		SessionTTLMin: cfg.SessionTTLMin, SessionGrace: cfg.SessionTTLGrace,
		DefaultQueryTime: cfg.DefaultQueryTime, MaxQueryTime: cfg.MaxQueryTime,
		HoldTime: cfg.RPCHoldTimeout, BodyTimeout: cfg.Limits.BodyReadTimeout,
		Headers: headers, Blocked: cfg.HTTP.BlockEndpoints, WritersFrom: cfg.HTTP.AllowWriteFrom,
		DefaultPolicy: defaultPolicy(cfg), DownPolicy: cfg.ACL.DownPolicy, TokenMaxTTL: cfg.ACL.TokenMaxTTL,
		AuditReads: cfg.Audit.ReadPrefixes,
		KeyList:    cfg.ACL.EnableKeyListPolicy, NoTokenInQuery: !cfg.ACL.TokenInQuery, HideExistence: cfg.ACL.HideExistence,
		KeepRoot: cfg.DisableRootRecursiveDelete, AnyPath: cfg.AllowNonprintablePaths,
		EnableDebug: cfg.EnableDebug,
	}
}

// defaultPolicy is what answers say of the policy that holds where no rule does.
func defaultPolicy(cfg *config.Config) []string {
	if !cfg.ACL.Enabled {
		return []string{"allow"}
	}
	return []string{cfg.ACL.DefaultPolicy}
}

func (a *Agent) startHTTP() {
	for i, s := range a.servers {
		l := a.listeners[i]
		if secure, ok := l.(*tlsListener); ok {
			secure.start()
		}
		a.group.Go("http "+l.Addr().String(), func(context.Context) error {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
}

// closeHTTP answers parked queries, lets requests end within the time that the
// configuration gives, and closes what is left.
func (a *Agent) closeHTTP() error {
	if a.api == nil {
		return nil
	}
	a.api.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), a.config().Leave.Timeout)
	defer cancel()
	var wait sync.WaitGroup
	for _, s := range a.servers {
		wait.Go(func() {
			if s.Shutdown(ctx) != nil {
				_ = s.Close() // what did not end in time is cut off
			}
		})
	}
	wait.Wait()
	a.api.Close()
	for _, l := range a.listeners {
		_ = l.Close() // closed by Shutdown, unless it was never served
	}
	return nil
}

// URLs are where the API is served.
func (a *Agent) URLs() []string {
	var urls []string
	for _, l := range a.listeners {
		_, secure := l.(*tlsListener)
		switch {
		case l.Addr().Network() == "unix":
			urls = append(urls, "unix://"+l.Addr().String())
		case secure:
			urls = append(urls, "https://"+l.Addr().String())
		default:
			urls = append(urls, "http://"+l.Addr().String())
		}
	}
	return urls
}

// connLimit bounds the open connections of one client address.
type connLimit struct {
	mu   sync.Mutex
	most int                // 0 or below: no bound; guarded by mu
	by   map[netip.Addr]int // guarded by mu

	refused atomic.Uint64 // connections that were one too many
}

func (l *connLimit) setMost(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = n
}

func (l *connLimit) enter(client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most > 0 && l.by[client] >= l.most {
		return false
	}
	l.by[client]++
	return true
}

func (l *connLimit) leave(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by[client]--; l.by[client] == 0 {
		delete(l.by, client)
	}
}

// listener refuses connections of clients that have too many.
type listener struct {
	net.Listener
	conns  *connLimit
	silent bool // say nothing to those: they expect TLS
}

// Accept returns the next connection that is within the bound.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var client netip.Addr
		if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			client = tcp.AddrPort().Addr().Unmap()
		}
		if l.conns.enter(client) {
			return &limitedConn{Conn: c, conns: l.conns, client: client}, nil
		}
		l.conns.refused.Add(1)
		if l.silent {
			_ = c.Close()
			continue
		}
		refuse(c)
	}
}

// refuse answers a connection that is one too many.
//
// Source: contract, README, section 11.
func refuse(c net.Conn) {
	const text = "Your IP is issuing too many concurrent connections, please rate limit your calls\n"
	_ = c.SetDeadline(time.Now().Add(10 * time.Millisecond)) // a new socket has room for this
	_, _ = fmt.Fprintf(c, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
	_ = c.Close()
}

// limitedConn gives its place back when it is closed.
type limitedConn struct {
	net.Conn
	conns  *connLimit
	client netip.Addr
	once   sync.Once
}

// Close closes the connection, once.
func (c *limitedConn) Close() error {
	c.once.Do(func() { c.conns.leave(c.client) })
	return c.Conn.Close()
}

// NetConn is the connection itself. Package http1 looks for this method.
func (c *limitedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends the sending side, so that the client sees the end of the last
// answer before the connection is closed. net/http looks for this method.
func (c *limitedConn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}
