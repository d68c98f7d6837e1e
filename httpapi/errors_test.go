package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// refusing is a node on which writes fail.
type refusing struct {
	*localNode
	err error
}

func (r refusing) Propose(context.Context, *fsm.Command) (fsm.Result, error) {
	return fsm.Result{}, r.err
}

// TestErrorsOfWrites: what the servers refuse after the HTTP layer is 500 with a
// sentence, since that is what existing clients try again on.
//
// Source: contract, README, section 9.
func TestErrorsOfWrites(t *testing.T) {
	for _, tc := range []struct {
		err  error
		text string
	}{
		{ErrNoLeader, "No cluster leader"},
		{ErrUnknownOutcome, "raft apply failed: leadership lost while committing log; whether the write happened is unknown"},
		{fmt.Errorf("propose: %w", ErrNotReady), "propose: Not ready to serve consistent reads"},
		{&ReadOnlyError{Reason: "the disk is full, make space"}, "server is read-only: the disk is full, make space"},
		{errors.New("something else"), "something else"},
		{context.Canceled, "context canceled"}, // ours, not the client's
	} {
		t.Run(tc.text, func(t *testing.T) {
			s := newTestServer(t, refusing{newLocalNode(t), tc.err})
			for _, w := range []struct{ method, target, body string }{
				{"PUT", "/v1/kv/a", "1"}, {"DELETE", "/v1/kv/a", ""}, {"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a"}}]`},
			} {
				got := ask(t, s, w.method, w.target, w.body)
				expect(t, got, http.StatusInternalServerError, tc.text)
				expectHeader(t, got, "X-Consul-Index", "")
				expectHeader(t, got, "Content-Type", "text/plain; charset=utf-8")
				expectHeader(t, got, "X-Content-Type-Options", "nosniff")
				expectHeader(t, got, "Content-Length", fmt.Sprint(len(tc.text)))
			}
		})
	}
}

func TestStatusOf(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
	}{
		{badRequest("x"), 400},
		{fmt.Errorf("more: %w", badRequest("x")), 400},
		{tooLarge("x"), 413},
		{tooMany(causeStreams, "x"), 429},
		{serverError("x"), 500},
		{&kvs.PrunedError{Oldest: 7}, 410},
		{fmt.Errorf("more: %w", &kvs.PrunedError{Oldest: 7}), 410},
		{ErrNoLeader, 500},
		{errors.New("x"), 500},
	} {
		if got := statusOf(tc.err); got != tc.status {
			t.Errorf("%v is a %d, want %d", tc.err, got, tc.status)
		}
	}
}

// TestErrorsHaveNoBodyOnHead: the length is that of the text all the same.
func TestErrorsHaveNoBodyOnHead(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	w := ask(t, s, http.MethodHead, "/v1/kv/a?index=x", "")
	expect(t, w, http.StatusBadRequest, "")
	expectHeader(t, w, "Content-Length", "13")
}

// TestErrorsDoNotMarkUp: what a client sent comes back as plain text only.
func TestErrorsDoNotMarkUp(t *testing.T) {
	s := newTestServer(t, newLocalNode(t))
	for _, target := range []string{
		"/v1/kv/a?cas=%3Cscript%3E", "/v1/kv/a?max_stale=%3Cscript%3E", "/v1/kv/a?cas=1&acquire=%3Cscript%3E",
	} {
		w := ask(t, s, http.MethodPut, target, "1")
		if w.Code != http.StatusBadRequest || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("%s is answered %d as %s", target, w.Code, w.Header().Get("Content-Type"))
		}
		expectHeader(t, w, "X-Content-Type-Options", "nosniff")
	}
}
