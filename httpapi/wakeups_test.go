package httpapi

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestWakeupsAreCounted lets a blocking query end in every way.
func TestWakeupsAreCounted(t *testing.T) {
	type counts struct{ changed, unchanged, parked, timeouts, gone uint64 }
	const key, events = "/v1/kv/a?index=4&wait=1m", "/v1/event/list?name=mine&index=5&wait=1m"
	for _, tc := range []struct {
		rule   string
		target string
		do     func(t *testing.T, s *Server, archive []byte, leave context.CancelFunc)
		want   counts
	}{
		{"what is asked for has changed", key, func(t *testing.T, s *Server, _ []byte, _ context.CancelFunc) {
			mustPut(t, s, "a", "2")
		}, counts{changed: 1}},
		{"something else has changed", key, func(t *testing.T, s *Server, _ []byte, leave context.CancelFunc) {
			mustPut(t, s, "b", "2")
			synctest.Wait()
			leave()
		}, counts{gone: 1}},
		{"the time is over", key, func(*testing.T, *Server, []byte, context.CancelFunc) {
			time.Sleep(2 * time.Minute)
		}, counts{timeouts: 1}},
		{"the server stops", key, func(_ *testing.T, s *Server, _ []byte, _ context.CancelFunc) {
			s.Drain()
		}, counts{unchanged: 1}},
		{"the state was replaced by one with the same", key, func(t *testing.T, s *Server, archive []byte, _ context.CancelFunc) {
			restoreArchive(t, s, archive)
		}, counts{unchanged: 1}},
		{"another event than is asked for", events, func(t *testing.T, s *Server, _ []byte, leave context.CancelFunc) {
			ask(t, s, http.MethodPut, "/v1/event/fire/other", "")
			synctest.Wait()
			leave()
		}, counts{parked: 1, gone: 1}},
		{"the event that is asked for", events, func(t *testing.T, s *Server, _ []byte, _ context.CancelFunc) {
			ask(t, s, http.MethodPut, "/v1/event/fire/mine", "")
		}, counts{changed: 1}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node := newLocalNode(t)
				s := newTestServer(t, node)
				mustPut(t, s, "a", "1")                               // 4
				ask(t, s, http.MethodPut, "/v1/event/fire/mine", "x") // 5
				archive := node.archive(t)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				answered := make(chan struct{})
				go func() {
					defer close(answered)
					askIn(ctx, t, s, http.MethodGet, tc.target, "")
				}()
				synctest.Wait()
				if s.Parked() != 1 {
					t.Fatal("the query does not wait")
				}
				tc.do(t, s, archive, leave)
				<-answered
				m := s.Wakeups()
				got := counts{m.Changed.Load(), m.Unchanged.Load(), m.Parked.Load(), m.Timeouts.Load(), m.Gone.Load()}
				if got != tc.want {
					t.Errorf("counted %+v, want %+v", got, tc.want)
				}
			})
		})
	}
}
