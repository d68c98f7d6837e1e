package agent

import (
	"errors"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/datadir"
)

// fill sets every field below v to something that no default is.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.String:
		v.SetString("ERROR")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(4242)
	case reflect.Uint64:
		v.SetUint(4242)
	case reflect.Slice:
		if v.Type().Elem() == reflect.TypeFor[netip.Prefix]() {
			v.Set(reflect.ValueOf([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}))
		} else {
			v.Set(reflect.ValueOf([]string{"/x"}))
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"A": "b"}))
	default:
		t.Fatalf("a setting of kind %s: teach this test", v.Kind())
	}
}

func TestAllThatIsReloadableIsTakenOver(t *testing.T) {
	var r config.Reloadable
	fill(t, reflect.ValueOf(&r).Elem())
	old := testConfig()
	next := withReloadable(old, r)
	if diff := cmp.Diff(r, next.Reloadable(), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("withReloadable forgets (-want +got):\n%s", diff)
	}
	if changed, _ := config.Diff(old, testConfig()); changed != nil {
		t.Errorf("the running configuration was changed: %v", changed)
	}
	if _, restart := config.Diff(old, next); restart != nil {
		t.Errorf("what needs a restart was taken over: %v", restart)
	}
}

func TestReloadTakesOverWhatMayChange(t *testing.T) {
	next := testConfig()
	m, _ := startInMemory(t, Options{Reload: func() (*config.Loaded, error) {
		return &config.Loaded{Config: next, Warnings: []string{"mind the gap"}}, nil
	}})
	next.Log.Level = "TRACE"
	next.HTTP.ResponseHeaders = map[string]string{"X-Test": "yes"}
	next.HTTP.BlockEndpoints = []string{"/v1/agent/host"}
	next.Limits.KVMaxValueSize = 4
	next.Limits.HTTPMaxConnsPerClient = 7
	next.History.Versions = 3
	next.SessionTTLGrace = 3 * time.Second
	next.Raft.SnapshotThreshold, next.Raft.TrailingLogs = 77, 88
	next.Ports.Server = 9999
	next.Datacenter = "dc2"

	status, header, body := m.ask(t, http.MethodPut, "/v1/agent/reload", "")
	if status != 200 || body != "" {
		t.Fatalf("%d %q", status, body)
	}
	summary := header.Get("X-Holdfast-Reload")
	for _, want := range []string{
		"changed: ", `log_level from "INFO" to "TRACE"`, `history.versions from "64" to "3"`,
		"; needs a restart: ", `datacenter from "dc1" to "dc2"`, `ports.server from "8300" to "9999"`,
	} {
		if !strings.Contains(summary, want) {
			t.Errorf("summary %q lacks %q", summary, want)
		}
	}
	for _, want := range []string{"mind the gap", "setting changed: name=log_level", "setting is changed after a restart only: name=datacenter", "configuration reloaded"} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, m.log)
		}
	}

	m.logs.Named("test").Trace("now it is seen")
	if !strings.Contains(m.log.String(), "now it is seen") {
		t.Error("the log level is not in force")
	}
	if status, header, _ := m.ask(t, http.MethodPut, "/v1/kv/x", "12345"); status != 413 || header.Get("X-Test") != "yes" {
		t.Errorf("%d, headers %v: limit and headers are not in force", status, header)
	}
	if status, _, _ := m.ask(t, http.MethodGet, "/v1/agent/host", ""); status != 403 {
		t.Errorf("%d: the blocked path is not in force", status)
	}
	if _, _, body := m.ask(t, http.MethodPut, "/v1/session/create", `{"TTL":"10s"}`); !strings.Contains(body, "ID") {
		t.Errorf("create a session: %s", body)
	}
	if _, _, body := m.ask(t, http.MethodGet, "/v1/session/list", ""); !strings.Contains(body, `"Grace":"3s"`) {
		t.Errorf("sessions %s: the grace is not in force", body)
	}
	m.conns.mu.Lock()
	most := m.conns.most
	m.conns.mu.Unlock()
	if most != 7 {
		t.Errorf("bound on connections is %d", most)
	}
	if got := m.raft.ReloadableConfig(); got.SnapshotThreshold != 77 || got.TrailingLogs != 88 || got.HeartbeatTimeout != soleTimeout {
		t.Errorf("raft has %+v", got)
	}
	if got := m.config(); got.History.Versions != 3 || got.Datacenter != "dc1" || got.Ports.Server != 8300 {
		t.Errorf("in use are %d versions, datacenter %s, port %d", got.History.Versions, got.Datacenter, got.Ports.Server)
	}

	if summary, err := m.ReloadConfig(); err != nil || strings.HasPrefix(summary, "changed") || !strings.Contains(summary, "needs a restart: ") {
		t.Errorf("again: %q, %v", summary, err)
	}
	if got := m.reloads.done.Load(); got != 2 {
		t.Errorf("%d reloads counted", got)
	}
}

func TestReloadChangesTheBoundOfTheDisk(t *testing.T) {
	next := testConfig()
	next.Disk.MinFree = 100
	m := newInMemory(t, Options{Reload: func() (*config.Loaded, error) { return &config.Loaded{Config: next}, nil }})
	t.Cleanup(func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	})
	m.space = datadir.NewSpace("/data", 10, func(string) (uint64, error) { return 50, nil })
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, low, err := m.space.Check(); err != nil || !low {
		t.Errorf("50 bytes are enough: %v", err)
	}
}

