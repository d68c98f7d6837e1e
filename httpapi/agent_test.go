package httpapi

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// fakeAgent is a server process that tells what a test wants.
type fakeAgent struct {
	reload  error
	checks  []Check
	tail    *fakeTail
	metrics *fakeMetrics
}

func (f *fakeAgent) Self() Self {
	return Self{
		Config:      SelfConfig{Datacenter: "dc1", NodeName: "node-1", Server: true, SessionTTLMin: 10e9},
		DebugConfig: map[string]any{"SessionTTLMin": "10s"}, Member: f.Members(false)[0],
		Stats: map[string]map[string]string{"consul": {"server": "true"}}, Meta: map[string]string{},
	}
}

func (f *fakeAgent) Members(wan bool) []Member {
	m := Member{Name: "node-1", Addr: "127.0.0.1", Port: 8301, Tags: map[string]string{"role": "consul", "dc": "dc1"}, Status: MemberAlive}
	if wan {
		m.Name = "node-1.dc1"
	}
	return []Member{m}
}

func (f *fakeAgent) CatalogNode() CatalogNode {
	return CatalogNode{
		ID: "id-1", Node: "node-1", Address: "127.0.0.1", Datacenter: "dc1",
		TaggedAddresses: map[string]string{"lan": "127.0.0.1"}, Meta: map[string]string{"rack": "7", "consul-network-segment": ""},
	}
}

func (f *fakeAgent) Host() any { return map[string]any{"Errors": nil} }

func (f *fakeAgent) ReloadConfig() (string, error) {
	if f.reload != nil {
		return "", f.reload
	}
	return `changed: log_level from "INFO" to "DEBUG"`, nil
}

func (f *fakeAgent) Checks() []Check { return f.checks }

func (f *fakeAgent) TailLog(level hclog.Level, asJSON bool) LogTail {
	f.tail.opened(level, asJSON)
	return f.tail
}

func (f *fakeAgent) Metrics() Metrics { return f.metrics }

// fakeTail is a log whose lines a test writes.
type fakeTail struct {
	ready chan struct{}

	mu     sync.Mutex
	lines  []byte
	level  hclog.Level
	asJSON bool
	open   int
}

func newFakeTail() *fakeTail { return &fakeTail{ready: make(chan struct{}, 1)} }

func (f *fakeTail) opened(level hclog.Level, asJSON bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.level, f.asJSON = level, asJSON
	f.open++
}

func (f *fakeTail) log(line string) {
	f.mu.Lock()
	f.lines = append(f.lines, line...)
	f.mu.Unlock()
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

func (f *fakeTail) Ready() <-chan struct{} { return f.ready }

func (f *fakeTail) Take() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := f.lines
	f.lines = nil
	return lines
}

func (f *fakeTail) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
}

func (f *fakeTail) openCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

// fakeMetrics has one interval after the other when a test says so.
type fakeMetrics struct {
	mu   sync.Mutex
	next chan struct{}
	n    int
}

func newFakeMetrics() *fakeMetrics { return &fakeMetrics{next: make(chan struct{})} }

func (f *fakeMetrics) complete() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	close(f.next)
	f.next = make(chan struct{})
}

func (f *fakeMetrics) Interval() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []byte(`{"Timestamp":"` + strings.Repeat("i", f.n) + `"}`)
}

func (f *fakeMetrics) Next() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

