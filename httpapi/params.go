package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// readOptions are the parameters that all reads have in common.
type readOptions struct {
	mode     Mode
	index    uint64        // block until the result's index exceeds it; 0: do not
	wait     time.Duration // as asked; 0 or below: the default
	minIndex uint64        // wait until this server has applied that index
}

// readOptions checks the common parameters in the order in which clients see the
// errors.
//
// Source: contract, README, sections 2 and 5.
func (c *call) readOptions() (o readOptions, err error) {
	if o.mode, err = c.consistency(); err != nil {
		return o, err
	}
	if err = checkCacheControl(c.r.Header); err != nil {
		return o, err
	}
	if v := c.q.get(pWait); v != "" {
		if o.wait, err = parseWait(v); err != nil {
			return o, badRequest("Invalid wait time")
		}
	}
	if v := c.q.get(pIndex); v != "" {
		if o.index, err = strconv.ParseUint(v, 10, 64); err != nil {
			return o, badRequest("Invalid index")
		}
	}
	if v := c.q.get(pMinIndex); v != "" {
		if o.minIndex, err = strconv.ParseUint(v, 10, 64); err != nil {
			return o, badRequest("Invalid min-index")
		}
	}
	return o, c.checkNamespace()
}

// parseWait is time.ParseDuration, but quicker for what nearly all clients send: a few digits
// and one unit.
func parseWait(s string) (time.Duration, error) {
	digits := len(s) - 1
	if digits < 1 || digits > 6 {
		return time.ParseDuration(s)
	}
	n := time.Duration(0)
	for i := range digits {
		if s[i] < '0' || s[i] > '9' {
			return time.ParseDuration(s)
		}
		n = n*10 + time.Duration(s[i]-'0')
	}
	switch s[digits] {
	case 's':
		return n * time.Second, nil
	case 'm':
		return n * time.Minute, nil
	}
	return time.ParseDuration(s)
}

func (c *call) consistency() (Mode, error) {
	mode := Default
	if age, err := c.maxStale(); err != nil {
		return mode, err
	} else if age > 0 {
		mode = Stale
	}
	if c.q.has(pStale) {
		mode = Stale
	}
	if c.q.has(pConsistent) {
		if mode == Stale {
			return mode, badRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
		}
		if c.q.has(pCached) {
			return mode, badRequest("Cannot specify ?cached with ?consistent, conflicting semantics.")
		}
		mode = Consistent
	}
	return mode, nil
}

// maxStale is ?max_stale, 0 without one.
func (c *call) maxStale() (time.Duration, error) {
	v := c.q.get(pMaxStale)
	if v == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return 0, badRequest(fmt.Sprintf("Invalid max_stale value %q", v))
	}
	return d, nil
}

// tooOld tells whether a stale answer of a server that has this contact to the leader is
// older than the client takes.
func (c *call) tooOld(mode Mode, contact Contact) bool {
	if mode != Stale {
		return false
	}
	age, err := c.maxStale()
	return err == nil && age > 0 && contact.LastContact > age
}

// checkCacheControl refuses what the contract refuses; the directives themselves
// have no effect on reads that have no cache.
//
// Source: contract, README, section 13.
func checkCacheControl(h http.Header) error {
	v, ok := h["Cache-Control"]
	if !ok || len(v) == 0 {
		return nil
	}
	for part := range strings.SplitSeq(strings.ToLower(v[0]), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name != "max-age" && name != "stale-if-error" {
			continue
		}
		if _, err := strconv.ParseUint(value, 10, 63); err != nil {
			return badRequest("Invalid Cache-Control header.")
		}
	}
	return nil
}

// checkNamespace refuses selectors of namespaces and partitions, which this API
// does not have, even for the name default.
//
// Source: contract, README, section 15.
func (c *call) checkNamespace() error {
	const (
		namespaces = "Namespaces are a Consul Enterprise feature"
		partitions = "Partitions are a Consul Enterprise feature"
	)
	switch {
	case headerOf(c.r.Header, "X-Consul-Namespace") != "":
		return badRequest(`Invalid header: "X-Consul-Namespace" - ` + namespaces)
	case c.q.get(pNS) != "":
		return badRequest(`Invalid query parameter: "ns" - ` + namespaces)
	case headerOf(c.r.Header, "X-Consul-Partition") != "":
		return badRequest(`Invalid header: "X-Consul-Partition" - ` + partitions)
	case c.q.get(pPartition) != "":
		return badRequest(`Invalid query parameter: "partition" - ` + partitions)
	}
	return nil
}

// headerOf returns the first value of a header given by its canonical name.
func headerOf(h http.Header, canonical string) string {
	if v := h[canonical]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// checkDatacenter refuses any datacenter but our own.
//
// Source: contract, README, section 14.
func (c *call) checkDatacenter() error {
	dc := c.q.get(pDatacenter)
	if dc == "" {
		dc = c.q.get(pDC)
	}
	if dc != "" && dc != c.s.opts.Datacenter {
		return errNoDatacenter
	}
	return nil
}

// number parses the value of a parameter of a write or of one of our own. An
// error has the text of the number parser, as clients of the wire know it.
//
// Source: contract, README, section 5; 400 instead of 500 by its "Where Holdfast
// should differ" 4.
func (c *call) number(p param) (uint64, error) {
	n, err := strconv.ParseUint(c.q.get(p), 10, 64)
	if err != nil {
		return 0, badRequest(err.Error())
	}
	return n, nil
}
