package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/acl"
)

// TestSnapshotSave: an archive with the index and what is known of the leader.
//
// Source: contract, snapshot, section 6.
func TestSnapshotSave(t *testing.T) {
	node := filled(t, 10)
	s := newTestServer(t, node)
	for _, tc := range []struct {
		rule, query string
		contact     Contact
		status      int
		known       string
		gates       []Mode
	}{
		{"by the leader, after it has made sure that it leads", "", Contact{KnownLeader: true}, 200, "true", []Mode{Consistent}},
		{"stale, by anybody", "?stale", Contact{KnownLeader: true}, 200, "true", nil},
		{"stale without a leader", "?stale", Contact{}, 200, "false", nil},
		{"without a leader, not held", "", Contact{}, 500, "", nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			node.setContact(tc.contact, nil)
			node.gates = nil
			w := ask(t, s, http.MethodGet, "/v1/snapshot"+tc.query, "")
			if tc.status != 200 {
				expect(t, w, tc.status, "No cluster leader")
				return
			}
			if w.Code != 200 || len(unpacked(t, w.Body.Bytes())) != 3 {
				t.Fatalf("answer is %d", w.Code)
			}
			expectHeader(t, w, "Content-Type", "application/x-gzip")
			expectHeader(t, w, "X-Consul-Index", "14")
			expectHeader(t, w, "X-Consul-Knownleader", tc.known)
			expectHeader(t, w, "X-Consul-Lastcontact", "0")
			expectHeader(t, w, "Content-Encoding", "")
			if len(node.gates) != len(tc.gates) || len(tc.gates) > 0 && node.gates[0] != tc.gates[0] {
				t.Errorf("leave to read was asked for as %v, want %v", node.gates, tc.gates)
			}
		})
	}
	expect(t, ask(t, s, http.MethodGet, "/v1/snapshot?stale&consistent", ""), 400, "Cannot specify ?stale with ?consistent, conflicting semantics.")
}

// TestSnapshotRestore: the state of the archive is in use when it is answered, and
// what was written since is gone.
func TestSnapshotRestore(t *testing.T) {
	node := filled(t, 10)
	s := newTestServer(t, node)
	archive := ask(t, s, http.MethodGet, "/v1/snapshot", "").Body.String()
	keys := ask(t, s, http.MethodGet, "/v1/kv/?recurse", "")
	versions := ask(t, s, http.MethodGet, "/v1/kv/k/0?history", "").Body.String()
	mustPut(t, s, "k/1", "lost")
	mustPut(t, s, "later", "lost")
	w := ask(t, s, http.MethodPut, "/v1/snapshot", archive)
	expect(t, w, http.StatusOK, "")
	expectHeader(t, w, "Content-Type", "application/octet-stream")
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/?recurse", ""), 200, keys.Body.String())
	expect(t, ask(t, s, http.MethodGet, "/v1/kv/k/0?history", ""), 200, versions)
	if index := mustPut(t, s, "later", "new"); index != "19" { // above 16, the restore and its note
		t.Errorf("the next write is at index %s", index)
	}
	leftOver(t, node)
}

