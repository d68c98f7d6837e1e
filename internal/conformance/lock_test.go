package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// contenders is how many clients contend for one lock or semaphore.
const contenders = 20

// section is a critical section that notes how many are in it at a time.
type section struct {
	in, most atomic.Int64
}

// enter runs do inside.
func (s *section) enter(do func() error) error {
	n := s.in.Add(1)
	defer s.in.Add(-1)
	for {
		most := s.most.Load()
		if n <= most || s.most.CompareAndSwap(most, n) {
			break
		}
	}
	return do()
}

func lock(t *testing.T, c *api.Client, opts api.LockOptions) *api.Lock {
	t.Helper()
	l, err := c.LockOpts(&opts)
	must(t, err)
	return l
}

// mustLock waits for the lock.
func mustLock(t *testing.T, l *api.Lock) (lost <-chan struct{}) {
	t.Helper()
	lost, err := l.Lock(t.Context().Done())
	must(t, err)
	if lost == nil {
		t.Fatal("the lock was not acquired")
	}
	return lost
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// waitLost waits until the client has noticed that a lock or a slot is lost.
func waitLost(t *testing.T, why string, lost <-chan struct{}) {
	t.Helper()
	select {
	case <-lost:
	case <-time.After(time.Minute):
		t.Errorf("%s: the holder has not noticed", why)
	}
}

func TestLockCalls(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	c := client(t, s)
	mine := lock(t, c, api.LockOptions{Key: "calls", Value: []byte("mine")})
	other := lock(t, c, api.LockOptions{Key: "calls"})
	if err := mine.Unlock(); !errors.Is(err, api.ErrLockNotHeld) {
		t.Errorf("unlock before: %v, want %v", err, api.ErrLockNotHeld)
	}
	if err := other.Destroy(); err != nil {
		t.Errorf("destroy of a lock that nobody ever had: %v", err)
	}
	lost := mustLock(t, mine)
	pair, _ := get(t, c.KV(), "calls")
	if pair == nil || pair.Flags != api.LockFlagValue || pair.Session == "" || string(pair.Value) != "mine" || pair.LockIndex != 1 {
		t.Errorf("the key of the lock is %+v", pair)
	}
	if _, err := mine.Lock(nil); !errors.Is(err, api.ErrLockHeld) {
		t.Errorf("lock again: %v, want %v", err, api.ErrLockHeld)
	}
	if err := mine.Destroy(); !errors.Is(err, api.ErrLockHeld) {
		t.Errorf("destroy by the holder: %v, want %v", err, api.ErrLockHeld)
	}
	if err := other.Destroy(); !errors.Is(err, api.ErrLockInUse) {
		t.Errorf("destroy in use: %v, want %v", err, api.ErrLockInUse)
	}
	if isClosed(lost) {
		t.Error("the lock was lost")
	}
	must(t, mine.Unlock())
	waitLost(t, "unlock", lost)
	mustLock(t, other) // the next one, without a lock-delay
	if pair, _ := get(t, c.KV(), "calls"); pair == nil || pair.LockIndex != 2 {
		t.Errorf("acquired again the key is %+v", pair)
	}
	must(t, other.Unlock())
	must(t, mine.Destroy())
	if pair, _ := get(t, c.KV(), "calls"); pair != nil {
		t.Errorf("after destroy the key is %+v", pair)
	}
}

// TestLockConflict: what is no lock is not locked and not destroyed, and a lock is no
// semaphore.
func TestLockConflict(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	c := client(t, s)
	put(t, c.KV(), "data", "x")
	slot := semaphore(t, c, api.SemaphoreOptions{Prefix: "sem", Limit: 2})
	mustAcquire(t, slot)
	for _, key := range []string{"data", "sem/.lock"} {
		l := lock(t, c, api.LockOptions{Key: key})
		if _, err := l.Lock(nil); !errors.Is(err, api.ErrLockConflict) {
			t.Errorf("lock of %s: %v, want %v", key, err, api.ErrLockConflict)
		}
		if err := l.Destroy(); !errors.Is(err, api.ErrLockConflict) {
			t.Errorf("destroy of %s: %v, want %v", key, err, api.ErrLockConflict)
		}
	}
	must(t, slot.Release())

	l := lock(t, c, api.LockOptions{Key: "lk/.lock"})
	mustLock(t, l)
	conflicting := semaphore(t, c, api.SemaphoreOptions{Prefix: "lk", Limit: 2})
	if _, err := conflicting.Acquire(nil); !errors.Is(err, api.ErrSemaphoreConflict) {
		t.Errorf("semaphore on a lock: %v, want %v", err, api.ErrSemaphoreConflict)
	}
	if err := conflicting.Destroy(); !errors.Is(err, api.ErrSemaphoreConflict) {
		t.Errorf("destroy of a semaphore on a lock: %v, want %v", err, api.ErrSemaphoreConflict)
	}
	must(t, l.Unlock())
}

// TestLockContended: one at a time holds the lock, everybody gets it, and a counter
// that is read and written without any other protection loses nothing.
func TestLockContended(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	const rounds = 3
	var inside section
	var wg sync.WaitGroup
	for n := range contenders {
		wg.Go(func() {
			c, err := newClient(s.Addr())
			if err != nil {
				t.Error(err)
				return
			}
			for range rounds {
				if err := withLock(t, c, &inside, func() error { return increment(c.KV()) }); err != nil {
					t.Errorf("contender %d: %v", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if most := inside.most.Load(); most != 1 {
		t.Errorf("%d held the lock at a time", most)
	}
	c := client(t, s)
	if pair, _ := get(t, c.KV(), "counter"); pair == nil || string(pair.Value) != fmt.Sprint(contenders*rounds) {
		t.Errorf("the counter is %+v, want %d", pair, contenders*rounds)
	}
	if pair, _ := get(t, c.KV(), "contended"); pair == nil || pair.LockIndex != contenders*rounds || pair.Session != "" {
		t.Errorf("the key of the lock is %+v, want that it was acquired %d times", pair, contenders*rounds)
	}
}

func withLock(t *testing.T, c *api.Client, inside *section, do func() error) error {
	l, err := c.LockKey("contended")
	if err != nil {
		return err
	}
	lost, err := l.Lock(t.Context().Done())
	if err != nil || lost == nil {
		return fmt.Errorf("lock: %w", err)
	}
	err = inside.enter(do)
	if isClosed(lost) {
		err = errors.Join(err, errors.New("the lock was lost while it was held"))
	}
	return errors.Join(err, l.Unlock())
}

// increment adds one to a counter, which is safe only for the holder of a lock.
func increment(kv *api.KV) error {
	pair, _, err := kv.Get("counter", nil)
	if err != nil {
		return err
	}
	n := 0
	if pair != nil {
		if _, err := fmt.Sscan(string(pair.Value), &n); err != nil {
			return err
		}
	}
	_, err = kv.Put(&api.KVPair{Key: "counter", Value: fmt.Append(nil, n+1)}, nil)
	return err
}

// TestLockOfAKilledHolder: the next one gets the lock, but not before the TTL of the
// session is over, and then not before the lock-delay is.
func TestLockOfAKilledHolder(t *testing.T) {
	t.Parallel()
	const ttl, delay = time.Second, 2 * time.Second // more than the grace that clients are given
	s := testcluster.Start(t, shortLived)
	c := client(t, s)
	before := killedHolder(t, s, holderLockEnv, api.LockOptions{Key: "killed", Value: []byte("dead"), SessionTTL: ttl.String(), LockDelay: delay})
	pair, _ := get(t, c.KV(), "killed")
	if pair == nil || pair.Session == "" {
		t.Fatalf("the lock of a holder that was just killed is %+v", pair)
	}
	next := lock(t, c, api.LockOptions{Key: "killed", Value: []byte("next")})
	got := make(chan error, 1)
	var at time.Time
	go func() {
		_, err := next.Lock(t.Context().Done())
		at = time.Now()
		got <- err
	}()
	ended(t, c, pair.Session)
	must(t, <-got)
	if took := at.Sub(before); took < ttl+delay {
		t.Errorf("another one got the lock %s after the holder came to life, want at least the TTL of %s and the lock-delay of %s", took, ttl, delay)
	}
	if pair, _ := get(t, c.KV(), "killed"); pair == nil || string(pair.Value) != "next" || pair.LockIndex != 2 {
		t.Errorf("the lock is %+v", pair)
	}
	must(t, next.Unlock())
}

// TestLockLost: the holder notices whatever takes the lock away.
func TestLockLost(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, shortLived)
	c := client(t, s)
	for why, do := range map[string]func(session string){
		"the session is destroyed": func(session string) {
			_, err := c.Session().Destroy(session, nil)
			must(t, err)
		},
		"the key is deleted": func(string) {
			_, err := c.KV().Delete("lost", nil)
			must(t, err)
		},
		"the lock is released": func(session string) {
			ok, _, err := c.KV().Release(&api.KVPair{Key: "lost", Flags: api.LockFlagValue, Session: session}, nil)
			if err != nil || !ok {
				t.Fatalf("release: %v, %v", ok, err)
			}
		},
		"nobody renews": func(session string) { ended(t, c, session) },
	} {
		session := createSession(t, c, &api.SessionEntry{TTL: "1s", LockDelay: time.Millisecond})
		l := lock(t, c, api.LockOptions{Key: "lost", Session: session}) // the client renews only sessions of its own
		lost := mustLock(t, l)
		if isClosed(lost) {
			t.Errorf("%s: the lock was lost before", why)
		}
		do(session)
		waitLost(t, why, lost)
		if err := l.Unlock(); err != nil { // which the client takes as well
			t.Errorf("%s: unlock: %v", why, err)
		}
		_, err := c.KV().Delete("lost", nil)
		must(t, err)
	}
}

func TestLockTryOnce(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	c := client(t, s)
	holder := lock(t, c, api.LockOptions{Key: "once"})
	mustLock(t, holder)
	const wait = 300 * time.Millisecond
	once := lock(t, c, api.LockOptions{Key: "once", LockTryOnce: true, LockWaitTime: wait})
	begin := time.Now()
	lost, err := once.Lock(nil)
	must(t, err)
	if took := time.Since(begin); lost != nil || took < wait || took > 10*time.Second {
		t.Errorf("a lock that another has: acquired = %v after %s, want that it is given up after %s", lost != nil, took, wait)
	}
	must(t, holder.Unlock())
	mustLock(t, once)
	must(t, once.Unlock())
}

// TestLockMonitorRetries: a restart of the server is no loss of the lock for who asks
// to try again, and one for who does not.
func TestLockMonitorRetries(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, testcluster.Options{})
	c := client(t, s)
	patient := lock(t, c, api.LockOptions{Key: "patient", MonitorRetries: 600, MonitorRetryTime: 50 * time.Millisecond})
	hasty := lock(t, c, api.LockOptions{Key: "hasty"})
	patientLost, hastyLost := mustLock(t, patient), mustLock(t, hasty)
	pair, _ := get(t, c.KV(), "patient")
	if isClosed(patientLost) || isClosed(hastyLost) {
		t.Fatal("lost before anything happened")
	}
	s.Kill9()
	waitLost(t, "the server is gone and nobody tries again", hastyLost)
	s.Start()
	put(t, c.KV(), "after", "x") // it works again
	if isClosed(patientLost) {
		t.Error("lost by a restart although it tries again")
	}
	must(t, hasty.Unlock())
	// The monitor still watches: it notices a real loss.
	_, err := c.Session().Destroy(pair.Session, nil)
	must(t, err)
	waitLost(t, "the session is destroyed", patientLost)
	must(t, patient.Unlock())
}

// TestLockDelayHoldsOffWhoRacesWithTheEnd fires acquires at the same moment as the
// end of the holder's session: a thousand of them, and none gets through.
func TestLockDelayHoldsOffWhoRacesWithTheEnd(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	const keys, racers = 50, 20
	c := client(t, s)
	var sessions []string
	var clients []*api.Client
	for range racers {
		clients = append(clients, client(t, s))
		sessions = append(sessions, createSession(t, c, nil))
	}
	var through, refused atomic.Int64
	for k := range keys {
		key := fmt.Sprintf("raced/%02d", k)
		entry := &api.SessionEntry{LockDelay: time.Minute, Behavior: api.SessionBehaviorRelease}
		if k%2 == 1 {
			entry.Behavior = api.SessionBehaviorDelete
		}
		holder := createSession(t, c, entry)
		if !acquire(t, c, key, holder) {
			t.Fatalf("%s was not acquired", key)
		}
		start := make(chan struct{})
		var wg sync.WaitGroup
		for r := range racers {
			wg.Go(func() {
				<-start
				ok, _, err := clients[r].KV().Acquire(&api.KVPair{Key: key, Session: sessions[r]}, nil)
				switch {
				case err != nil:
					t.Error(err)
				case ok:
					through.Add(1)
				default:
					refused.Add(1)
				}
			})
		}
		close(start)
		_, err := c.Session().Destroy(holder, nil)
		must(t, err)
		wg.Wait()
	}
	if through.Load() > 0 || refused.Load() != keys*racers {
		t.Errorf("%d acquires got through and %d were refused, want none and %d", through.Load(), refused.Load(), keys*racers)
	}
}

// TestLockDelayEnds: a key is refused to all, and in any way of asking, until the
// lock-delay is over, and then is free. Other keys, and other writes, are free all the
// time.
func TestLockDelayEnds(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	c := client(t, s)
	const delay = 1500 * time.Millisecond
	holder := createSession(t, c, &api.SessionEntry{LockDelay: delay})
	next := createSession(t, c, nil)
	if !acquire(t, c, "delayed", holder) {
		t.Fatal("a free key was not acquired")
	}
	before := time.Now()
	_, err := c.Session().Destroy(holder, nil)
	must(t, err)

	if acquire(t, c, "delayed", next) {
		t.Error("acquired at once")
	}
	ok, answer, _, err := c.Txn().Txn(api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVLock, Key: "delayed", Session: next}}}, nil)
	if err != nil || ok || len(answer.Errors) != 1 || !bytes.Contains([]byte(answer.Errors[0].What), []byte("due to lock delay")) {
		t.Errorf("lock in a transaction: %v, %+v, %v", ok, answer, err)
	}
	put(t, c.KV(), "delayed", "a put is no acquire")
	if !acquire(t, c, "delayed/other", next) {
		t.Error("another key was refused")
	}
	var at time.Time
	err = testcluster.Eventually(t.Context(), time.Minute, func() error {
		if !acquire(t, c, "delayed", next) {
			return errors.New("refused")
		}
		at = time.Now()
		return nil
	})
	must(t, err)
	if took := at.Sub(before); took < delay {
		t.Errorf("acquired %s after the end of the holder's session, want not before %s", took, delay)
	}
	// A release starts none.
	if ok, _, err := c.KV().Release(&api.KVPair{Key: "delayed", Session: next}, nil); err != nil || !ok {
		t.Fatalf("release: %v, %v", ok, err)
	}
	if !acquire(t, c, "delayed", createSession(t, c, nil)) {
		t.Error("refused after a release")
	}
}
