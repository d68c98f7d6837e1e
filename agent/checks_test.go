package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/run"
)

// timedNode is a node whose checks are timed, over a state without Raft. It is for
// a bubble of synctest.
type timedNode struct {
	t      *testing.T
	store  *fsm.Store
	checks *localChecks
	group  *run.Group

	mu      sync.Mutex
	machine *fsm.FSM // guarded by mu
	index   uint64   // guarded by mu
	fail    error    // of the next proposals of the timers; guarded by mu
	written int      // commands of the timers; guarded by mu
	before  func()   // called before a command of the timers, if not nil; guarded by mu
}

func newTimedNode(t *testing.T) *timedNode {
	t.Helper()
	n := &timedNode{t: t, store: fsm.NewStore(), group: run.New(t.Context())}
	n.machine = fsm.New(n.store, hclog.NewNullLogger(), func(err error) { t.Error(err) })
	n.checks = newLocalChecks(func() *catalog.Registration {
		return &catalog.Registration{Node: catalog.Node{Name: "node-1", Address: "x"}}
	}, n.store, n.propose, time.Now, hclog.NewNullLogger())
	n.start()
	return n
}

func (n *timedNode) start() {
	n.group.Go("checks", n.checks.run)
	synctest.Wait()
}

// stop ends the timers. It must be called before the test's end.
func (n *timedNode) stop() {
	if err := n.group.Close(); err != nil {
		n.t.Error(err)
	}
}

// propose is what the timers propose by.
func (n *timedNode) propose(_ context.Context, c *fsm.Command) (fsm.Result, error) {
	n.mu.Lock()
	fail, before := n.fail, n.before
	n.written++
	n.mu.Unlock()
	if before != nil {
		before()
	}
	if fail != nil {
		return fsm.Result{}, fail
	}
	return n.apply(c)
}

func (n *timedNode) apply(c *fsm.Command) (fsm.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.index++
	data, err := fsm.Encode(c, int64(n.index))
	if err != nil {
		return fsm.Result{}, err
	}
	res, ok := n.machine.Apply(&raft.Log{Index: n.index, Type: raft.LogCommand, Data: data}).(fsm.Result)
	if !ok {
		return res, errors.New("state machine did not apply a command")
	}
	return res, nil
}

func (n *timedNode) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *timedNode) commands() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.written
}

// register puts checks, and the service web for those that belong to one, into the
// catalog of a node.
func (n *timedNode) register(node string, checks ...catalog.Check) {
	n.t.Helper()
	r := &catalog.Registration{Node: catalog.Node{Name: node, Address: "x"}, Checks: checks}
	for _, c := range checks {
		if c.ServiceID != "" {
			r.Service = &catalog.Service{ID: c.ServiceID, Name: "web"}
		}
	}
	if res, err := n.apply(&fsm.Command{Register: r}); err != nil || !res.Applied {
		n.t.Fatalf("register: %+v, %v", res, err)
	}
	synctest.Wait()
}

func (n *timedNode) check(id string) *catalog.Check {
	return n.store.View().Catalog().Check("node-1", id)
}

// expect compares the state of a check, and the beginning of its output.
func (n *timedNode) expect(id, status, output string) {
	n.t.Helper()
	synctest.Wait()
	if c := n.check(id); c == nil || c.Status != status || !strings.HasPrefix(c.Output, output) {
		n.t.Errorf("check %s is %+v, want %s %q", id, c, status, output)
	}
}

func (n *timedNode) heard(id string) {
	n.t.Helper()
	if err := n.checks.heardOf(n.t.Context(), id); err != nil {
		n.t.Error(err)
	}
}

func ttlCheck(id, status string, ttl time.Duration) catalog.Check {
	return catalog.Check{ID: id, Name: id, Status: status, Type: catalog.TypeTTL, TTL: ttl}
}

// timed runs a test of a timed node in fake time.
func timed(t *testing.T, test func(*testing.T, *timedNode)) {
	synctest.Test(t, func(t *testing.T) {
		n := newTimedNode(t)
		test(t, n)
		n.stop()
	})
}

