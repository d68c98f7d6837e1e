package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/holdfast-kv/holdfast/api"
)

// A usageError is a command line that cannot be carried out as it stands.
type usageError struct {
	msg string
	try string // what to type instead; "" when there is nothing better than the help
}

func (e *usageError) Error() string { return e.msg }

// usagef makes a usageError.
func usagef(format string, args ...any) error {
	return &usageError{msg: fmt.Sprintf(format, args...)}
}

// A hintError adds advice to an error.
type hintError struct {
	err error
	why string // "" when the error says it
	try string // "" when there is nothing to advise
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// A plainError is shown as it is, without "Error:": texts that scripts for consul
// look for.
type plainError struct {
	text string
	err  error // what it is, for the exit code
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// showError writes what happened, why as far as it is known, and what to try.
// The help line names path, the command that was run.
func showError(w io.Writer, err error, path string, st style) {
	var plain *plainError
	if errors.As(err, &plain) {
		fmt.Fprintln(w, st.bad(plain.text))
	} else {
		fmt.Fprintln(w, st.bad("Error:"), err)
	}
	why, try := advice(err, path)
	if why != "" {
		fmt.Fprintln(w, "  Why: "+strings.ReplaceAll(why, "\n", "\n       "))
	}
	if try != "" {
		fmt.Fprintln(w, "  Try: "+strings.ReplaceAll(try, "\n", "\n       "))
	}
}

// showInterrupt says no more than that a signal ended the command, which is no
// fault to explain, unless it broke off a write.
func showInterrupt(w io.Writer, err error) {
	var conn *api.ConnectionError
	if errors.As(err, &conn) && conn.Sent && conn.Write {
		fmt.Fprintln(w, "Interrupted, and the outcome of the write is unknown")
		return
	}
	fmt.Fprintln(w, "Interrupted")
}

// advice says what is known about an error beyond its text. One place holds all of
// it, so that the same fault gets the same advice in every command.
func advice(err error, path string) (why, try string) {
	var (
		usage *usageError
		hint  *hintError
		conn  *api.ConnectionError
		tls   *api.TLSError
	)
	switch {
	case errors.As(err, &usage):
		if usage.try != "" {
			return "", usage.try
		}
		return "", path + " -h"
	case errors.As(err, &hint):
		return hint.why, hint.try
	case errors.Is(err, api.ErrDenied):
		return denialAdvice(err)
	case errors.Is(err, api.ErrNoLeader):
		return "a majority of the servers cannot be reached, or an election is going on",
			"the same again in a moment, or -stale to read without a leader"
	case errors.As(err, &tls):
		return "", tlsAdvice(tls)
	case errors.As(err, &conn) && errors.Is(err, api.ErrUnreachable):
		return connectionAdvice(conn)
	case errors.Is(err, context.DeadlineExceeded):
		return "the server did not answer in time", "a longer -timeout, or another server"
	case errors.Is(err, api.ErrPruned):
		return "history is kept for a limited time and size", "holdfast kv history KEY, to see what can still be read"
	case errors.Is(err, api.ErrTooLarge):
		return "", "a smaller value, or raise limits.kv_max_value_size on the servers"
	case errors.Is(err, api.ErrTooMany):
		return "the server limits what one client may ask for", "the same again later"
	case errors.Is(err, api.ErrSnapshot):
		return "the archive was cut off or changed on its way or on disk", "another copy of it"
	}
	return "", ""
}

// connectionAdvice tells a server that is not there from a connection that broke.
func connectionAdvice(conn *api.ConnectionError) (why, try string) {
	switch {
	case conn.Sent && conn.Write:
		return "the connection broke before the answer came", "read the state back before you write again"
	case conn.Sent:
		return "the connection broke before the answer came", "the same again"
	}
	return "no server answers there",
		"holdfast agent -dev                     to start one on this machine\n" +
			"-http-addr or HOLDFAST_HTTP_ADDR        to name another"
}

// tlsAdvice says what to change so that both sides agree.
func tlsAdvice(refused *api.TLSError) string {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		status  *api.StatusError
	)
	switch {
	case errors.As(refused, &unknown):
		return "-ca-file or HOLDFAST_CACERT, with the certificate of the authority"
	case errors.As(refused, &host):
		return "an address that the certificate names, or -tls-server-name with one of its names"
	case errors.As(refused, &invalid):
		return "holdfast tls cert create -server         where the authority is, for a new certificate"
	case errors.Is(refused, http.ErrSchemeMismatch):
		return "an address that begins with http://, or the port for HTTPS"
	case errors.As(refused, &status):
		return "an address that begins with https://, or HOLDFAST_HTTP_SSL=true"
	}
	return "-client-cert and -client-key, with a certificate of an authority that the server trusts"
}
