package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Errors that calls may be tested for with errors.Is. They come wrapped in
// what was being done.
var (
	// ErrNotFound says that the key asked for does not exist, or did not at the
	// revision asked for. Only an answer of the key/value store itself counts: a
	// 404 of a proxy or of an unknown path is a [StatusError] and not this.
	ErrNotFound = errors.New("key does not exist")

	// ErrNotModified says that what [IfNoneMatch] named is still current.
	ErrNotModified = errors.New("not modified")

	// ErrDenied says that the token may not do this (401 or 403).
	ErrDenied = errors.New("permission denied")

	// ErrACLNotFound says that a token, policy, role, auth method or binding rule does
	// not exist. A request made with a token that does not exist is ErrDenied.
	ErrACLNotFound = errors.New("ACL object does not exist")

	// ErrPruned says that the revision or time asked for is older than the
	// history that is kept (410). The StatusError has the oldest index that can
	// still be read.
	ErrPruned = errors.New("history is no longer kept that far back")

	// ErrTooLarge says that a key, a value or a transaction is beyond a limit
	// of the server (413).
	ErrTooLarge = errors.New("larger than the server accepts")

	// ErrTooMany says that the server limits the rate, the connections or the
	// waiting queries of this client (429).
	ErrTooMany = errors.New("too many requests")

	// ErrNoLeader says that the servers have no leader, so that nothing but a
	// stale read can be answered.
	ErrNoLeader = errors.New("no cluster leader")

	// ErrUnreachable says that no answer came from the server: nothing listens,
	// the connection broke, TLS was refused. See [ConnectionError] for whether
	// the request may have been carried out all the same.
	ErrUnreachable = errors.New("server is unreachable")

	// ErrAnswerTooLarge says that an answer was longer than the client's own
	// bound, [WithMaxAnswerBytes].
	ErrAnswerTooLarge = errors.New("answer is larger than the client accepts")

	// ErrKey says that a key cannot be used for this call; see [KeyError].
	ErrKey = errors.New("key cannot be used here")

	// ErrNoSession says that a session does not exist: it was ended, or its time ran
	// out, or there never was one with that id.
	ErrNoSession = errors.New("session does not exist")

	// ErrLost says that a session, or what was held with it, can no longer be counted
	// on: the session was not renewed in time, it was ended, or the lock is another's.
	ErrLost = errors.New("no longer held")

	// ErrHeld says that a lock was not acquired because others hold it, or because it
	// is in its lock-delay; see [HeldError].
	ErrHeld = errors.New("held by another")

	// ErrConflict says that a key is in use for something else than this kind of lock.
	ErrConflict = errors.New("key is in use for something else")

	// ErrInUse says that a lock cannot be removed because somebody holds it.
	ErrInUse = errors.New("lock is in use")

	// ErrFenced says that a write was refused because its [Fence] is out of date: the
	// lock has had another holder since.
	ErrFenced = errors.New("fenced off")

	// ErrSnapshot says that a snapshot archive is not whole: a member is missing,
	// a hash does not match, or the stream was cut off.
	ErrSnapshot = errors.New("snapshot archive is damaged")
)

// A StatusError is an answer whose status the call did not expect. It matches
// ErrDenied, ErrACLNotFound, ErrPruned, ErrTooLarge, ErrTooMany and ErrNoLeader by errors.Is.
type StatusError struct {
	Code      int    // HTTP status
	Body      string // the server's sentence, trimmed; at most 64 KiB, often empty
	RequestID string // id under which the server logged the request; "" if it sent none

	// RetryAfter is how long the server asks to wait before the next try; 0 when it
	// does not say.
	RetryAfter time.Duration

	// Denial says, with ErrDenied, which right was missing and which rule decided; nil
	// when the server did not explain, as those of Consul do not.
	Denial *Denial

	// OldestIndex is, with ErrPruned, the oldest index that can still be read; 0
	// when the server does not tell.
	OldestIndex uint64
}

// Error gives the server's own words, with the status when there are none.
func (e *StatusError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "server answered %d", e.Code)
	switch {
	case e.Body != "":
		b.WriteString(": ")
		b.WriteString(e.Body)
	case http.StatusText(e.Code) != "":
		b.WriteString(" ")
		b.WriteString(http.StatusText(e.Code))
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// noLeaderText is how servers of this API say that there is no leader. The
// status alone does not tell it from other refusals (all are 500), so this is
// one of the few texts that clients must know. Source: contract, section 9.
const noLeaderText = "No cluster leader"

// aclNotFound says whether the answer means that an object of the ACLs does not exist.
// Tokens that are missing are 403, everything else is 404, and a 404 of an unknown path
// has another text.
//
// Source: contract, ACL API, sections 2 to 6.
func (e *StatusError) aclNotFound() bool {
	switch e.Code {
	case http.StatusForbidden:
		return strings.HasPrefix(e.Body, "token does not exist: ") || strings.HasPrefix(e.Body, "token has expired: ")
	case http.StatusNotFound:
		return strings.HasPrefix(e.Body, "Requested ") && strings.HasSuffix(e.Body, " does not exist: ACL not found") ||
			strings.HasPrefix(e.Body, "Cannot find ") && strings.HasSuffix(e.Body, " to delete")
	}
	return false
}

// Is lets errors.Is see what the status means.
func (e *StatusError) Is(target error) bool {
	switch target {
	case ErrDenied:
		return e.Code == http.StatusForbidden || e.Code == http.StatusUnauthorized
	case ErrACLNotFound:
		return e.aclNotFound()
	case ErrPruned:
		return e.Code == http.StatusGone
	case ErrTooLarge:
		return e.Code == http.StatusRequestEntityTooLarge
	case ErrTooMany:
		return e.Code == http.StatusTooManyRequests
	case ErrNoLeader:
		return e.Code >= 500 && strings.Contains(e.Body, noLeaderText)
	}
	return false
}

// A ConnectionError is a call that got no answer. It matches ErrUnreachable.
type ConnectionError struct {
	Address string // where the client tried, such as "http://127.0.0.1:8500"

	// Sent is false when the request certainly did not leave this process: the
	// server did nothing and the call can be repeated.
	Sent bool

	// Write says that the call was to change something. When it was sent too,
	// the outcome is unknown: read before you write again.
	Write bool

	Err error // what the network said
}

// Error names the address and, for a write that had left, says that its outcome
// is not known.
func (e *ConnectionError) Error() string {
	switch {
	case e.Sent && e.Write:
		return fmt.Sprintf("no answer from %s, the outcome is unknown: %v", e.Address, e.Err)
	case e.Sent:
		return fmt.Sprintf("no answer from %s: %v", e.Address, e.Err)
	}
	return fmt.Sprintf("no connection to %s: %v", e.Address, e.Err)
}

// Unwrap gives the network's error.
func (e *ConnectionError) Unwrap() error { return e.Err }

// Is makes every ConnectionError an ErrUnreachable, unless the call ended
// because its context did.
func (e *ConnectionError) Is(target error) bool {
	return target == ErrUnreachable && !isContextError(e.Err)
}

// A KeyError is a key that a call cannot carry. It matches ErrKey.
type KeyError struct {
	Key string // the key as it was given
	Why string // what is wrong with it, lower case
}

// Error says why; what wraps it names the key.
func (e *KeyError) Error() string { return e.Why }

// Is makes every KeyError an ErrKey.
func (e *KeyError) Is(target error) bool { return target == ErrKey }

// isContextError says whether err comes from a context that ended.
func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
