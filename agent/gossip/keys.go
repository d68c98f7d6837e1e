package gossip

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// ErrNotEncrypted says that gossip is not encrypted, so that there are no keys.
//
//lint:ignore ST1005 the text is the wire's
var ErrNotEncrypted = errors.New("Keyring is empty (encryption not enabled)")

// keys gives the configuration the keys that gossip is encrypted with: those kept from
// before, of which the configured one is one, or that one alone.
func (g *Gossip) keys(conf *serf.Config) error {
	key := g.opts.EncryptKey
	file := ""
	if g.opts.Dir != "" && !g.opts.NoKeyringFile {
		file = filepath.Join(g.opts.Dir, "local.keyring")
	}
	kept, err := readKeys(file)
	if err != nil {
		return err
	}
	switch {
	case len(kept) == 0 && key == nil:
		return nil
	case len(kept) == 0:
		kept = [][]byte{key}
		if err := writeKeys(file, kept); err != nil {
			return err
		}
	case key != nil && !slices.ContainsFunc(kept, func(k []byte) bool { return slices.Equal(k, key) }):
		// It was replaced with "keyring", which the configuration was not told.
		g.opts.Log.Warn("the key in the configuration is not among the gossip keys in use, which were changed since", "file", file)
	}
	ring, err := memberlist.NewKeyring(kept, kept[0])
	if err != nil {
		return fmt.Errorf("gossip keys in %s: %w", file, err)
	}
	conf.MemberlistConfig.Keyring = ring
	conf.KeyringFile = file
	return nil
}

// readKeys reads a file of keys, the one to encrypt with first; none when there is no
// file.
func readKeys(file string) ([][]byte, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read gossip keys: %w", err)
	}
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil {
		return nil, fmt.Errorf("gossip keys in %s cannot be read; remove the file to begin with the configured key: %w", file, err)
	}
	var keys [][]byte
	for _, t := range texts {
		key, err := base64.StdEncoding.DecodeString(t)
		if err != nil {
			return nil, fmt.Errorf("gossip keys in %s cannot be read; remove the file to begin with the configured key: %w", file, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func writeKeys(file string, keys [][]byte) error {
	if file == "" {
		return nil
	}
	var texts []string
	for _, k := range keys {
		texts = append(texts, base64.StdEncoding.EncodeToString(k))
	}
	data, err := json.MarshalIndent(texts, "", "  ")
	if err != nil {
		return fmt.Errorf("encode gossip keys: %w", err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return fmt.Errorf("write gossip keys: %w", err)
	}
	return nil
}

// Keys are the keys of all members, with how many have each.
type Keys struct {
	Keys, Primary map[string]int
	Members       int
}

// A KeyError says which members did not do what was asked.
type KeyError struct {
	Members, Failed int
	Messages        map[string]string // by member
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("%d/%d nodes reported failure", e.Failed, e.Members)
}

// ListKeys asks all members for their keys.
func (g *Gossip) ListKeys(relay uint8) (Keys, error) {
	r, err := g.serf.KeyManager().ListKeysWithOptions(&serf.KeyRequestOptions{RelayFactor: relay})
	if r == nil {
		return Keys{}, fmt.Errorf("list gossip keys: %w", err)
	}
	return Keys{Keys: r.Keys, Primary: r.PrimaryKeys, Members: r.NumNodes}, keyError(r, err)
}

// InstallKey makes all members accept a key, UseKey makes them encrypt with it, and
// RemoveKey makes them forget it.
func (g *Gossip) InstallKey(key string, relay uint8) error {
	return g.change((*serf.KeyManager).InstallKeyWithOptions, key, relay)
}

// UseKey makes all members encrypt with a key that they accept.
func (g *Gossip) UseKey(key string, relay uint8) error {
	return g.change((*serf.KeyManager).UseKeyWithOptions, key, relay)
}

// RemoveKey makes all members forget a key.
func (g *Gossip) RemoveKey(key string, relay uint8) error {
	return g.change((*serf.KeyManager).RemoveKeyWithOptions, key, relay)
}

func (g *Gossip) change(
	do func(*serf.KeyManager, string, *serf.KeyRequestOptions) (*serf.KeyResponse, error), key string, relay uint8,
) error {
	r, err := do(g.serf.KeyManager(), key, &serf.KeyRequestOptions{RelayFactor: relay})
	if r == nil {
		return fmt.Errorf("change gossip keys: %w", err)
	}
	return keyError(r, err)
}

func keyError(r *serf.KeyResponse, err error) error {
	if err == nil {
		return nil
	}
	if r.NumErr > 0 {
		return &KeyError{Members: r.NumNodes, Failed: r.NumErr, Messages: r.Messages}
	}
	return err
}

// Encrypted tells whether gossip is encrypted.
func (g *Gossip) Encrypted() bool { return g.serf.EncryptionEnabled() }