func TestReloadThatFailsChangesNothing(t *testing.T) {
	faults := config.Faults{{Where: "a.hcl:1", Key: "log_level", Why: "want INFO"}, {Where: "b.hcl:2", Why: "there is no such setting"}}
	bad := testConfig()
	bad.Log.Level, bad.Limits.KVMaxValueSize, bad.Raft.SnapshotInterval = "ERROR", 4, time.Nanosecond
	for _, tc := range []struct {
		rule   string
		reload func() (*config.Loaded, error)
		texts  []string
	}{
		{"the configuration is wrong", func() (*config.Loaded, error) { return nil, faults }, []string{"a.hcl:1: log_level: want INFO\n", "b.hcl:2: there is no such setting"}},
		{"a part refuses its settings", func() (*config.Loaded, error) { return &config.Loaded{Config: bad}, nil }, []string{"raft refuses its settings"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			m, _ := startInMemory(t, Options{Reload: tc.reload})
			before := m.config()
			status, _, body := m.ask(t, http.MethodPut, "/v1/agent/reload", "")
			if status != 500 {
				t.Errorf("status is %d", status)
			}
			for _, want := range tc.texts {
				if !strings.Contains(body, want) {
					t.Errorf("answer %q lacks %q", body, want)
				}
			}
			if m.config() != before || m.logs.root.GetLevel() != hclog.Debug {
				t.Error("the configuration in use has changed")
			}
			if status, _, body := m.ask(t, http.MethodPut, "/v1/kv/x", "12345"); status != 200 {
				t.Errorf("%d %s: the old limit is not in force", status, body)
			}
			if !m.reloads.lastFailed.Load() || m.reloads.failed.Load() != 1 || m.reloads.done.Load() != 0 {
				t.Error("the failure is not counted")
			}
		})
	}
}

func TestReloadWithoutASourceChangesNothing(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	if summary, err := m.ReloadConfig(); err != nil || summary != "nothing changed" {
		t.Errorf("%q, %v", summary, err)
	}
}

func TestReloadsComeOneAfterTheOther(t *testing.T) {
	var mu sync.Mutex
	under, most, calls := 0, 0, 0
	m, _ := startInMemory(t, Options{Reload: func() (*config.Loaded, error) {
		mu.Lock()
		under++
		calls++
		most = max(most, under)
		n := calls
		mu.Unlock()
		defer func() {
			mu.Lock()
			under--
			mu.Unlock()
		}()
		cfg := testConfig()
		cfg.History.Versions = n
		if n%3 == 0 {
			return nil, errors.New("not now")
		}
		return &config.Loaded{Config: cfg}, nil
	}})
	var wait sync.WaitGroup
	for range 12 {
		wait.Go(func() { _ = m.Reload() })
	}
	wait.Wait()
	if most != 1 || calls != 12 {
		t.Errorf("%d reloads, up to %d at once", calls, most)
	}
	if m.reloads.done.Load() != 8 || m.reloads.failed.Load() != 4 {
		t.Errorf("%d done, %d failed", m.reloads.done.Load(), m.reloads.failed.Load())
	}
}

func TestSummarize(t *testing.T) {
	many := make([]config.Change, summaryChanges+3)
	for i := range many {
		many[i] = config.Change{Name: "x", Old: strings.Repeat("o", 500), New: "n"}
	}
	for _, tc := range []struct {
		rule                 string
		changed, needRestart []config.Change
		want                 string // exact, or the end after "…"
	}{
		{"nothing", nil, nil, "nothing changed"},
		{"a change", []config.Change{{Name: "a", Old: "1", New: "2"}}, nil, `changed: a from "1" to "2"`},
		{"both kinds", []config.Change{{Name: "a", Old: "", New: "2"}}, []config.Change{{Name: "b", Old: "x", New: "y"}}, `changed: a from "" to "2"; needs a restart: b from "x" to "y"`},
		{"what a header cannot hold", []config.Change{{Name: "a", Old: "ü\r\nX: y", New: `"`}}, nil, `changed: a from "\u00fc\r\nX: y" to "\""`},
		{"too many", many, nil, `…, and 3 more`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			got := summarize(tc.changed, tc.needRestart)
			if end, ok := strings.CutPrefix(tc.want, "…"); ok && !strings.HasSuffix(got, end) || !ok && got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if len(got) > 4096 {
				t.Errorf("%d bytes are much for a header", len(got))
			}
		})
	}
}

func TestSettingsInUseTellTheirOwnStory(t *testing.T) {
	running := []config.Setting{{Name: "a", Value: "1", Reloadable: true}, {Name: "b", Value: "1"}}
	loaded := []config.Setting{{Name: "a", Value: "2", Reloadable: true}, {Name: "b", Value: "2"}}
	want := []config.Setting{{Name: "a", Value: "2", Reloadable: true}, {Name: "b", Value: "1"}}
	if diff := cmp.Diff(want, mergeSettings(running, loaded)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
