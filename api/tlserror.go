package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// A TLSError says why no encrypted connection came about: one of the two sides
// refused the certificate of the other, or they do not both speak TLS. Nothing was
// carried out. It comes inside of a [ConnectionError].
type TLSError struct {
	Why string // one sentence, lower case
	Err error  // what crypto/tls or net/http said
}

// Error is the sentence.
func (e *TLSError) Error() string { return e.Why }

// Unwrap gives the error below.
func (e *TLSError) Unwrap() error { return e.Err }

// explainTLS finds out whether err means that the two sides did not agree on TLS; nil
// if it does not.
func explainTLS(err error) *TLSError {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		record  tls.RecordHeaderError
		why     string
	)
	switch {
	case errors.As(err, &unknown):
		why = "the server's certificate comes from an authority that this client does not trust"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		why = "the server's certificate " + whenValid(invalid.Cert, time.Now())
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		why = "the server shows a certificate that is not made for servers"
	case errors.As(err, &host):
		why = fmt.Sprintf("the server's certificate is for %s, not for %s", certificateNames(host.Certificate), host.Host)
	case errors.Is(err, http.ErrSchemeMismatch):
		why = "the server speaks plain HTTP there, not HTTPS"
	case errors.As(err, &record):
		why = "the server does not speak TLS there"
	default:
		if alert, ok := alertOf(err); ok {
			why = alertText(alert)
		}
	}
	if why == "" {
		return nil
	}
	return &TLSError{Why: why, Err: err}
}

// plainText is how servers answer plain HTTP on a port for HTTPS, with the status 400:
// Go's, and so all that speak this API.
const plainText = "Client sent an HTTP request to an HTTPS server."

// explainStatus is explainTLS for an answer; scheme is that of the request.
func explainStatus(scheme string, answer *StatusError) *TLSError {
	if scheme != "http" || answer.Code != http.StatusBadRequest || answer.Body != plainText {
		return nil
	}
	return &TLSError{Why: "the server speaks HTTPS there, not plain HTTP", Err: answer}
}

// whenValid says how a certificate and now do not fit.
func whenValid(c *x509.Certificate, now time.Time) string {
	if now.Before(c.NotBefore) {
		return "does not count before " + c.NotBefore.UTC().Format(time.RFC3339)
	}
	return "expired on " + c.NotAfter.UTC().Format(time.RFC3339)
}

// certificateNames says what a certificate is for.
func certificateNames(c *x509.Certificate) string {
	var names []string
	names = append(names, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if names == nil {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// Alerts that end a handshake.
//
// Source: RFC 8446, section 6.
const (
	alertHandshakeFailure    = 40
	alertBadCertificate      = 42
	alertUnsupported         = 43
	alertRevoked             = 44
	alertExpired             = 45
	alertUnknown             = 46
	alertUnknownCA           = 48
	alertAccessDenied        = 49
	alertProtocolVersion     = 70
	alertCertificateRequired = 116
)

// alertOf finds the alert that the server sent. The type of alerts is private to
// crypto/tls; what is known of it is that it is the alert's number.
func alertOf(err error) (number uint64, ok bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return v.Uint(), true
}

// alertText is the sentence for an alert that is about certificates or versions; ""
// for others, which may come at any time.
func alertText(alert uint64) string {
	switch alert {
	case alertCertificateRequired:
		return "the server asks for a client certificate, and there is none that it would take"
	case alertUnknownCA:
		return "the server does not trust the authority of the client's certificate"
	case alertExpired:
		return "the server refuses the client's certificate: it has expired, or does not count yet"
	case alertBadCertificate, alertUnsupported, alertRevoked, alertUnknown, alertAccessDenied:
		return "the server refuses the client's certificate"
	case alertHandshakeFailure:
		return "the server and this client have no version or cipher of TLS in common, or the server asks for a client certificate"
	case alertProtocolVersion:
		return "the server does not take this client's version of TLS"
	}
	return ""
}

// probeWait is how long probe waits for a server to refuse.
const probeWait = time.Second

// probe finds out why a server closes encrypted connections. With TLS 1.3 the verdict
// on a client's certificate comes after the client has done its part, and net/http
// may drop it when it speaks HTTP/2. So a connection is made that asks nothing and
// only listens. failed is what came of the first one. The result is nil when nothing
// was learned.
func probe(ctx context.Context, base *url.URL, transport *http.Transport, failed error) *TLSError {
	var op *net.OpError
	dialed := !errors.As(failed, &op) || op.Op != "dial"
	if base.Scheme != "https" || !dialed || transport.TLSClientConfig == nil || transport.DialContext == nil {
		return nil
	}
	if transport.Proxy != nil {
		if proxy, err := transport.Proxy(&http.Request{URL: base}); proxy != nil || err != nil {
			return nil // the server is not to be reached directly
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	port := base.Port()
	if port == "" {
		port = "443"
	}
	raw, err := transport.DialContext(ctx, "tcp", net.JoinHostPort(base.Hostname(), port))
	if err != nil {
		return nil
	}
	defer func() { _ = raw.Close() }()
	config := transport.TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	if config.ServerName == "" {
		config.ServerName = base.Hostname()
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return explainTLS(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(probeWait))
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	_, err = conn.Read(make([]byte, 1))
	return explainTLS(err)
}
