package httpapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/audit"
)

// takenDown is an Auditor that keeps what it is told.
type takenDown struct {
	refuse bool

	mu     sync.Mutex
	events []audit.Event // guarded by mu
	ready  error         // guarded by mu
	commit error         // guarded by mu
}

func (a *takenDown) Refuses() bool { return a.refuse }

func (a *takenDown) Ready() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ready
}

func (a *takenDown) Note(e *audit.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, *e)
}

func (a *takenDown) Commit(_ context.Context, e *audit.Event) error {
	a.Note(e)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.commit
}

func (a *takenDown) take() []audit.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { a.events = nil }()
	return a.events
}

func newAuditedServer(t *testing.T, refuse bool, adjust ...func(*Settings)) (*guardedServer, *takenDown) {
	g := newGuardedServer(t, acl.DefaultDeny, adjust...)
	a := &takenDown{refuse: refuse}
	g.opts.Audit = a
	return g, a
}

// spellOps writes operations in one line.
func spellOps(ops []audit.Op) string {
	var all []string
	for _, op := range ops {
		s := op.Verb + " " + op.On + " " + op.Name
		if op.Value != nil {
			s += fmt.Sprintf(" (%d bytes)", op.Value.Bytes)
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

func TestAuditLines(t *testing.T) {
	g, a := newAuditedServer(t, false, func(s *Settings) { s.AuditReads = []string{"secret/"} })
	x := g.token(t, `key_prefix "" { policy = "write" } key_prefix "no/" { policy = "deny" } session_prefix "" { policy = "write" } event_prefix "" { policy = "write" }`)
	txn := `[{"KV":{"Verb":"set","Key":"b","Value":"` + base64.StdEncoding.EncodeToString([]byte("12345")) + `"}},{"KV":{"Verb":"delete","Key":"c"}}]`
	reads := func(key string) string { return `[{"KV":{"Verb":"get","Key":"` + key + `"}}]` }
	for _, tc := range []struct {
		rule   string
		ask    string // method, target, and the body after the second space
		kind   string // "" for no line
		ops    string
		result string
		status int
	}{
		{"a write", "PUT /v1/kv/a abc", audit.Write, "set key a (3 bytes)", "applied", 200},
		{"a write that loses", "PUT /v1/kv/a?cas=1 abcd", audit.Write, "cas key a (4 bytes)", "not applied", 200},
		{"a delete", "DELETE /v1/kv/a", audit.Write, "delete key a", "applied", 200},
		{"a delete of a tree", "DELETE /v1/kv/q/?recurse", audit.Write, "delete-tree prefix q/", "applied", 200},
		{"a sequential write, with the key it was given", "PUT /v1/kv/seq/?sequential v", audit.Write, "set key seq/0000000001 (1 bytes)", "applied", 200},
		{"a write that is no good", "PUT /v1/kv/a?cas=x abc", audit.Write, "", "", 400},
		{"a transaction", "PUT /v1/txn " + txn, audit.Write, "set key b (5 bytes), delete key c", "applied", 200},
		{"a transaction that reads", "PUT /v1/txn " + reads("b"), "", "", "", 200},
		{"a transaction that reads what asks for a line", "PUT /v1/txn " + reads("secret/b"), audit.Read, "get key secret/b", "", 409},
		{"a read", "GET /v1/kv/b", "", "", "", 200},
		{"a read of what asks for a line", "GET /v1/kv/secret/b", audit.Read, "get key secret/b", "", 404},
		{"a read of all below a prefix that has it", "GET /v1/kv/?recurse", audit.Read, "get-tree prefix ", "", 200},
		{"a list of keys below", "GET /v1/kv/secret/x?keys", audit.Read, "get-tree prefix secret/x", "", 404},
		{"a list of keys beside", "GET /v1/kv/b?keys", "", "", "", 200},
		{"a denial", "GET /v1/kv/no/b", audit.Denied, "", "", 403},
		{"a denied write", "PUT /v1/kv/no/b abc", audit.Denied, "", "", 403},
		{"a denied transaction", `PUT /v1/txn [{"KV":{"Verb":"set","Key":"no/b","Value":""}}]`, audit.Denied, "", "", 409},
		{"a denied question", "GET /v1/acl/tokens", audit.Denied, "", "", 403},
		{"an event", "PUT /v1/event/fire/deploy payload", audit.Write, "fire event deploy (7 bytes)", "applied", 200},
		{"a question about rights", `POST /v1/internal/acl/authorize [{"Resource":"key","Segment":"a","Access":"read"}]`, "", "", "", 200},
		{"a reload", "PUT /v1/agent/reload", audit.Denied, "", "", 403},
		{"another method", "PATCH /v1/kv/a", "", "", "", 405},
		{"a path without an endpoint", "PUT /v1/nothing", "", "", "", 404},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			method, rest, _ := strings.Cut(tc.ask, " ")
			target, body, _ := strings.Cut(rest, " ")
			a.take()
			w := ask(t, g.Server, method, target, body, "X-Consul-Token", x.secret, "X-Holdfast-Reason", "because")
			if w.Code != tc.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			got := a.take()
			if tc.kind == "" {
				if len(got) > 0 {
					t.Errorf("%+v", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d lines: %+v", len(got), got)
			}
			e := got[0]
			if ops := spellOps(e.Ops); ops != tc.ops && tc.kind != audit.Denied {
				t.Errorf("operations %q, want %q", ops, tc.ops)
			}
			path, _, _ := strings.Cut(target, "?")
			if e.Kind != tc.kind || e.Result != tc.result || e.Status != tc.status || (e.Denied != "") != (tc.kind == audit.Denied) ||
				e.Accessor != x.accessor || e.Auth != "token" || e.Method != method || e.Path != path || e.Reason != "because" || e.Address != "192.0.2.1" ||
				(e.Index > 0) != (tc.result != "") || time.Since(e.Time) > time.Minute {
				t.Errorf("%+v", e)
			}
			if id := w.Header().Get("X-Request-Id"); e.Request != id || id == "" {
				t.Errorf("request %q, the answer says %q", e.Request, id)
			}
		})
	}
}

func TestAuditTellsHowItWasFoundOutWhoAsks(t *testing.T) {
	g, a := newAuditedServer(t, false)
	x := g.token(t, `key_prefix "" { policy = "write" }`)
	login := g.token(t, `key_prefix "" { policy = "write" }`, func(t *acl.Token) { t.Method = "ci" })
	slot := g.token(t, `key_prefix "" { policy = "write" }`)
	for _, tc := range []struct {
		secret, slot   string
		accessor, auth string
	}{
		{x.secret, "", x.accessor, "token"},
		{login.secret, "", login.accessor, "login:ci"},
		{"", "", acl.AnonymousAccessor, "anonymous"},
		{"", slot.secret, slot.accessor, "agent"},
		{newID(t), "", "", "unknown token"},
	} {
		g.slots["default"] = tc.slot
		ask(t, g.Server, http.MethodPut, "/v1/kv/a", "1", "X-Consul-Token", tc.secret)
		got := a.take()
		if len(got) != 1 || got[0].Accessor != tc.accessor || got[0].Auth != tc.auth {
			t.Errorf("%+v: %+v", tc, got)
		}
	}
}

// A line never has a secret where an id belongs, as somebody may mix them up.
func TestAuditHidesASecretInThePath(t *testing.T) {
	g, a := newAuditedServer(t, false)
	x := g.token(t, ``)
	ask(t, g.Server, http.MethodGet, "/v1/acl/token/"+x.secret, "", "X-Consul-Token", g.root)
	ask(t, g.Server, http.MethodPut, "/v1/agent/token/%"+hex.EncodeToString([]byte(x.secret[:1]))+x.secret[1:], `{"Token":"x"}`, "X-Consul-Token", g.root)
	ask(t, g.Server, http.MethodGet, "/v1/acl/policy/name/"+x.secret, "", "X-Consul-Token", x.secret)
	ask(t, g.Server, http.MethodDelete, "/v1/acl/token/"+x.accessor, "", "X-Consul-Token", g.root)
	ask(t, g.Server, http.MethodPut, "/v1/agent/token/1/2/3/4/5/6/"+x.secret, `{"Token":"x"}`, "X-Consul-Token", g.root)
	var paths []string
	for _, e := range a.take() {
		paths = append(paths, e.Path)
	}
	want := []string{"/v1/acl/token/<hidden>", "/v1/agent/token/<hidden>", "/v1/acl/policy/name/<hidden>", "/v1/acl/token/" + x.accessor, "/v1/agent/token/1/2/3/4/5/<hidden>"}
	if !slices.Equal(paths, want) {
		t.Errorf("the lines have %q, want %q", paths, want)
	}
	if w := ask(t, g.Server, http.MethodGet, "/v1/acl/denials", "", "X-Consul-Token", g.root); strings.Contains(w.Body.String(), x.secret) ||
		!strings.Contains(w.Body.String(), `/v1/acl/policy/name/`) {
		t.Errorf("the denials are %s", w.Body)
	}
}

func TestNoLineNoWrite(t *testing.T) {
	g, a := newAuditedServer(t, true, func(s *Settings) { s.AuditReads = []string{"secret/"} })
	x := g.token(t, `key_prefix "" { policy = "write" } operator = "write"`)
	g.as(t, x, http.MethodPut, "/v1/kv/a", "abc")
	got := a.take()
	if len(got) != 2 || got[0].Kind != audit.Intent || spellOps(got[0].Ops) != "set key a (3 bytes)" || got[0].Status != 0 ||
		got[0].Accessor != x.accessor || got[1].Kind != audit.Write || got[1].Request != got[0].Request {
		t.Errorf("%+v", got)
	}
	for _, fails := range []string{"it is known that the device fails", "it turns out that the device fails"} {
		t.Run(fails, func(t *testing.T) {
			a.mu.Lock()
			a.commit = audit.ErrUnwritable
			if strings.HasPrefix(fails, "it is known") {
				a.ready = audit.ErrUnwritable
			}
			a.mu.Unlock()
			index := g.node.store.View().Index()
			for _, request := range []string{
				"PUT /v1/kv/b 1", "DELETE /v1/kv/a", "DELETE /v1/kv/?recurse", `PUT /v1/txn [{"KV":{"Verb":"set","Key":"b","Value":""}}]`,
				`PUT /v1/txn [{"KV":{"Verb":"get","Key":"secret/b"}}]`, "GET /v1/kv/secret/b", "GET /v1/kv/?recurse",
				"PUT /v1/operator/raft/transfer-leader", "PUT /v1/snapshot x", "GET /v1/snapshot", "PUT /v1/agent/leave",
			} {
				method, rest, _ := strings.Cut(request, " ")
				target, body, _ := strings.Cut(rest, " ")
				w := ask(t, g.Server, method, target, body, "X-Consul-Token", g.root)
				if want := http.StatusServiceUnavailable; w.Code != want && w.Code != http.StatusMethodNotAllowed {
					t.Errorf("%s: %d %s", request, w.Code, w.Body)
				}
			}
			if now := g.node.store.View().Index(); now != index {
				t.Errorf("the state went from %d to %d", index, now)
			}
			expect(t, g.as(t, x, http.MethodGet, "/v1/kv/a?raw", ""), http.StatusOK, "abc")
			w := g.as(t, testToken{secret: newID(t)}, http.MethodGet, "/v1/kv/a", "")
			expect(t, w, http.StatusForbidden, "ACL not found")
			a.mu.Lock()
			a.commit, a.ready = nil, nil
			a.mu.Unlock()
			g.put(t, "b", "2")
		})
	}
}

// Whatever a request can change, it gets a line before, on an endpoint to come too.
func TestEveryEndpointThatChangesSomethingIsAudited(t *testing.T) {
	g, a := newAuditedServer(t, true)
	questions := []string{
		"/v1/acl/explain", "/v1/holdfast/acl/explain", "/v1/acl/who-can", "/v1/internal/acl/authorize",
		"/v1/acl/templated-policy/preview/", "/v1/session/renew/",
	}
	a.commit = errors.New("disk full")
	n := 0
	for _, e := range g.endpoints {
		for _, m := range e.methods {
			if m.name == http.MethodGet || slices.Contains(questions, e.path) {
				continue
			}
			n++
			a.take()
			target := strings.NewReplacer("{accessor}", newID(t)).Replace(e.path)
			if strings.HasSuffix(target, "/") {
				target += "x"
			}
			w := ask(t, g.Server, m.name, target, "{}", "X-Consul-Token", g.root)
			if w.Code < 400 {
				t.Errorf("%s %s is answered %d without a line", m.name, target, w.Code)
			}
			if got := a.take(); len(got) == 0 || got[len(got)-1].Kind == audit.Intent {
				t.Errorf("%s %s has no line: %+v", m.name, target, got)
			}
		}
	}
	if n < 30 {
		t.Errorf("%d endpoints", n)
	}
}

// TestAThousandRequests: every line parses, none has a secret or a value, the chain
// holds, and a line that is taken out or changed breaks it.
//
// Source: contract, ACL, section 6.11, test 4.
func TestAThousandRequests(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("refuse=%v", refuse), func(t *testing.T) { thousandRequests(t, refuse) })
	}
}

func thousandRequests(t *testing.T, refuse bool) {
	g := newGuardedServer(t, acl.DefaultDeny, func(s *Settings) { s.AuditReads = []string{"k1"} })
	path := filepath.Join(t.TempDir(), "audit.log")
	log, err := audit.Open(audit.Options{
		Sink: audit.SinkFile, File: audit.File{Path: path, RotateBytes: 64 << 10}, Refuse: refuse, Server: "node-1",
		Log: hclog.NewNullLogger(), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = log.Run(ctx) })
	defer running.Wait()
	defer cancel()
	g.opts.Audit = log

	secrets := []string{g.root}
	var tokens []testToken
	for i := range 5 {
		x := g.token(t, fmt.Sprintf(`key_prefix "k%d" { policy = "write" } acl = "write" session_prefix "" { policy = "read" }`, i))
		tokens, secrets = append(tokens, x), append(secrets, x.secret)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var values []string
	for i := range 1000 {
		x := tokens[r.IntN(len(tokens))]
		key := fmt.Sprintf("k%d/%d", r.IntN(6), r.IntN(20))
		value := fmt.Sprintf("value-%d-%x", i, r.Uint64())
		values = append(values, value)
		switch encoded := base64.StdEncoding.EncodeToString([]byte(value)); r.IntN(12) {
		case 0, 1, 2:
			g.as(t, x, http.MethodPut, "/v1/kv/"+key, value)
		case 3:
			ask(t, g.Server, http.MethodPut, "/v1/kv/"+key+"?token="+x.secret, value)
		case 4:
			ask(t, g.Server, http.MethodGet, "/v1/kv/"+key, "", "Authorization", "Bearer "+x.secret)
		case 5:
			g.as(t, x, http.MethodPut, "/v1/txn", `[{"KV":{"Verb":"set","Key":"`+key+`","Value":"`+encoded+`"}},{"KV":{"Verb":"get","Key":"`+key+`"}}]`)
		case 6:
			g.as(t, x, http.MethodDelete, "/v1/kv/"+key+"?recurse", "")
		case 7:
			w := g.as(t, x, http.MethodPut, "/v1/acl/token", `{"Description":"`+value+`"}`)
			var made struct{ SecretID string }
			if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || made.SecretID == "" {
				t.Fatalf("%v: %d %s", err, w.Code, w.Body)
			}
			secrets = append(secrets, made.SecretID)
		case 8:
			g.as(t, x, http.MethodPut, "/v1/session/create", `{"Name":"`+value+`"}`)
		case 9:
			g.as(t, x, http.MethodPut, "/v1/event/fire/"+key, value)
		case 10:
			g.as(t, x, http.MethodGet, "/v1/acl/token/"+x.secret, "")
		case 11:
			unknown := newID(t)
			secrets = append(secrets, unknown)
			g.as(t, testToken{secret: unknown}, http.MethodPut, "/v1/kv/"+key, value)
		}
	}
	cancel()
	running.Wait()

	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "audit-*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	files = append(files, path)
	report, err := audit.Verify(files...)
	if err != nil {
		t.Fatal(err)
	}
	if figures := log.Figures(); report.Lines < 700 || report.Lines != figures.Lines || figures.Lost > 0 {
		t.Errorf("%+v, %+v", report, figures)
	}
	kinds := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var e audit.Event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			kinds[e.Kind]++
		}
		for _, s := range secrets {
			if bytes.Contains(text, []byte(s)) {
				t.Fatalf("%s has the secret %s", file, s)
			}
		}
		for _, v := range values {
			if bytes.Contains(text, []byte(v)) || bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString([]byte(v)))) {
				t.Fatalf("%s has the value %s", file, v)
			}
		}
	}
	for _, kind := range []string{"write", "admin", "read", "denied", "file"} {
		if kinds[kind] == 0 {
			t.Errorf("no line is of kind %s: %v", kind, kinds)
		}
	}
	if (kinds["intent"] > 0) != refuse {
		t.Errorf("%v", kinds)
	}
	breakOneLine(t, r, files)
}

// breakOneLine takes one line out of the files, and changes one, and wants to hear of
// both.
func breakOneLine(t *testing.T, r *rand.Rand, files []string) {
	t.Helper()
	for _, edit := range []func(line []byte) []byte{
		func([]byte) []byte { return nil },
		func(line []byte) []byte {
			return bytes.Replace(line, []byte(`"event":"`), []byte(`"event":"x`), 1)
		},
	} {
		var file string
		var whole []byte
		var lines [][]byte
		for len(lines) < 3 { // a file may have been begun just before the end
			file = files[r.IntN(len(files)-1)]
			var err error
			if whole, err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
			lines = slices.Collect(bytes.Lines(whole))
		}
		i := 1 + r.IntN(len(lines)-2)
		lines[i] = edit(lines[i])
		if err := os.WriteFile(file, bytes.Join(lines, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		var fault *audit.Fault
		if _, err := audit.Verify(files...); !errors.As(err, &fault) || fault.File != file || fault.Line != i+1 {
			t.Errorf("line %d of %s is another: %v", i+1, file, err)
		}
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
