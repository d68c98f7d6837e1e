package tlsconf

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/holdfast-kv/holdfast/agent/config"
)

// Interval is how often the files are looked at.
const Interval = 10 * time.Second

// fingerprint names the content of a certificate or of a set of files.
type fingerprint = [sha256.Size]byte

// Run looks at the files until ctx ends, whose error it returns. New files are used
// from the next handshake on; connections that exist go on. Files that cannot be used
// change nothing and are logged, once, when they are found so twice in a row: who
// replaces a certificate and then its key is not bothered.
func (k *Keeper) Run(ctx context.Context) error {
	tick := k.tick
	if tick == nil {
		t := time.NewTicker(Interval)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
			k.look()
		}
	}
}

func (k *Keeper) look() {
	k.looking.Lock()
	defer k.looking.Unlock()
	for _, s := range k.sides {
		fs := readFiles(s.from)
		m, faults := s.check(fs)
		if len(faults) == 0 {
			s.broken, s.said = fingerprint{}, false
			k.use(s, m)
			continue
		}
		if sum := fs.sum(); sum != s.broken {
			s.broken, s.said = sum, false
			continue
		}
		if !s.said {
			s.said = true
			k.log.Error("new certificate files cannot be used, the old ones stay in use", "error", config.Faults(faults))
		}
	}
	k.warnOfExpiry()
}

// Reload looks at the files at once. When any of them cannot be used, all stay as
// they were, and the error names what is wrong.
func (k *Keeper) Reload() error {
	k.looking.Lock()
	defer k.looking.Unlock()
	fresh := make([]*material, len(k.sides))
	var faults config.Faults
	for i, s := range k.sides {
		m, wrong := s.check(readFiles(s.from))
		fresh[i] = m
		faults = append(faults, wrong...)
	}
	if len(faults) > 0 {
		return faults
	}
	for i, s := range k.sides {
		k.use(s, fresh[i])
	}
	k.warnOfExpiry()
	return nil
}

// use puts m into force if it is new. The caller holds k.looking.
func (k *Keeper) use(s *side, m *material) {
	if s.current.Load().sum == m.sum {
		return
	}
	s.current.Store(m)
	if m.cert == nil {
		k.log.Info("authorities read again", "block", s.block)
		return
	}
	k.log.Info("certificate read again", "block", s.block, "for", names(m.cert.Leaf), "expires", m.cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
}
