package tlsconf

import (
	"crypto/sha256"
	"crypto/x509"
	"time"
)

// warnings are how long before its end a certificate is warned about, once each. One
// that is longer than half of the certificate's life does not count: where
// certificates live for a day, each of them would begin with a warning.
var warnings = []time.Duration{30 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour, 0}

// Expiry is when the first of the certificates in use expires, the authorities that
// they come from included: of HTTPS, and of the connections between servers. It is zero
// where there is none.
func (k *Keeper) Expiry() (https, rpc time.Time) { return k.https.expiry(), k.rpc.expiry() }

func (s *side) expiry() time.Time {
	chain := s.current.Load().chain
	if len(chain) == 0 {
		return time.Time{}
	}
	return firstToExpire(chain).NotAfter
}

// warnOfExpiry logs what expires soon. The caller holds k.looking.
func (k *Keeper) warnOfExpiry() {
	seen := map[fingerprint]int{}
	for _, s := range k.sides {
		for _, c := range s.current.Load().chain {
			id := sha256.Sum256(c.Raw)
			if _, twice := seen[id]; twice {
				continue
			}
			seen[id] = k.warnOf(s, c, k.warned[id])
		}
	}
	k.warned = seen // what is no longer in use is forgotten
}

// warnOf logs that c expires, unless it has been warned about as often as its time
// asks for already, and returns how often that is.
func (k *Keeper) warnOf(s *side, c *x509.Certificate, before int) int {
	left, life := c.NotAfter.Sub(k.now()), c.NotAfter.Sub(c.NotBefore)
	level := 0
	for i, w := range warnings {
		if left <= w && w <= life/2 {
			level = i + 1
		}
	}
	if level <= before {
		return before
	}
	args := []any{"block", s.block, "for", names(c), "expires", c.NotAfter.UTC().Format(time.RFC3339)}
	if c.IsCA {
		args[2], args[3] = "authority", c.Subject.CommonName
	}
	if left <= 0 {
		k.log.Error("certificate has expired: connections that need it are refused", args...)
	} else {
		k.log.Warn("certificate expires soon", append(args, "left", left.Round(time.Hour))...)
	}
	return level
}
