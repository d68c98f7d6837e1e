package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// newUncheckedServer is a server that checks no rights, and finds out that it should.
func newUncheckedServer(t *testing.T) (s *localServer, should *atomic.Bool) {
	t.Helper()
	l := newLocalServer(t)
	should = &atomic.Bool{}
	opts := l.opts
	opts.Log = hclog.NewNullLogger()
	opts.Cluster, opts.Snapshots, opts.Membership = l.node, l.node, &fakeMembership{}
	opts.Unchecked = func() error {
		if should.Load() {
			return errors.New("others check rights")
		}
		return nil
	}
	settings := testSettings()
	settings.EnableDebug = true
	return &localServer{Server: New(opts, settings), node: l.node, agent: l.agent}, should
}

// TestServerWithoutAccessControlWhereOthersHaveIt answers nothing that would need a right:
// it would show and change for anybody what others keep.
func TestServerWithoutAccessControlWhereOthersHaveIt(t *testing.T) {
	s, should := newUncheckedServer(t)
	expect(t, ask(t, s.Server, http.MethodPut, "/v1/kv/a", "1"), http.StatusOK, "true")
	should.Store(true)
	index := s.node.store.View().Applied()
	for _, tc := range append(anonymousAnswers(), anonymousACLAnswers()...) {
		method, _, _ := strings.Cut(tc.route, " ")
		for _, with := range []string{"", "?stale", "?token=11111111-2222-3333-4444-555555555555"} {
			target := tc.target
			if with != "" && strings.Contains(target, "?") {
				with = "&" + with[1:]
			}
			w := ask(t, s.Server, method, target+with, tc.body)
			refused := w.Code == http.StatusInternalServerError && w.Body.String() == "others check rights"
			if open := tc.open && tc.route != "GET /v1/acl/replication"; refused == open {
				t.Errorf("%s%s: %d %q", tc.route, with, w.Code, w.Body)
			}
		}
	}
	if now := s.node.store.View().Applied(); now != index {
		t.Error("something was written")
	}
	if asked := s.opts.Membership.(*fakeMembership).take(); asked != "" {
		t.Errorf("something was done: %s", asked)
	}
	should.Store(false)
	expect(t, ask(t, s.Server, http.MethodGet, "/v1/kv/a?raw", ""), http.StatusOK, "1")
}

// TestWhatWaitsOnAServerThatShouldCheck: it does not get what was written after the server
// has found out.
func TestWhatWaitsOnAServerThatShouldCheck(t *testing.T) {
	for _, mode := range []string{"", "&stale"} {
		synctest.Test(t, func(t *testing.T) {
			s, should := newUncheckedServer(t)
			made := ask(t, s.Server, http.MethodPut, "/v1/kv/a", "1")
			w := &waiter{w: httptest.NewRecorder(), done: make(chan struct{})}
			go func() {
				defer close(w.done)
				serveTo(s.Server, w.w, httptest.NewRequestWithContext(t.Context(), http.MethodGet,
					"/v1/kv/a?index="+made.Header().Get("X-Consul-Index")+mode, nil))
			}()
			synctest.Wait()
			should.Store(true)
			s.propose(t, &fsm.Command{Write: &kvs.Op{Verb: kvs.Set, Key: "a", Value: []byte("secret")}})
			synctest.Wait()
			<-w.done
			expect(t, w.w, http.StatusInternalServerError, "others check rights")
		})
	}
}
