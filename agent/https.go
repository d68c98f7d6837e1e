package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/agent/tlsconf"
	"github.com/holdfast-kv/holdfast/internal/run"
)

// httpsProtocols are offered to clients of the API, the preferred one first.
var httpsProtocols = []string{"h2", "http/1.1"}

// Bounds of handshakes that are not finished.
const (
	maxHandshakes = 4096 // at once and listener; more wait to be accepted

	// A client that is refused is let finish its sentence, so that it reads why before
	// the connection breaks.
	refusedWait  = time.Second
	refusedBytes = 64 << 10
)

// openTLS reads the certificates.
func (a *Agent) openTLS() (err error) {
	a.certs, err = tlsconf.Open(a.config(), tlsconf.Options{Log: a.logs.Named("tls"), Now: a.now})
	return err
}

// tlsListener makes the handshakes of the connections that it accepts, each in a
// goroutine of its own, and hands on those that succeed. net/http would do so too,
// but with the time limit of a request's headers, and it tells of a failure by a line
// of text only.
type tlsListener struct {
	net.Listener
	config  *tls.Config
	timeout time.Duration // for one handshake
	log     hclog.Logger
	group   *run.Group // parent of the goroutines

	accepted chan accepted
	room     chan struct{} // a place for each handshake that may be under way
	refusals refusals

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

func newTLSListener(l net.Listener, config *tls.Config, timeout time.Duration, log hclog.Logger, group *run.Group) *tlsListener {
	t := &tlsListener{
		Listener: l, config: config, timeout: timeout, log: log, group: group,
		accepted: make(chan accepted), room: make(chan struct{}, maxHandshakes),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// start begins to accept.
func (t *tlsListener) start() {
	t.group.Go("accept "+t.Addr().String(), func(context.Context) error {
		t.acceptAll()
		return nil
	})
}

func (t *tlsListener) acceptAll() {
	for {
		conn, err := t.Listener.Accept()
		if err != nil {
			select {
			case t.accepted <- accepted{err: err}: // net/http decides whether to go on
			case <-t.ctx.Done():
				return
			}
			continue
		}
		select {
		case t.room <- struct{}{}:
		case <-t.ctx.Done():
			_ = conn.Close()
			return
		}
		started := t.group.Go("handshake "+conn.RemoteAddr().String(), func(context.Context) error {
			defer func() { <-t.room }()
			t.handshake(conn)
			return nil
		})
		if !started {
			_ = conn.Close()
			return
		}
	}
}

// handshake hands the connection on, or says why not and closes it.
func (t *tlsListener) handshake(conn net.Conn) {
	ctx, cancel := context.WithTimeout(t.ctx, t.timeout)
	defer cancel()
	secure := tls.Server(conn, t.config)
	if err := secure.HandshakeContext(ctx); err != nil {
		if t.ctx.Err() == nil {
			t.refused(conn, err)
		}
		_ = conn.Close()
		return
	}
	select {
	case t.accepted <- accepted{conn: secure}:
	case <-t.ctx.Done():
		_ = secure.Close()
	}
}

// refused logs a handshake that failed, and lets the client read why.
func (t *tlsListener) refused(conn net.Conn, err error) {
	args := []any{"client", conn.RemoteAddr().String(), "reason", tlsconf.Reason(err)}
	switch more, ok := t.refusals.say(time.Now()); {
	case tlsconf.Vanished(err) || !ok:
		t.log.Debug("TLS connection refused", args...)
	case more > 0:
		t.log.Warn("TLS connection refused", append(args, "more_not_shown", more)...)
	default:
		t.log.Warn("TLS connection refused", args...)
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) && looksLikeHTTP(record.RecordHeader[:]) {
		const text = "Client sent an HTTP request to an HTTPS server.\n"
		_ = conn.SetDeadline(time.Now().Add(refusedWait))
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			len(text), text)
	}
	if half, ok := conn.(*limitedConn); ok && half.CloseWrite() == nil {
		_ = conn.SetReadDeadline(time.Now().Add(refusedWait))
		_, _ = io.CopyN(io.Discard, conn, refusedBytes)
	}
}

// looksLikeHTTP says whether these first bytes are those of a plain HTTP request.
func looksLikeHTTP(first []byte) bool {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "DELET", "OPTIO", "PATCH", "CONNE", "TRACE"} {
		if bytes.Equal(first, []byte(method)) {
			return true
		}
	}
	return false
}

// Accept returns the next connection whose handshake succeeded.
func (t *tlsListener) Accept() (net.Conn, error) {
	select {
	case a := <-t.accepted:
		return a.conn, a.err
	case <-t.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends handshakes that are under way. Connections that were handed on stay.
func (t *tlsListener) Close() error {
	t.cancel()
	return t.Listener.Close()
}

// Bounds of the lines about refused connections, which anybody can cause.
const (
	refusalLines  = 20
	refusalWindow = 10 * time.Second
)

// refusals counts lines.
type refusals struct {
	mu     sync.Mutex
	since  time.Time // of the window; guarded by mu
	shown  int       // in the window; guarded by mu
	hidden int       // since the last line that was shown; guarded by mu
}

// say asks whether another line may be shown now, and if so how many were not since
// the last one.
func (r *refusals) say(now time.Time) (more int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.since) >= refusalWindow {
		r.since, r.shown = now, 0
	}
	if r.shown == refusalLines {
		r.hidden++
		return 0, false
	}
	r.shown++
	more, r.hidden = r.hidden, 0
	return more, true
}

// limited finds the connection that counts for the client's address, below TLS too.
func limited(c net.Conn) *limitedConn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if l, ok := c.(*lingeringConn); ok {
		return l.limitedConn
	}
	l, _ := c.(*limitedConn)
	return l
}

// httpsServer makes of a server for plain HTTP one that also speaks HTTP/2, which is
// offered in the handshakes that its listener makes.
func httpsServer(s *http.Server) *http.Server {
	s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: httpsProtocols} // only tells net/http to serve HTTP/2
	return s
}
