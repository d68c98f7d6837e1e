package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/datadir"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// tokensFile, in the data dir, keeps the tokens of this server that were set over the
// API, if the configuration wants that. Its owner alone can read it.
const tokensFile = "acl-tokens.json"

// Slots of ownTokens that the server itself looks at.
const (
	slotDefault  = "default"
	slotRecovery = "agent_recovery"
)

// ownTokens are the secrets that this server was given for its own use, by slot. It is
// part of httpapi.Tokens.
type ownTokens struct {
	dir *datadir.Dir // where they are kept; nil: nowhere

	mu    sync.RWMutex
	slots map[string]string // guarded by mu
	set   map[string]string // over the API, cleared ones too; guarded by mu
}

// newOwnTokens begins with what the configuration says, and with what was kept.
func newOwnTokens(cfg *config.Config, dir *datadir.Dir) (*ownTokens, error) {
	own := &cfg.ACL.Tokens
	t := &ownTokens{
		slots: map[string]string{slotDefault: own.Default, slotRecovery: own.AgentRecovery},
		set:   map[string]string{},
	}
	if dir == nil || !cfg.ACL.EnableTokenPersistence {
		return t, nil
	}
	t.dir = dir
	path := filepath.Join(dir.Path(), tokensFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the tokens that were set over the API: %w", err)
	}
	if err := json.Unmarshal(text, &t.set); err != nil {
		// The error of the decoder may show a part of the text.
		return nil, fmt.Errorf("%s, with the tokens that were set over the API, is damaged: mend or remove it", path)
	}
	if old, ok := t.set["agent_master"]; ok { // as older agents wrote it
		t.set[slotRecovery] = old
		delete(t.set, "agent_master")
	}
	maps.Copy(t.slots, t.set)
	return t, nil
}

// Token is part of httpapi.Tokens.
func (t *ownTokens) Token(slot string) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.slots[slot]
}

// SetToken is part of httpapi.Tokens.
func (t *ownTokens) SetToken(slot, secret string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := maps.Clone(t.set)
	next[slot] = secret
	if t.dir != nil {
		text, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if err := t.dir.WriteFile(tokensFile, append(text, '\n')); err != nil {
			return err
		}
	}
	t.set, t.slots[slot] = next, secret
	return nil
}

// configure takes over what a new configuration says, but for slots that were set over
// the API. It tells whether a token has changed.
func (t *ownTokens) configure(own *config.ACLTokens) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for slot, secret := range map[string]string{slotDefault: own.Default, slotRecovery: own.AgentRecovery} {
		if _, set := t.set[slot]; !set && t.slots[slot] != secret {
			t.slots[slot], changed = secret, true
		}
	}
	return changed
}

// recovery is the secret that works on this server alone.
func (t *ownTokens) recovery() string { return t.Token(slotRecovery) }

// resetFile, in the data dir, is how whoever owns the files of a server allows another
// bootstrap: it holds the index of the one before.
const resetFile = "acl-bootstrap-reset"

// aclResets is part of httpapi.Resets.
type aclResets struct{ path string }

// Reset is part of httpapi.Resets.
func (r aclResets) Reset() (uint64, error) {
	text, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the file that allows another bootstrap: %w", err)
	}
	index, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || index == 0 {
		return 0, fmt.Errorf("%s does not hold the index of the bootstrap before, a number", r.path)
	}
	return index, nil
}

// Used is part of httpapi.Resets.
func (r aclResets) Used() error { return os.Remove(r.path) }

// resets is how another bootstrap is allowed; nil in memory.
func (a *Agent) resets() httpapi.Resets {
	if a.dir == nil {
		return nil
	}
	return aclResets{filepath.Join(a.dir.Path(), resetFile)}
}
