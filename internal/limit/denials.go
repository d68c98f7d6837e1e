package limit

import "time"

// Bounds of what a server remembers of requests that it has refused.
const (
	// Denials is how many it remembers: enough to find what a service lacks while it is
	// set up, at some hundred kilobytes.
	Denials = 512

	// DenialPathBytes is how much of the path of each.
	DenialPathBytes = 512

	// RequestIDBytes is the longest X-Request-Id that is taken over from a client.
	RequestIDBytes = 128
)

// Attempts in AttemptsTime with unknown tokens, and logins that fail, are answered as what
// they are for each address. A person who has mixed up two tokens does not get there, and
// who guesses does not get far. Configuration: limits.auth_failures_per_client and
// limits.auth_failures_time.
const (
	Attempts     = 50
	AttemptsTime = 10 * time.Second
)

const (
	// AttemptAddresses is of how many addresses attempts are counted, at some hundred
	// bytes each.
	AttemptAddresses = 4096

	// AttemptLooks is at how many of those it is looked to make room for another.
	AttemptLooks = 16
)