// leftOver checks that no archive stays behind.
func leftOver(t *testing.T, node *localNode) {
	t.Helper()
	files, err := os.ReadDir(node.scratch)
	if err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// TestRefusedRestore: whatever is wrong is found before anything is changed.
//
// Source: contract, snapshot, section 6.
func TestRefusedRestore(t *testing.T) {
	node := filled(t, 10)
	good := string(node.archive(t))
	members := unpacked(t, []byte(good))
	repacked := func(state string) string {
		m := members[0]
		st := member{memberState, state}
		return string(packed(t, []member{m, st, sumsOf(m, st)}))
	}
	for _, tc := range []struct {
		rule, query, body string
		status            int
		text              string // how the answer begins
	}{
		{"stale", "?stale", good, 500, "stale not allowed for restore"},
		{"stale whatever the value", "?stale=false", good, 500, "stale not allowed for restore"},
		{"stale by max_stale", "?max_stale=1s", good, 500, "stale not allowed for restore"},
		{"another datacenter", "?dc=x", good, 500, "No path to datacenter"},
		{"nothing", "", "", 500, "failed to decompress snapshot: EOF"},
		{"garbage", "", "garbage garbage", 500, "failed to decompress snapshot: gzip: invalid header"},
		{"cut off", "", good[:len(good)/2], 500, "failed to read snapshot file: failed to read or write snapshot data: unexpected EOF"},
		{"a state of another product", "", repacked("\x81\xa9LastIndex\x05"), 500, "failed to read snapshot file: snapshot is damaged: it does not begin as a snapshot of holdfast"},
		{"an empty state", "", repacked(""), 500, "failed to read snapshot file: snapshot is damaged"},
		{"a state that is cut off", "", repacked(members[1].content[:len(members[1].content)-9]), 500, "failed to read snapshot file: snapshot is damaged"},
		{"a state with another checksum", "", repacked(members[1].content[:len(members[1].content)-1] + "\x00"), 500, "failed to read snapshot file: snapshot is damaged"},
		{"a state with something behind", "", repacked(members[1].content + "tail"), 500, "failed to read snapshot file: snapshot is damaged"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			s := newTestServer(t, node)
			before := node.store.View()
			w := ask(t, s, http.MethodPut, "/v1/snapshot"+tc.query, tc.body)
			if w.Code != tc.status || !strings.HasPrefix(w.Body.String(), tc.text) {
				t.Errorf("answer is %d %q, want %d %q", w.Code, w.Body, tc.status, tc.text)
			}
			if node.store.View() != before {
				t.Error("the state has changed")
			}
			leftOver(t, node)
		})
	}
}

// brokenSnapshots fails where a server can.
type brokenSnapshots struct {
	*localNode
	err error
}

func (b brokenSnapshots) Restore(context.Context, SnapshotMeta, Kept, *acl.Given) error { return b.err }

// Writable is part of Snapshots.
func (b brokenSnapshots) Writable() error { return nil }

// TestRestoreFails: what the cluster says reaches the client, and no file stays.
func TestRestoreFails(t *testing.T) {
	node := filled(t, 3)
	s := newTestServer(t, node)
	s.opts.Snapshots = brokenSnapshots{node, errors.New("restore snapshot: leadership lost")}
	expect(t, ask(t, s, http.MethodPut, "/v1/snapshot", string(node.archive(t))), 500, "restore snapshot: leadership lost")
	leftOver(t, node)
	node.scratch = node.scratch + "/none"
	w := ask(t, s, http.MethodPut, "/v1/snapshot", string(node.archive(t)))
	if w.Code != 500 || !strings.HasPrefix(w.Body.String(), "keep the archive while it is checked: ") {
		t.Errorf("answer is %d %q", w.Code, w.Body)
	}
}

// TestSnapshotCutOff: a client that stops reading an archive is cut off, not given
// a whole answer; for the server it is no failure.
func TestSnapshotCutOff(t *testing.T) {
	s := newTestServer(t, filled(t, 100))
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("handler ended with %v, want the connection to be cut off", got)
		}
	}()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/snapshot", nil)
	s.ServeHTTP(&broken{httptest.NewRecorder()}, r)
}

// broken is a connection that takes nothing.
type broken struct{ http.ResponseWriter }

func (b *broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestRestoreWithoutRoom: an archive is not even received when the disk is full.
func TestRestoreWithoutRoom(t *testing.T) {
	n := newLocalNode(t)
	n.full = &ReadOnlyError{Reason: "disk is low on space"}
	w := ask(t, newTestServer(t, n), http.MethodPut, "/v1/snapshot", "anything")
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "read-only") {
		t.Errorf("answer %d %q, want 500 that says the server is read-only", w.Code, w.Body)
	}
}

// TestRestoreLoadedOrChecked: a state that was loaded while it was received, and one that
// was only checked, are restored alike.
func TestRestoreLoadedOrChecked(t *testing.T) {
	node := filled(t, 3)
	archive, want := string(node.archive(t)), node.store.View().Meta().Live
	s := newTestServer(t, node)
	for _, node.loads = range []bool{false, true} {
		expect(t, ask(t, s, http.MethodDelete, "/v1/kv/?recurse", ""), 200, "true")
		expect(t, ask(t, s, http.MethodPut, "/v1/snapshot", archive), 200, "")
		if live := node.store.View().Meta().Live; live != want || want == 0 {
			t.Errorf("loaded %v: %d keys are restored, want %d", node.loads, live, want)
		}
		leftOver(t, node)
	}
}
