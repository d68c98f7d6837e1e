package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
)

// takingNode takes every command and does nothing.
type takingNode struct{ *localNode }

func (takingNode) Propose(context.Context, *fsm.Command) (fsm.Result, error) {
	return fsm.Result{Index: 7, Applied: true}, nil
}

// TestPutAllocations holds a write of a key to what it costs beside the log, and rights
// make it no dearer.
func TestPutAllocations(t *testing.T) {
	g := newGuardedServer(t, acl.DefaultDeny)
	x := g.token(t, `key_prefix "app/" { policy = "write" }`)
	node := takingNode{g.node}
	guarded := New(Options{
		Node: node, Log: hclog.NewNullLogger(), Datacenter: "dc1",
		ACL: acl.NewResolver(g.tables, acl.Settings{Default: acl.DefaultDeny, Datacenter: "dc1", Now: time.Now}),
	}, testSettings())
	for _, tc := range []struct {
		name string
		s    *Server
		most float64
	}{
		{"without rights", newTestServer(t, node), 4},
		{"with rights", guarded, 4},
	} {
		value := strings.Repeat("x", 1024)
		body := strings.NewReader("")
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/kv/app/motd", nil)
		r.Body, r.ContentLength = io.NopCloser(body), int64(len(value))
		r.Header.Set("X-Consul-Token", x.secret)
		w := &statusOnly{discard: discard{h: http.Header{}}}
		got := testing.AllocsPerRun(200, func() {
			clear(w.h)
			body.Reset(value)
			tc.s.ServeHTTP(w, r)
		})
		t.Logf("PUT %s: %.0f allocations", tc.name, got)
		if got > tc.most || w.status != 0 {
			t.Errorf("PUT %s makes %.0f allocations and answers %d, want at most %.0f", tc.name, got, w.status, tc.most)
		}
	}
}

// statusOnly is a ResponseWriter with deadlines that keeps the status; 0 for one that was
// not set.
type statusOnly struct {
	discard
	status int
}

func (w *statusOnly) WriteHeader(status int)          { w.status = status }
func (w *statusOnly) SetReadDeadline(time.Time) error { return nil }

// TestValueRoomIsNotShared: the memory of one write is not that of the next while
// anybody sees it.
func TestValueRoomIsNotShared(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	mustPut(t, s, "a", strings.Repeat("long ", 100))
	mustPut(t, s, "b", "short")
	mustPut(t, s, "c", "")
	for key, want := range map[string]string{"a": strings.Repeat("long ", 100), "b": "short", "c": ""} {
		if got := ask(t, s, http.MethodGet, "/v1/kv/"+key+"?raw", "").Body.String(); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}