func TestACheckExpiresAfterItsTTL(t *testing.T) {
	for _, status := range []string{catalog.Passing, catalog.Warning, catalog.Critical} {
		t.Run(status, func(t *testing.T) {
			timed(t, func(t *testing.T, n *timedNode) {
				c := ttlCheck("mem", status, 10*time.Second)
				c.Output = "all well"
				n.register("node-1", c)
				time.Sleep(10*time.Second - time.Millisecond)
				n.expect("mem", status, "all well")
				time.Sleep(time.Millisecond)
				n.expect("mem", catalog.Critical, "TTL expired (no news for 10s; last: all well)")
				time.Sleep(time.Hour)
				if got := n.commands(); got != 1 {
					t.Errorf("%d commands, want one for each expiry", got)
				}
			})
		})
	}
}

func TestNewsBeginTheTimeAnew(t *testing.T) {
	timed(t, func(t *testing.T, n *timedNode) {
		n.register("node-1", ttlCheck("mem", catalog.Passing, 10*time.Second))
		for range 5 {
			time.Sleep(9 * time.Second)
			n.heard("mem")
		}
		time.Sleep(10*time.Second - time.Millisecond)
		n.expect("mem", catalog.Passing, "")
		time.Sleep(time.Millisecond)
		n.expect("mem", catalog.Critical, "TTL expired (")
		n.heard("none") // of a check that is not there nothing comes
	})
}

func TestAChangeInTheCatalogIsNews(t *testing.T) {
	timed(t, func(t *testing.T, n *timedNode) {
		n.register("node-1", ttlCheck("mem", catalog.Passing, 10*time.Second))
		time.Sleep(9 * time.Second)
		n.register("node-1", ttlCheck("mem", catalog.Warning, 10*time.Second))
		n.register("node-1", ttlCheck("other", catalog.Warning, 20*time.Second))
		time.Sleep(9 * time.Second)
		n.expect("mem", catalog.Warning, "")
		n.register("node-1", ttlCheck("mem", catalog.Warning, time.Minute)) // a longer time
		time.Sleep(59 * time.Second)
		n.expect("mem", catalog.Warning, "")
		time.Sleep(time.Second)
		n.expect("mem", catalog.Critical, "TTL expired (no news for 1m0s)")
		n.expect("other", catalog.Critical, "TTL expired (no news for 20s)")
		n.register("node-1", ttlCheck("mem", catalog.Passing, time.Minute)) // it is well again
		time.Sleep(time.Minute)
		n.expect("mem", catalog.Critical, "TTL expired (")
	})
}

func TestOnlyTTLChecksOfThisNodeExpire(t *testing.T) {
	timed(t, func(t *testing.T, n *timedNode) {
		n.register("node-2", ttlCheck("mem", catalog.Passing, time.Second))
		script, forever := ttlCheck("script", catalog.Passing, time.Second), ttlCheck("forever", catalog.Passing, 0)
		script.Type = "script"
		n.register("NODE-1", script, forever, ttlCheck("mem", catalog.Passing, time.Second))
		time.Sleep(time.Hour)
		n.expect("mem", catalog.Critical, "TTL expired (")
		n.expect("script", catalog.Passing, "")
		n.expect("forever", catalog.Passing, "")
		if c := n.store.View().Catalog().Check("node-2", "mem"); c.Status != catalog.Passing {
			t.Errorf("the check of another node is %s", c.Status)
		}
	})
}

