package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/httpapi"
)

// Keyring lists or changes the keys that the gossip is encrypted with, on all members.
// The error is a *httpapi.KeyringError when some did not do it.
func (a *Agent) Keyring(_ context.Context, r httpapi.KeyringRequest) ([]httpapi.KeyringMembers, error) {
	dc := a.config().Datacenter
	if a.gossip == nil || !a.gossip.Encrypted() {
		return nil, &httpapi.KeyringError{Datacenter: dc, Members: 1, Failed: 1, Messages: map[string]string{
			a.config().NodeName: gossip.ErrNotEncrypted.Error(),
		}}
	}
	if r.Op != httpapi.KeyringList {
		if key, err := base64.StdEncoding.DecodeString(r.Key); err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32 {
			return nil, errors.New("a key is 16, 24 or 32 bytes in base64")
		}
	}
	var err error
	switch r.Op {
	case httpapi.KeyringInstall:
		err = a.gossip.InstallKey(r.Key, r.Relay)
	case httpapi.KeyringUse:
		err = a.gossip.UseKey(r.Key, r.Relay)
	case httpapi.KeyringRemove:
		err = a.gossip.RemoveKey(r.Key, r.Relay)
	default:
		var keys gossip.Keys
		if keys, err = a.gossip.ListKeys(r.Relay); err == nil {
			return []httpapi.KeyringMembers{{Datacenter: dc, Keys: keys.Keys, PrimaryKeys: keys.Primary, NumNodes: keys.Members}}, nil
		}
	}
	var failed *gossip.KeyError
	if errors.As(err, &failed) {
		return nil, &httpapi.KeyringError{Datacenter: dc, Members: failed.Members, Failed: failed.Failed, Messages: failed.Messages}
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return nil, nil
}

// LeaveAndStop takes this server out of the cluster and then ends it.
func (a *Agent) LeaveAndStop(ctx context.Context) error {
	err := a.Leave(ctx)
	if err == nil {
		a.left.Store(true)
	}
	select {
	case a.leave <- struct{}{}:
	default: // it ends already
	}
	return err
}
