package tlsconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Reason says in words for an operator why a handshake failed, seen from this side:
// "it" is who connects, or is connected to.
func Reason(err error) string {
	var (
		name   *NameError
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		op     *net.OpError
	)
	switch {
	case errors.As(err, &name):
		return fmt.Sprintf("it shows a certificate for %s, and that of a server is for %s", name.Has, name.Want)
	case errors.As(err, &verify):
		return reasonOfVerify(verify.Err)
	case errors.As(err, &record):
		return "it does not speak TLS"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "it did not finish the TLS handshake in time"
	case errors.As(err, &op) && op.Op == "remote error": // an alert, whose type crypto/tls keeps to itself
		return "it ended the handshake, with the alert: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	case errors.As(err, &op) && op.Op == "local error" && strings.HasSuffix(op.Err.Error(), "bad record MAC"):
		// OpenSSL sends the alert in which it says why without encryption, where TLS 1.3
		// has the other side expect it.
		return "it broke the handshake off, most likely since it does not trust the certificate of this server (" + op.Err.Error() + ")"
	case Vanished(err):
		return "it closed the connection during the TLS handshake"
	}
	return strings.TrimPrefix(err.Error(), "tls: ")
}

// Vanished says whether the other side was gone without a word: a port scan, a health
// check of a load balancer, a client that was ended.
func Vanished(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func reasonOfVerify(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &unknown):
		return "its certificate comes from an authority that is not in ca_file or ca_path"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("its certificate counts from %s to %s only",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "its certificate is not made for this side of a connection (extended key usage)"
	}
	return "its certificate is refused: " + strings.TrimPrefix(err.Error(), "x509: ")
}