func TestARemovedCheckDoesNotComeBack(t *testing.T) {
	timed(t, func(t *testing.T, n *timedNode) {
		do := func(c *fsm.Command) {
			t.Helper()
			if _, err := n.apply(c); err != nil {
				t.Error(err)
			}
		}
		n.register("node-1", ttlCheck("a", catalog.Passing, 10*time.Second), ttlCheck("b", catalog.Passing, 10*time.Second))
		n.register("node-1", ttlCheck("late", catalog.Passing, 10*time.Second))
		do(&fsm.Command{Deregister: &fsm.Deregistration{Node: "node-1", CheckID: "a"}})
		// One goes and one changes while their expiry is under way.
		n.set(func() {
			n.before = func() {
				n.set(func() { n.before = nil })
				do(&fsm.Command{Deregister: &fsm.Deregistration{Node: "node-1", CheckID: "b"}})
				do(&fsm.Command{Register: &catalog.Registration{
					Node: catalog.Node{Name: "node-1"}, SkipNode: true, Checks: []catalog.Check{ttlCheck("late", catalog.Warning, 10*time.Second)},
				}})
			}
		})
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if n.check("a") != nil || n.check("b") != nil {
			t.Error("a check that was removed is back")
		}
		n.expect("late", catalog.Warning, "") // it was changed in time, whatever the timers thought
		time.Sleep(5 * time.Second)
		n.expect("late", catalog.Critical, "TTL expired (")
	})
}

func TestNewsDuringAnExpiryWaitForItsEnd(t *testing.T) {
	timed(t, func(t *testing.T, n *timedNode) {
		under, through := make(chan struct{}), make(chan struct{})
		n.set(func() {
			n.before = func() {
				close(under)
				<-through
			}
		})
		n.register("node-1", ttlCheck("mem", catalog.Passing, 10*time.Second))
		<-under
		heard := make(chan error, 1)
		go func() { heard <- n.checks.heardOf(t.Context(), "mem") }()
		gone, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- n.checks.heardOf(gone, "mem") }()
		synctest.Wait()
		select {
		case <-heard:
			t.Fatal("the news did not wait")
		default:
		}
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who has left waits: %v", err)
		}
		n.set(func() { n.before = nil })
		close(through)
		if err := <-heard; err != nil {
			t.Error(err)
		}
		n.expect("mem", catalog.Critical, "TTL expired (") // and so the reporter sees it and reports
		n.register("node-1", ttlCheck("mem", catalog.Passing, 10*time.Second))
		time.Sleep(10*time.Second - time.Millisecond)
		n.expect("mem", catalog.Passing, "")
		time.Sleep(time.Millisecond)
		n.expect("mem", catalog.Critical, "TTL expired (")
	})
}

func TestExpiriesAreBatched(t *testing.T) {
	timed(t, func(t *testing.T, n *timedNode) {
		const many = 1000
		checks := make([]catalog.Check, many)
		for i := range checks {
			checks[i] = ttlCheck(fmt.Sprint(i), catalog.Passing, 10*time.Second)
		}
		n.register("node-1", checks...)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i := range checks {
			n.expect(fmt.Sprint(i), catalog.Critical, "TTL expired (")
		}
		if got, want := n.commands(), (many+checkBatch-1)/checkBatch; got != want {
			t.Errorf("%d commands for %d checks, want %d", got, many, want)
		}
	})
}

func TestAnExpiryThatFailsIsTriedAgain(t *testing.T) {
	timed(t, func(t *testing.T, n *timedNode) {
		n.set(func() { n.fail = errors.New("disk is full") })
		reaped := ttlCheck("web", catalog.Critical, time.Hour)
		reaped.ServiceID = "web"
		reaped.Reap = 10 * time.Second
		n.register("node-1", ttlCheck("mem", catalog.Passing, 10*time.Second), reaped)
		time.Sleep(70 * time.Second)
		n.expect("mem", catalog.Passing, "")
		tried := n.commands()
		if tried < 4 || tried > 10 { // after 1, 2, 4, … s, at most 30 s
			t.Errorf("tried %d times in a minute", tried)
		}
		n.register("node-1", ttlCheck("other", catalog.Passing, time.Hour)) // no reason to try
		if got := n.commands(); got != tried {
			t.Error("a change of the state brings an attempt before its time")
		}
		n.set(func() { n.fail = nil })
		time.Sleep(checkRetryMax)
		n.expect("mem", catalog.Critical, "TTL expired (")
		if n.store.View().Catalog().Service("node-1", "web") != nil {
			t.Error("the service was not removed in the end")
		}
	})
}

