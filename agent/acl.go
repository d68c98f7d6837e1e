package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/logstore"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/limit"
)

// newResolver makes what finds out who asks; nil when ACLs are off.
func (a *Agent) newResolver(cfg *config.Config) *acl.Resolver {
	if !cfg.ACL.Enabled {
		return nil
	}
	return acl.NewResolver(func() acl.View { return a.store.View().ACL() }, acl.Settings{
		Default: acl.Default(cfg.ACL.DefaultPolicy == "allow"), Datacenter: cfg.Datacenter, NodeName: cfg.NodeName, Now: a.now,
		Recovery: a.tokens.recovery,
	})
}

// warmACL parses policies as soon as they have changed, so that no request has to.
func (a *Agent) warmACL(ctx context.Context) error {
	if a.acl == nil {
		return nil
	}
	var parsed *acl.Meta
	for {
		w := a.store.Topics().WatchKey(fsm.TopicACL)
		if meta := a.store.View().ACL().Meta(); parsed == nil || meta.Policies != parsed.Policies {
			a.acl.Warm()
			parsed = meta
		}
		select {
		case <-ctx.Done():
		case <-w.C:
		case <-w.Reset:
			parsed = nil
		}
		w.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// readyACL puts into the tables what every cluster with ACLs has, as far as it is
// missing: the key, the built-in policies, the anonymous token and the management token
// of the configuration. How secrets are kept it changes to what the configuration says.
// It is for a leader that has applied all.
func (a *Agent) readyACL(ctx context.Context, propose proposer) error {
	cfg := &a.config().ACL
	if !cfg.Enabled {
		return nil
	}
	hashed := cfg.Secrets == config.SecretsHashed
	view := a.store.View().ACL()
	if !view.Ready(cfg.Tokens.InitialManagement) {
		change, err := a.initialACL(view, cfg.Tokens.InitialManagement, hashed || view.Hashed())
		if err != nil {
			return err
		}
		if err := changeACL(ctx, propose, &acl.Change{Init: change}); err != nil {
			return fmt.Errorf("make the ACL tables ready: %w", err)
		}
	}
	if a.store.View().ACL().Hashed() != hashed {
		if err := changeACL(ctx, propose, &acl.Change{Convert: &acl.Convert{Hashed: hashed}}); err != nil {
			return fmt.Errorf("change how secrets of tokens are kept: %w", err)
		}
		a.log.Info("secrets of tokens are kept otherwise from now on", "acl.secrets", cfg.Secrets)
	}
	return nil
}

// initialACL makes up what is random or of the clock.
func (a *Agent) initialACL(view acl.View, management string, hashed bool) (*acl.Init, error) {
	in := &acl.Init{Key: view.Key()}
	if in.Key == nil {
		in.Key = make([]byte, limit.SecretKeyBytes)
		_, _ = rand.Read(in.Key) // never fails
	}
	now := a.now().UTC()
	in.Anonymous = &acl.Token{
		Accessor: acl.AnonymousAccessor, Secret: acl.AnonymousSecret, Hash: acl.HashSecret(in.Key, acl.AnonymousSecret),
		Description: "Anonymous Token", Created: now,
	}
	if management == "" {
		return in, nil
	}
	accessor, err := uuid.GenerateUUID()
	if err != nil {
		return nil, fmt.Errorf("make the id of a token: %w", err)
	}
	in.Management = &acl.Token{
		Accessor: accessor, Secret: management, Hash: acl.HashSecret(in.Key, management),
		Description: "Initial Management Token", Created: now, Links: acl.Links{Policies: []string{acl.ManagementID}},
	}
	if hashed {
		in.Management.Secret = ""
	}
	return in, nil
}

// changeACL puts a change through. What the state refuses is an error.
func changeACL(ctx context.Context, propose proposer, c *acl.Change) error {
	res, err := propose(ctx, &fsm.Command{ACL: c})
	if err == nil && res.Invalid != "" {
		err = fmt.Errorf("refused: %s", res.Invalid)
	}
	return err
}

// tokenSweep is how often the leader looks for tokens that have expired, and
// tokensPerSweep how many it deletes at a time, with one log entry.
//
// Source: contract, ACL API, section 3.4.
const (
	tokenSweep     = time.Second
	tokensPerSweep = 4096
)

// leadACL keeps the ACL tables while this server leads: tokens that have expired are
// deleted, and what a restored archive has not is put there.
func (a *Agent) leadACL(ctx context.Context) {
	if !a.config().ACL.Enabled {
		return
	}
	tick := time.NewTicker(tokenSweep)
	defer tick.Stop()
	var looked *acl.Meta // the tables that were last found to be ready
	said := ""           // why they were not, the last time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !a.leading.Load() || a.writable() != nil {
			continue
		}
		if meta := a.store.View().ACL().Meta(); meta != looked {
			if err := a.readyACL(ctx, a.Propose); err != nil {
				if said != err.Error() { // while servers are upgraded it is the same for long
					said = err.Error()
					a.log.Warn("look after the ACL tables", "error", err)
				}
				continue
			}
			looked = meta
		}
		if err := a.reapTokens(ctx); err != nil {
			a.log.Warn("delete tokens that have expired", "error", err)
		}
	}
}

