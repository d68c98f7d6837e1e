package httpapi

import (
	"errors"
	"math/bits"
	"net/url"
	"strings"
)

// param names a query parameter that some endpoint knows.
type param uint8

const (
	pStale param = iota
	pConsistent
	pLeader
	pCached
	pMaxStale
	pIndex
	pWait
	pMinIndex
	pDC
	pDatacenter
	pNS
	pPartition
	pToken
	pPretty
	pRecurse
	pKeys
	pRaw
	pSeparator
	pSeperator // the historical misspelling
	pCAS
	pFlags
	pAcquire
	pRelease
	pRevision
	pAt
	pHistory
	pLimit
	pAfter
	pExact
	pEphemeral
	pTTL
	pTouch
	pPersist
	pFence
	pSequential
	pWidth
	pExplain
	pID
	pAddress
	pFilter
	pWAN
	pSegment
	pFormat
	pLogLevel
	pLogJSON
	pVerbose
	pSession
	pMode
	pSlots
	pLockDelay
	pPolicy
	pRole
	pServiceName
	pAuthMethod
	pExpanded
	pResource
	pAccess
	pName
	paramCount
)

// paramOf maps names to parameters. A switch, since it is asked for every
// parameter of every request.
func paramOf(name string) (param, bool) {
	switch name {
	case "stale":
		return pStale, true
	case "consistent":
		return pConsistent, true
	case "leader":
		return pLeader, true
	case "cached":
		return pCached, true
	case "max_stale":
		return pMaxStale, true
	case "index":
		return pIndex, true
	case "wait":
		return pWait, true
	case "min-index":
		return pMinIndex, true
	case "dc":
		return pDC, true
	case "datacenter":
		return pDatacenter, true
	case "ns":
		return pNS, true
	case "partition":
		return pPartition, true
	case "token":
		return pToken, true
	case "pretty":
		return pPretty, true
	case "recurse":
		return pRecurse, true
	case "keys":
		return pKeys, true
	case "raw":
		return pRaw, true
	case "separator":
		return pSeparator, true
	case "seperator":
		return pSeperator, true
	case "cas":
		return pCAS, true
	case "flags":
		return pFlags, true
	case "acquire":
		return pAcquire, true
	case "release":
		return pRelease, true
	case "revision":
		return pRevision, true
	case "at":
		return pAt, true
	case "history":
		return pHistory, true
	case "limit":
		return pLimit, true
	case "after":
		return pAfter, true
	case "exact":
		return pExact, true
	case "ephemeral":
		return pEphemeral, true
	case "ttl":
		return pTTL, true
	case "touch":
		return pTouch, true
	case "persist":
		return pPersist, true
	case "fence":
		return pFence, true
	case "sequential":
		return pSequential, true
	case "width":
		return pWidth, true
	case "explain":
		return pExplain, true
	case "id":
		return pID, true
	case "address":
		return pAddress, true
	case "filter":
		return pFilter, true
	case "wan":
		return pWAN, true
	case "segment":
		return pSegment, true
	case "format":
		return pFormat, true
	case "loglevel":
		return pLogLevel, true
	case "logjson":
		return pLogJSON, true
	case "verbose":
		return pVerbose, true
	case "session":
		return pSession, true
	case "mode":
		return pMode, true
	case "slots":
		return pSlots, true
	case "lock-delay":
		return pLockDelay, true
	case "policy":
		return pPolicy, true
	case "role":
		return pRole, true
	case "servicename":
		return pServiceName, true
	case "authmethod":
		return pAuthMethod, true
	case "expanded":
		return pExpanded, true
	case "resource":
		return pResource, true
	case "access":
		return pAccess, true
	case "name":
		return pName, true
	}
	return 0, false
}

// query is a parsed query string: which known parameters are present, and the
// first value of each.
//
// It is large, and most of it is empty in most requests: [query.clear] is cheaper than
// making a new one.
type query struct {
	set    uint64
	values [paramCount]string
}

// has tells whether the parameter is present, whatever its value: presence
// parameters are on by name alone.
//
// Source: contract, README, section 5.
func (q *query) has(p param) bool { return q.set&(1<<p) != 0 }

// get returns the first value of a parameter; an absent one is as an empty one.
func (q *query) get(p param) string { return q.values[p] }

var (
	errSemicolon = errors.New("query string has a semicolon: separate parameters with &, and write a semicolon in a value as %3B")
	errEscape    = errors.New("query string has a broken percent escape: a percent sign itself is written %25")
)

// clear forgets all parameters.
func (q *query) clear() {
	for set := q.set; set != 0; set &= set - 1 {
		q.values[bits.TrailingZeros64(set)] = ""
	}
	q.set = 0
}

// parse reads a raw query string. Unknown parameters are checked for their form
// and ignored.
func (q *query) parse(raw string) error {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		if strings.IndexByte(pair, ';') >= 0 {
			return errSemicolon
		}
		name, value, _ := strings.Cut(pair, "=")
		var err error
		if name, err = unescape(name); err != nil {
			return err
		}
		if value, err = unescape(value); err != nil {
			return err
		}
		p, known := paramOf(name)
		if !known || q.has(p) {
			continue
		}
		q.set |= 1 << p
		q.values[p] = value
	}
	return nil
}

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	s, err := url.QueryUnescape(s)
	if err != nil {
		return "", errEscape
	}
	return s, nil
}
