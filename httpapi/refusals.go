package httpapi

import (
	"errors"
	"sync/atomic"

	"github.com/holdfast-kv/holdfast/acl"
)

// A cause is which bound it was that a request went beyond, so that it is answered 429.
// That something is not healthy is answered 429 too; it is no refusal and not counted.
type cause uint8

const (
	causeAuthFailures cause = iota
	causeParkedClient
	causeParkedTotal
	causeStreams
	causeQueue
	causeWhoCan
	causes
)

var causeNames = [causes]string{
	causeAuthFailures: "auth_failures",
	causeParkedClient: "parked_queries_per_client",
	causeParkedTotal:  "parked_queries_total",
	causeStreams:      "streams",
	causeQueue:        "lock_queue",
	causeWhoCan:       "who_can",
}

// What may come of a login.
const (
	loginDone    = iota
	loginRefused // the credential is no good, or gives nothing
	loginFailed  // anything else, such as a provider that does not answer
	loginResults
)

var loginNames = [loginResults]string{"done", "refused", "failed"}

const (
	resourceCount = int(acl.ResourceSession) + 1
	accessCount   = int(acl.AccessHistory) + 1
)

// Labels of denials for lack of something that is no right.
const (
	rightUnknown = "unknown_token"
	rightOther   = "other" // a login that gives nothing, a right that was gone when the write was applied
)

// RefusalMetrics counts what was refused, and why. It goes on counting.
type RefusalMetrics struct {
	denials        [resourceCount][accessCount]atomic.Uint64
	unknown, other atomic.Uint64
	tooMany        [causes]atomic.Uint64
	logins         [loginResults]atomic.Uint64
}

// Refusals returns what was refused since the server began.
func (s *Server) Refusals() *RefusalMetrics { return &s.refusals }

// EachDenial visits the number of denials by what was lacking: every right that there is,
// as resource:access, whether it was ever lacking or not.
func (m *RefusalMetrics) EachDenial(visit func(right string, n uint64)) {
	for r := acl.ResourceACL; int(r) < resourceCount; r++ {
		for a := acl.AccessRead; int(a) < accessCount; a++ {
			if exists(r, a) {
				visit(r.String()+":"+a.String(), m.denials[r][a].Load())
			}
		}
	}
	visit(rightUnknown, m.unknown.Load())
	visit(rightOther, m.other.Load())
}

// exists tells whether there is such a right: only keys have more than read and write.
func exists(r acl.Resource, a acl.Access) bool {
	return r != 0 && (a == acl.AccessRead || a == acl.AccessWrite || a != 0 && r == acl.ResourceKey)
}

// EachTooMany visits the number of answers 429 by the bound that was reached.
func (m *RefusalMetrics) EachTooMany(visit func(cause string, n uint64)) {
	for i, name := range causeNames {
		visit(name, m.tooMany[i].Load())
	}
}

// EachLogin visits the number of logins by what came of them.
func (m *RefusalMetrics) EachLogin(visit func(result string, n uint64)) {
	for i, name := range loginNames {
		visit(name, m.logins[i].Load())
	}
}

// denied counts a denial.
func (m *RefusalMetrics) denied(err error) {
	var missing *acl.PermissionError
	switch {
	case errors.As(err, &missing) && exists(missing.Resource, missing.Access):
		m.denials[missing.Resource][missing.Access].Add(1)
	case isUnknown(err):
		m.unknown.Add(1)
	default:
		m.other.Add(1)
	}
}

// loggedIn counts a login, and tells whether it was the credential that was no good.
func (m *RefusalMetrics) loggedIn(err error) (refused bool) {
	result := loginFailed
	switch {
	case err == nil:
		result = loginDone
	case errors.As(err, new(*badLogin)):
		result = loginRefused
	}
	m.logins[result].Add(1)
	return result == loginRefused
}
