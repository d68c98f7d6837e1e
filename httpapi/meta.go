package httpapi

import (
	"net/http"
	"strconv"
	"time"
)

// Header values that never change are shared by all answers: net/http only reads
// them. The names in this package are canonical, so that they can be set in the
// map directly.
var (
	typeJSON    = []string{"application/json"}
	typeText    = []string{"text/plain; charset=utf-8"}
	typeRaw     = []string{"text/plain"}
	noSniff     = []string{"nosniff"}
	sandbox     = []string{"sandbox"}
	gzipCoding  = []string{"gzip"}
	varyCoding  = []string{"Accept-Encoding"}
	varyToken   = []string{"Accept-Encoding, X-Consul-Token, Authorization"}
	backend     = []string{"blocking-query"}
	headerTrue  = []string{"true"}
	headerFalse = []string{"false"}
	headerZero  = []string{"0"}
)

// setIndex says which state a read or a write saw. It is never 0.
func setIndex(h http.Header, index uint64) {
	h["X-Consul-Index"] = []string{strconv.FormatUint(max(index, 1), 10)}
}

// setContact says what the answering server knows of the leader.
func setContact(h http.Header, contact Contact) {
	h["X-Consul-Knownleader"] = headerFalse
	if contact.KnownLeader {
		h["X-Consul-Knownleader"] = headerTrue
	}
	h["X-Consul-Lastcontact"] = headerZero
	if contact.LastContact > 0 {
		h["X-Consul-Lastcontact"] = []string{strconv.FormatInt(int64(contact.LastContact/time.Millisecond), 10)}
	}
}

// setQuery sets what every read that can block carries.
func setQuery(h http.Header, index uint64, contact Contact) {
	setIndex(h, index)
	setContact(h, contact)
	h["X-Consul-Query-Backend"] = backend
}