// reapTokens deletes tokens that have expired, the oldest first.
func (a *Agent) reapTokens(ctx context.Context) error {
	now := a.now()
	expired := a.store.View().ACL().Expired(now, tokensPerSweep)
	if len(expired) == 0 {
		return nil
	}
	_, err := a.Propose(ctx, &fsm.Command{ACL: &acl.Change{DeleteTokens: &acl.DeleteTokens{Accessors: expired, Expired: now}}})
	return err
}

// How long a server waits before it tries again to remove from its disk what has secrets
// in it, at first and at most.
const (
	purgeRetry    = time.Second
	purgeRetryMax = 5 * time.Minute
)

// purgeSecrets removes from the disk of this server what has secrets of tokens in it,
// once the state keeps none: it takes a snapshot of that state, and the log and the
// snapshots from before go. Each server does so for itself.
//
// What is left: the backend BoltDB keeps in its file what was removed until the room is
// used again, which is said in the log; and the file system may keep the blocks of files
// that were removed.
func (a *Agent) purgeSecrets(ctx context.Context) error {
	if a.dir == nil || !a.config().ACL.Enabled {
		return nil
	}
	said := uint64(0) // up to where it was said that all is gone
	for retry := purgeRetry; ; {
		w := a.store.Topics().WatchKey(fsm.TopicACL)
		done := true
		if meta := a.store.View().ACL().Meta(); meta.Hashed && said < meta.HashedAt {
			var err error
			if done, err = a.purgeThrough(ctx, meta.HashedAt); err != nil {
				a.log.Warn("remove secrets of tokens from the disk", "error", err)
			}
			if done {
				a.saySecretsGone(meta.HashedAt)
				said = meta.HashedAt
			}
		}
		var timer <-chan time.Time
		changed, reset := w.C, w.Reset
		if done {
			retry = purgeRetry
		} else { // at its own pace, however often the tables change
			timer, changed, reset = time.After(retry), nil, nil
			retry = min(2*retry, purgeRetryMax)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-reset:
		case <-timer:
		}
		w.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// purgeThrough removes what was written up to an index, as far as that can be done now,
// and tells whether it is all gone.
func (a *Agent) purgeThrough(ctx context.Context, index uint64) (bool, error) {
	if done, err := a.storage.Purged(index); done || err != nil {
		return done, err
	}
	if err := a.writable(); err != nil {
		return false, err
	}
	if a.sendsSnapshot() { // to a follower that needs the log next
		return false, nil
	}
	if err := a.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return false, fmt.Errorf("take a snapshot: %w", err)
	}
	if err := a.storage.Purge(index); err != nil {
		return false, err
	}
	if first, err := a.storage.FirstIndex(); err == nil && first == 0 {
		// With an empty log Raft thinks that a snapshot is due, again and again. This one
		// says nothing.
		if _, err := a.Propose(ctx, &fsm.Command{SessionTime: &fsm.SessionTime{}}); err != nil {
			a.log.Debug("write an entry into the empty log", "error", err)
		}
	}
	return a.storage.Purged(index)
}

func (a *Agent) saySecretsGone(index uint64) {
	if a.storage.Backend() == logstore.BoltDB {
		a.log.Warn("secrets of tokens are out of the log and the snapshots, but raft.db may still have some where entries were removed, "+
			"until that room is used again: to be rid of them, start this server with an empty data dir and raft_logstore.backend = \"wal\"",
			"up_to_index", index)
		return
	}
	a.log.Info("no secrets of tokens are left in the log and the snapshots", "up_to_index", index)
}
