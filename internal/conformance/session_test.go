package conformance

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// The servers of what has nothing to do with disks. On one that is shortLived, sessions
// may have times to live that a test can wait for.
var (
	inMemory   = testcluster.Options{Dev: true}
	shortLived = testcluster.Options{Dev: true, Config: map[string]any{"session_ttl_min": "500ms"}}
)

func createSession(t *testing.T, c *api.Client, entry *api.SessionEntry) string {
	t.Helper()
	id, _, err := c.Session().Create(entry, nil)
	must(t, err)
	return id
}

// acquire asks for the lock on a key once.
func acquire(t *testing.T, c *api.Client, key, session string) bool {
	t.Helper()
	ok, _, err := c.KV().Acquire(&api.KVPair{Key: key, Value: []byte(session), Session: session}, nil)
	must(t, err)
	return ok
}

// ended waits until a session is gone and returns when it was seen to be.
func ended(t *testing.T, c *api.Client, id string) time.Time {
	t.Helper()
	opts := &api.QueryOptions{}
	opts = opts.WithContext(t.Context())
	for {
		entry, meta, err := c.Session().Info(id, opts)
		must(t, err)
		if entry == nil {
			return time.Now()
		}
		opts.WaitIndex = meta.LastIndex
	}
}

// TestSessionRoundTrip: what a session was created with is what every read shows,
// whatever past the server has.
func TestSessionRoundTrip(t *testing.T) {
	t.Parallel()
	testcluster.EachMode(t, testcluster.Options{}, func(t *testing.T, s *testcluster.Server) {
		c := client(t, s)
		plain := createSession(t, c, nil)
		full := createSession(t, c, &api.SessionEntry{
			Name: "full", Node: s.Name(), LockDelay: 3 * time.Second, Behavior: api.SessionBehaviorDelete, TTL: "45s",
		})
		unbound, _, err := c.Session().CreateNoChecks(&api.SessionEntry{Name: "unbound", TTL: "20s"}, nil)
		must(t, err)
		s.Turn()
		c = client(t, s)

		for _, want := range []api.SessionEntry{
			{ID: plain, LockDelay: 15 * time.Second, Behavior: "release", NodeChecks: []string{"serfHealth"}},
			{ID: full, Name: "full", LockDelay: 3 * time.Second, Behavior: "delete", TTL: "45s", NodeChecks: []string{"serfHealth"}},
			{ID: unbound, Name: "unbound", LockDelay: 15 * time.Second, Behavior: "release", TTL: "20s"},
		} {
			got, meta, err := c.Session().Info(want.ID, nil)
			must(t, err)
			if got == nil {
				t.Errorf("session %q is gone", want.Name)
				continue
			}
			if got.ID != want.ID || got.Name != want.Name || got.Node != s.Name() || got.LockDelay != want.LockDelay ||
				got.Behavior != want.Behavior || got.TTL != want.TTL || !slices.Equal(got.NodeChecks, want.NodeChecks) {
				t.Errorf("info: %+v, want %+v", got, want)
			}
			if got.CreateIndex == 0 || meta.LastIndex < got.CreateIndex || !meta.KnownLeader {
				t.Errorf("info: created %d, answered at %d, known leader %v", got.CreateIndex, meta.LastIndex, meta.KnownLeader)
			}
			renewed, _, err := c.Session().Renew(want.ID, nil)
			must(t, err)
			if renewed == nil || renewed.ID != want.ID || renewed.TTL != want.TTL || renewed.CreateIndex != got.CreateIndex {
				t.Errorf("renew: %+v, want %+v", renewed, got)
			}
		}
		listed, _, err := c.Session().List(nil)
		must(t, err)
		ofNode, _, err := c.Session().Node(strings.ToUpper(s.Name()), nil)
		must(t, err)
		want := []string{plain, full, unbound}
		slices.Sort(want)
		for call, entries := range map[string][]*api.SessionEntry{"list": listed, "node": ofNode} {
			var ids []string
			for _, e := range entries {
				ids = append(ids, e.ID)
			}
			if !slices.Equal(ids, want) {
				t.Errorf("%s: %v, want %v", call, ids, want)
			}
		}
		if elsewhere, _, err := c.Session().Node("elsewhere", nil); err != nil || len(elsewhere) != 0 {
			t.Errorf("sessions of an unknown node: %v, %v", elsewhere, err)
		}
	})
}

