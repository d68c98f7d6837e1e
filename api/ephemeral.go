package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An EphemeralKey is a key that exists as long as its owner does: it is deleted when
// the owner closes it or dies. When the owner lives on but its session was lost, since
// the servers were out of reach for too long, the key is made again with another
// session. Only Holdfast servers know such keys.
//
// The key excludes nobody. It is kept in a goroutine, which Close waits for.
type EphemeralKey struct {
	c      *Client
	key    string
	recipe *recipe
	notes  *notes

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	// turn is held by whoever writes the key, so that of two values the newer stays.
	turn chan struct{}

	mu    sync.Mutex
	lease *Lease // guarded by mu
	value []byte // guarded by mu

	closing sync.Once
	closed  error // of Close
}

// EphemeralKey makes the key and keeps it. ctx is for making it only. With [InLease]
// the key is not made again when the lease is lost.
func (c *Client) EphemeralKey(ctx context.Context, key string, value []byte, opts ...RecipeOption) (*EphemeralKey, error) {
	k := &EphemeralKey{c: c, key: key, value: value, recipe: newRecipe(opts), turn: make(chan struct{}, 1)}
	k.notes = newNotes(k.recipe.onState, false)
	k.recipe.notes = k.notes
	lease, err := k.recipe.open(ctx, c)
	if err == nil {
		if err = k.put(ctx, lease); err != nil {
			k.recipe.close(ctx, lease)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make ephemeral key %q: %w", key, err)
	}
	k.lease = lease
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.tasks.Go(k.notes.run)
	k.tasks.Go(k.keep)
	return k, nil
}

// Key is the key.
func (k *EphemeralKey) Key() string { return k.key }

// Session is the id of the session that the key exists with now.
func (k *EphemeralKey) Session() string { return k.current().id }

// Err is nil while the key can be counted on to exist, as far as nobody else deletes
// it. After a loss (ErrLost) it is nil again as soon as the key was made again.
func (k *EphemeralKey) Err() error { return k.current().Err() }

func (k *EphemeralKey) current() *Lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease
}

// Set writes another value. After an error it may not have been written, but it is
// what the key gets if it has to be made again.
func (k *EphemeralKey) Set(ctx context.Context, value []byte) error {
	k.mu.Lock()
	k.value = value
	lease := k.lease
	k.mu.Unlock()
	err := k.ctx.Err()
	if err == nil {
		err = k.put(ctx, lease)
	}
	if err != nil {
		return fmt.Errorf("write ephemeral key %q: %w", k.key, err)
	}
	return nil
}

// put writes the newest value with the session of a lease. A session that the servers
// do not know ends the lease.
func (k *EphemeralKey) put(ctx context.Context, lease *Lease) error {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	k.mu.Lock()
	value := k.value
	k.mu.Unlock()
	_, err := k.c.KV().Put(ctx, k.key, value, k.recipe.writes(Ephemeral(lease.id))...)
	if isInvalidSession(err) {
		lease.lose(ErrNoSession)
	}
	return err
}

// keep makes the key again each time that its session was lost.
func (k *EphemeralKey) keep() {
	for {
		lost := k.current()
		select {
		case <-k.ctx.Done():
			return
		case <-lost.Lost():
		}
		if k.recipe.lease != nil {
			return
		}
		fresh, err := k.again()
		if err != nil {
			return // closed
		}
		k.mu.Lock()
		k.lease = fresh
		k.mu.Unlock()
		lost.closeSoon(k.ctx) // the key is no longer tied to it
	}
}

// again makes a session and the key until it succeeds or the key is closed.
func (k *EphemeralKey) again() (*Lease, error) {
	for retry := time.Duration(0); ; {
		lease, err := k.recipe.open(k.ctx, k.c)
		if err == nil {
			if err = k.put(k.ctx, lease); err == nil {
				return lease, nil
			}
			lease.closeSoon(k.ctx)
		}
		retry = min(max(2*retry, firstRetry), contendRetry)
		if pause(k.ctx, pauseAfter(err, retry)) != nil {
			return nil, err
		}
	}
}

// Close deletes the key and ends what keeps it. Closing again does nothing and returns
// the same. When the servers cannot be asked, the key ends by the TTL of its session.
func (k *EphemeralKey) Close(ctx context.Context) error {
	k.closing.Do(func() {
		k.cancel()
		k.notes.close()
		k.tasks.Wait()
		if k.recipe.lease == nil {
			k.closed = k.current().Close(ctx)
			return
		}
		if _, k.closed = k.c.KV().Delete(ctx, k.key, k.recipe.writes()...); errors.Is(k.closed, ErrNotFound) {
			k.closed = nil
		}
	})
	return k.closed
}