func (f *fakeMetrics) WriteText(w io.Writer, openMetrics bool) error {
	text := "# TYPE holdfast_x gauge\nholdfast_x 1\n"
	if openMetrics {
		text += "# EOF\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// newAgentServer returns a server that stands for an agent.
func newAgentServer(t testing.TB, f *fakeAgent) *Server {
	if f.tail == nil {
		f.tail = newFakeTail()
	}
	if f.metrics == nil {
		f.metrics = newFakeMetrics()
	}
	return New(Options{Node: newLocalNode(t), Agent: f, Log: hclog.NewNullLogger(), Datacenter: "dc1"}, testSettings())
}

func TestAgentAnswers(t *testing.T) {
	const member = `{"Name":"node-1","Addr":"127.0.0.1","Port":8301,"Tags":{"dc":"dc1","role":"consul"},"Status":1,"ProtocolMin":0,"ProtocolMax":0,"ProtocolCur":0,"DelegateMin":0,"DelegateMax":0,"DelegateCur":0}`
	for _, tc := range []struct {
		rule, method, target string
		status               int
		body                 string // exact, or the beginning when it ends in "…"
	}{
		{
			"self has its parts in the order of the contract, without coordinates", http.MethodGet, "/v1/agent/self", 200,
			`{"Config":{"Datacenter":"dc1","PrimaryDatacenter":"","NodeName":"node-1","NodeID":"","Revision":"","Server":true,"Version":"","BuildDate":"","SessionTTLMin":10000000000},` +
				`"DebugConfig":{"SessionTTLMin":"10s"},"Coord":null,"Member":` + member + `,"Stats":{"consul":{"server":"true"}},"Meta":{}}`,
		},
		{"version names this build", http.MethodGet, "/v1/agent/version", 200, `{"SHA":"` + Revision() + `","BuildDate":"…`},
		{"host is an object", http.MethodGet, "/v1/agent/host", 200, `{"Errors":null}`},
		{"members is a list", http.MethodGet, "/v1/agent/members", 200, "[" + member + "]"},
		{"consistency parameters are not looked at", http.MethodGet, "/v1/agent/members?stale&consistent&index=x", 200, "[" + member + "]"},
		{"the names across datacenters", http.MethodGet, "/v1/agent/members?wan=1", 200, `[{"Name":"node-1.dc1"…`},
		{"an empty wan is none", http.MethodGet, "/v1/agent/members?wan=", 200, `[{"Name":"node-1",…`},
		{"all segments are one", http.MethodGet, "/v1/agent/members?segment=_all", 200, "[" + member + "]"},
		{"another segment does not exist", http.MethodGet, "/v1/agent/members?segment=x", 500, "Network segments are not supported in this version of Consul"},
		{"a segment has no meaning across datacenters", http.MethodGet, "/v1/agent/members?wan=1&segment=x", 400, "Cannot provide a segment with wan=true"},
		{"a filter keeps what it is true of", http.MethodGet, "/v1/agent/members?filter=Name%3D%3D%22node-1%22+and+Tags.role%3D%3Dconsul", 200, "[" + member + "]"},
		{"a filter may keep nothing", http.MethodGet, "/v1/agent/members?filter=Name%3D%3D%22zz%22", 200, "[]"},
		{"a bad filter is the server's word", http.MethodGet, "/v1/agent/members?filter=garbage", 500, "Failed to create boolean expression evaluator: 1:8…"},
		{"reload answers with nothing", http.MethodPut, "/v1/agent/reload", 200, ""},
		{"reload is a PUT", http.MethodGet, "/v1/agent/reload", 405, "method GET not allowed"},
		{"the root says how to begin", http.MethodGet, "/", 200, "Holdfast …"},
		{"the root is only itself", http.MethodGet, "/other", 404, "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n"},
		{"the root takes no writes", http.MethodPut, "/", 405, "method PUT not allowed"},
		{"an unknown method is like another", "FOO", "/v1/agent/self", 405, "method FOO not allowed"},
		{"and finds nothing where nothing is", "FOO", "/v1/nothing", 404, "Invalid URL path: not a recognized HTTP API endpoint\n"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := ask(t, newAgentServer(t, &fakeAgent{}), tc.method, tc.target, "")
			got := w.Body.String()
			want, prefix := strings.CutSuffix(tc.body, "…")
			if w.Code != tc.status || got != want && !(prefix && strings.HasPrefix(got, want)) {
				t.Errorf("%s %s: %d\n%s\nwant %d\n%s", tc.method, tc.target, w.Code, got, tc.status, tc.body)
			}
		})
	}
}

func TestReloadSaysWhatChangedInAHeader(t *testing.T) {
	w := ask(t, newAgentServer(t, &fakeAgent{}), http.MethodPut, "/v1/agent/reload", "")
	if got := w.Header().Get("X-Holdfast-Reload"); got != `changed: log_level from "INFO" to "DEBUG"` {
		t.Errorf("header is %q", got)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("content type is %q", got)
	}
}

func TestReloadThatIsRefusedNamesEveryFault(t *testing.T) {
	w := ask(t, newAgentServer(t, &fakeAgent{reload: errors.New("a.hcl:1: x: y\nb.hcl:2: z")}), http.MethodPut, "/v1/agent/reload", "")
	if got := w.Body.String(); w.Code != 500 || !strings.Contains(got, "a.hcl:1: x: y\nb.hcl:2: z") || !strings.Contains(got, "the old one stays in use") {
		t.Errorf("%d %q", w.Code, got)
	}
	if w.Header().Get("X-Holdfast-Reload") != "" {
		t.Error("a refused reload says that something changed")
	}
}