func TestSessionThatIsGone(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	c := client(t, s)
	id := createSession(t, c, nil)
	if !acquire(t, c, "held", id) {
		t.Fatal("a free key was not acquired")
	}
	for range 2 { // of what is gone it is no error
		_, err := c.Session().Destroy(id, nil)
		must(t, err)
	}
	if entry, _, err := c.Session().Info(id, nil); err != nil || entry != nil {
		t.Errorf("info: %v, %v, want nothing", entry, err)
	}
	if entry, _, err := c.Session().Renew(id, nil); err != nil || entry != nil {
		t.Errorf("renew: %v, %v, want nothing", entry, err)
	}
	if err := c.Session().RenewPeriodic("10ms", id, nil, nil); !errors.Is(err, api.ErrSessionExpired) {
		t.Errorf("renew periodically: %v, want %v", err, api.ErrSessionExpired)
	}
	_, _, err := c.KV().Acquire(&api.KVPair{Key: "other", Session: id}, nil)
	if err == nil || !strings.Contains(err.Error(), "invalid session") {
		t.Errorf("acquire: %v, want that the session is invalid", err)
	}
	if ok, _, err := c.KV().Release(&api.KVPair{Key: "held", Session: id}, nil); err != nil || ok {
		t.Errorf("release: %v, %v, want false", ok, err)
	}
	if pair, _ := get(t, c.KV(), "held"); pair == nil || pair.Session != "" || pair.LockIndex != 1 || string(pair.Value) != id {
		t.Errorf("the key that it held is %+v", pair)
	}
}

func TestSessionRefused(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	c := client(t, s)
	for _, tc := range []struct {
		rule  string
		entry api.SessionEntry
		want  string
	}{
		{"a TTL below the least", api.SessionEntry{TTL: "9s"}, "Invalid Session TTL '9000000000', must be between [10s=24h0m0s]"},
		{"a TTL above the most", api.SessionEntry{TTL: "25h"}, "Invalid Session TTL"},
		{"a TTL without a unit", api.SessionEntry{TTL: "15"}, "Session TTL '15' invalid"},
		{"a behavior that is none", api.SessionEntry{Behavior: "explode"}, "Invalid Behavior setting 'explode'"},
		{"a node that is not registered", api.SessionEntry{Node: "ghost"}, "Missing node registration"},
		{"a check that is not registered", api.SessionEntry{Checks: []string{"ghost"}}, "Missing check 'ghost' registration"},
	} {
		if _, _, err := c.Session().Create(&tc.entry, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.rule, err, tc.want)
		}
	}
	if entries, _, err := c.Session().List(nil); err != nil || len(entries) != 0 {
		t.Errorf("sessions are %v, %v, want none", entries, err)
	}
}

// TestSessionExpires: a session whose renewals stop ends, and not before its TTL is
// over; its end releases or deletes what it held. One that is renewed lives on.
func TestSessionExpires(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := testcluster.Start(t, shortLived)
	c := client(t, s)
	kept := createSession(t, c, &api.SessionEntry{TTL: ttl.String()})
	done, renewed := make(chan struct{}), make(chan error, 1)
	go func() { renewed <- c.Session().RenewPeriodic(ttl.String(), kept, nil, done) }()

	before := time.Now()
	releases := createSession(t, c, &api.SessionEntry{TTL: ttl.String()})
	deletes := createSession(t, c, &api.SessionEntry{TTL: (2 * ttl).String(), Behavior: api.SessionBehaviorDelete})
	if !acquire(t, c, "released", releases) || !acquire(t, c, "deleted", deletes) || !acquire(t, c, "kept", kept) {
		t.Fatal("a free key was not acquired")
	}
	if took := ended(t, c, releases).Sub(before); took < ttl || took > 6*ttl {
		t.Errorf("a session of %s ended after %s", ttl, took)
	}
	if took := ended(t, c, deletes).Sub(before); took < 2*ttl {
		t.Errorf("a session of %s ended after %s", 2*ttl, took)
	}
	if pair, _ := get(t, c.KV(), "released"); pair == nil || pair.Session != "" || string(pair.Value) != releases {
		t.Errorf("the key of a session that releases is %+v", pair)
	}
	if pair, _ := get(t, c.KV(), "deleted"); pair != nil {
		t.Errorf("the key of a session that deletes is %+v", pair)
	}
	if pair, _ := get(t, c.KV(), "kept"); pair == nil || pair.Session != kept {
		t.Errorf("the key of the session that was renewed for twice as long as it lives without is %+v", pair)
	}
	close(done)
	must(t, <-renewed)
	ended(t, c, kept)
}