func TestNewsAreTakenWhileExpiriesFail(t *testing.T) {
	timed(t, func(t *testing.T, n *timedNode) {
		n.set(func() { n.fail = errors.New("no leader") })
		n.register("node-1", ttlCheck("mem", catalog.Passing, 10*time.Second))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		n.heard("mem") // late, but it is the truth
		n.set(func() { n.fail = nil })
		time.Sleep(10*time.Second - time.Millisecond)
		n.expect("mem", catalog.Passing, "")
	})
}

func TestAServiceThatStaysCriticalGoes(t *testing.T) {
	reaped := func(status string) catalog.Check {
		c := ttlCheck("service:web", status, 10*time.Second)
		c.ServiceID = "web"
		c.Reap = time.Minute
		return c
	}
	exists := func(n *timedNode) bool {
		synctest.Wait()
		return n.store.View().Catalog().Service("node-1", "web") != nil
	}
	t.Run("a minute after it has expired", func(t *testing.T) {
		timed(t, func(t *testing.T, n *timedNode) {
			n.register("node-1", reaped(catalog.Passing))
			time.Sleep(70*time.Second - time.Millisecond)
			if !exists(n) {
				t.Fatal("it is gone too early")
			}
			time.Sleep(time.Millisecond)
			if exists(n) || n.check("service:web") != nil {
				t.Error("it is not gone")
			}
		})
	})
	t.Run("a minute after it became critical, not after that was said last", func(t *testing.T) {
		timed(t, func(t *testing.T, n *timedNode) {
			n.register("node-1", reaped(catalog.Critical))
			for i := range 6 {
				time.Sleep(9 * time.Second)
				c := reaped(catalog.Critical)
				c.Output = fmt.Sprint(i)
				n.register("node-1", c)
			}
			time.Sleep(6*time.Second - time.Millisecond)
			if !exists(n) {
				t.Fatal("it is gone too early")
			}
			time.Sleep(time.Millisecond)
			if exists(n) {
				t.Error("it is not gone")
			}
		})
	})
	t.Run("not if it was well in between", func(t *testing.T) {
		timed(t, func(t *testing.T, n *timedNode) {
			n.register("node-1", reaped(catalog.Critical))
			time.Sleep(59 * time.Second)
			n.register("node-1", reaped(catalog.Warning))
			time.Sleep(10 * time.Second) // critical again
			time.Sleep(time.Minute - time.Millisecond)
			if !exists(n) {
				t.Error("it is gone too early")
			}
		})
	})
}

func TestEveryTimeBeginsAnewAfterAStart(t *testing.T) {
	timed(t, func(t *testing.T, n *timedNode) {
		n.register("node-1", ttlCheck("mem", catalog.Passing, 10*time.Second))
		time.Sleep(9 * time.Second)
		n.stop()
		time.Sleep(time.Hour) // the server is down
		n.expect("mem", catalog.Passing, "")
		n.group = run.New(t.Context())
		n.checks = newLocalChecks(n.checks.self, n.store, n.propose, time.Now, hclog.NewNullLogger())
		n.start()
		time.Sleep(10*time.Second - time.Millisecond)
		n.expect("mem", catalog.Passing, "")
		time.Sleep(time.Millisecond)
		n.expect("mem", catalog.Critical, "TTL expired (")
	})
}

func TestTimesFollowAStateThatIsReplaced(t *testing.T) {
	timed(t, func(t *testing.T, n *timedNode) {
		n.register("node-1", ttlCheck("mem", catalog.Passing, 10*time.Second), ttlCheck("gone", catalog.Passing, 10*time.Second))
		archive := &strings.Builder{}
		if _, err := n.store.Snapshot().WriteTo(archive); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		n.set(func() {
			if err := n.machine.Restore(io.NopCloser(strings.NewReader(archive.String()))); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(10*time.Second - time.Millisecond)
		n.expect("mem", catalog.Passing, "")
		time.Sleep(time.Millisecond)
		n.expect("mem", catalog.Critical, "TTL expired (")
	})
}