// TestSessionEndsWithItsCheck: a session that names a check ends when that becomes
// critical, and when it is deregistered; warnings do not matter.
func TestSessionEndsWithItsCheck(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	c := client(t, s)
	register := func() {
		must(t, c.Agent().CheckRegister(&api.AgentCheckRegistration{
			ID: "alive", Name: "alive", AgentServiceCheck: api.AgentServiceCheck{TTL: "10m", Status: "passing"},
		}))
		err := testcluster.Eventually(t.Context(), time.Minute, func() error {
			_, _, err := c.Session().Create(&api.SessionEntry{Name: "probe", NodeChecks: []string{"alive"}}, nil)
			return err
		})
		must(t, err)
	}
	for end, do := range map[string]func(){
		"the check fails":           func() { must(t, c.Agent().FailTTL("alive", "by hand")) },
		"the check is deregistered": func() { must(t, c.Agent().CheckDeregister("alive")) },
	} {
		register()
		id := createSession(t, c, &api.SessionEntry{NodeChecks: []string{"alive"}, TTL: "10m"})
		other := createSession(t, c, nil)
		if !acquire(t, c, end, id) {
			t.Fatalf("%s: the key was not acquired", end)
		}
		must(t, c.Agent().WarnTTL("alive", "by hand"))
		if entry, _, err := c.Session().Info(id, nil); err != nil || entry == nil {
			t.Fatalf("%s: after a warning the session is %v, %v", end, entry, err)
		}
		do()
		ended(t, c, id)
		if pair, _ := get(t, c.KV(), end); pair == nil || pair.Session != "" {
			t.Errorf("%s: the lock is %+v, want it free", end, pair)
		}
		if entry, _, err := c.Session().Info(other, nil); err != nil || entry == nil {
			t.Errorf("%s: a session of its own is %v, %v", end, entry, err)
		}
		if _, err := c.Agent().Checks(); err != nil {
			t.Error(err)
		}
		_ = c.Agent().CheckDeregister("alive") // one of the two has done it
	}
}

// TestSessionWatch: those who wait for a session, for all, and for those of a node see
// them come and go.
func TestSessionWatch(t *testing.T) {
	t.Parallel()
	s := testcluster.Start(t, inMemory)
	c := client(t, s)
	first := createSession(t, c, nil)
	_, at, err := c.Session().List(nil)
	must(t, err)
	type answer struct {
		call  string
		found int
		err   error
	}
	answers := make(chan answer, 3)
	opts := (&api.QueryOptions{WaitIndex: at.LastIndex, WaitTime: time.Minute}).WithContext(t.Context())
	go func() {
		e, _, err := c.Session().Info(first, opts)
		found := 0
		if e != nil {
			found++
		}
		answers <- answer{"info", found, err}
	}()
	go func() {
		e, _, err := c.Session().List(opts)
		answers <- answer{"list", len(e), err}
	}()
	go func() {
		e, _, err := c.Session().Node(s.Name(), opts)
		answers <- answer{"node", len(e), err}
	}()
	_, err = c.Session().Destroy(first, nil)
	must(t, err)
	for range 3 {
		if a := <-answers; a.err != nil || a.found != 0 {
			t.Errorf("%s: %d sessions, %v, want none", a.call, a.found, a.err)
		}
	}
}
