package agent

import (
	"net/http"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape reads the metrics of a server as Prometheus does.
func (m *inMemory) scrape(t *testing.T, headers ...string) map[string]*dto.MetricFamily {
	t.Helper()
	status, header, body := m.ask(t, http.MethodGet, "/v1/agent/metrics?format=prometheus", "", headers...)
	if status != 200 || header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Fatalf("%d %s", status, header.Get("Content-Type"))
	}
	return familiesOf(t, body)
}

func familiesOf(t *testing.T, body string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value returns the figure of one series.
func value(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	for _, s := range families[name].GetMetric() {
		if !hasLabels(s, labels) {
			continue
		}
		if h := s.GetHistogram(); h != nil {
			return float64(h.GetSampleCount())
		}
		return s.GetGauge().GetValue() + s.GetCounter().GetValue()
	}
	t.Fatalf("no series %s %v", name, labels)
	return 0
}

func hasLabels(s *dto.Metric, labels []string) bool {
	have := map[string]string{}
	for _, l := range s.GetLabel() {
		have[l.GetName()] = l.GetValue()
	}
	for i := 0; i+1 < len(labels); i += 2 {
		if have[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

func TestMetricsFollowTheServer(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	before := m.scrape(t)
	series := func(f map[string]*dto.MetricFamily) int {
		n := 0
		for name, family := range f {
			if strings.HasPrefix(name, "holdfast_") {
				n += len(family.GetMetric())
			}
		}
		return n
	}
	m.ask(t, http.MethodPut, "/v1/kv/app/secret-name", "1", "X-Consul-Token", "secret-token")
	m.ask(t, http.MethodPut, "/v1/kv/app/secret-name", "22")
	m.ask(t, http.MethodPut, "/v1/kv/app/gone", "1")
	m.ask(t, http.MethodDelete, "/v1/kv/app/gone", "")
	m.ask(t, http.MethodGet, "/v1/kv/app/none", "")
	m.ask(t, http.MethodGet, "/secret-path", "")
	m.ask(t, http.MethodPut, "/v1/session/create", `{"Name":"secret-session"}`)
	m.ask(t, http.MethodGet, "/v1/session/node/node-1?index=1000&wait=1ms", "")
	after := m.scrape(t)

	if b, a := series(before), series(after); a != b {
		t.Errorf("%d series at the start, %d later: all must be there from the start", b, a)
	}
	for _, tc := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"holdfast_http_requests_total", []string{"route", "/v1/kv/", "code", "2xx"}, 4},
		{"holdfast_http_requests_total", []string{"route", "/v1/kv/", "code", "4xx"}, 1},
		{"holdfast_http_requests_total", []string{"route", "/v1/txn", "code", "5xx"}, 0},
		{"holdfast_http_request_duration_seconds", []string{"route", "/v1/kv/"}, 5},
		{"holdfast_http_requests_total", []string{"route", "none", "code", "4xx"}, 1},
		{"holdfast_http_wakeups_total", []string{"result", "changed"}, 0},
		{"holdfast_http_wakeups_total", []string{"result", "unchanged"}, 0},
		{"holdfast_http_wakeups_total", []string{"result", "timeout"}, 1},
		{"holdfast_http_too_many_total", []string{"cause", "connections"}, 0},
		{"holdfast_http_too_many_total", []string{"cause", "auth_failures"}, 0},
		{"holdfast_acl_denials_total", []string{"right", "key:write"}, 0},
		{"holdfast_acl_denials_total", []string{"right", "unknown_token"}, 0},
		{"holdfast_acl_logins_total", []string{"result", "refused"}, 0},
		{"holdfast_store_sessions", nil, 1},
		{"holdfast_raft_log_write_seconds", nil, 0},
		{"holdfast_snapshot_age_seconds", nil, 0},
		{"holdfast_snapshot_index", nil, 0},
		{"holdfast_http_parked_queries", nil, 0},
		{"holdfast_http_streams", nil, 0},
		{"holdfast_store_keys", nil, 1},
		{"holdfast_store_tombstones", nil, 1},
		{"holdfast_history_versions", nil, 2},
		{"holdfast_history_max_bytes", nil, 256 << 20},
		{"holdfast_raft_state", []string{"state", "Leader"}, 1},
		{"holdfast_raft_state", []string{"state", "Follower"}, 0},
		{"holdfast_raft_leader_known", nil, 1},
		{"holdfast_disk_read_only", nil, 0},
		{"holdfast_config_reloads_total", []string{"result", "failed"}, 0},
		{"holdfast_log_streams", nil, 0},
		{"holdfast_build_info", nil, 1},
	} {
		if got := value(t, after, tc.name, tc.labels...); got != tc.want {
			t.Errorf("%s %v = %v, want %v", tc.name, tc.labels, got, tc.want)
		}
	}
	if got := value(t, after, "holdfast_raft_apply_total") - value(t, before, "holdfast_raft_apply_total"); got < 4 {
		t.Errorf("raft counted %v commands, want at least 4", got)
	}
	for _, name := range []string{"holdfast_store_bytes", "holdfast_history_bytes", "holdfast_store_index", "holdfast_store_applied_index", "holdfast_raft_term", "holdfast_raft_commit_index", "holdfast_http_connections", "go_goroutines"} {
		if got := value(t, after, name); got <= 0 {
			t.Errorf("%s = %v, want more than 0", name, got)
		}
	}
	_, _, text := m.ask(t, http.MethodGet, "/metrics", "")
	if strings.Contains(text, "secret-") {
		t.Error("a key or a token is a label")
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	m, _ := startInMemory(t, Options{})
	for name, f := range m.scrape(t) {
		if !strings.HasPrefix(name, "holdfast_") {
			if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
				t.Errorf("%s has no prefix that is ours", name)
			}
			continue
		}
		if !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s: help %q is no sentence", name, f.GetHelp())
		}
		if strings.HasSuffix(name, "_total") != (f.GetType() == dto.MetricType_COUNTER) {
			t.Errorf("%s is a %s: counters end in _total and nothing else does", name, f.GetType())
		}
		for _, unit := range []string{"_ms", "_millis", "_minutes", "_kb", "_kib", "_mb", "_percent"} {
			if strings.Contains(name, unit+"_") || strings.HasSuffix(name, unit) {
				t.Errorf("%s: units are seconds, bytes and ratios", name)
			}
		}
	}
}

func TestMetricsOfAServerThatIsClosedCanBeRead(t *testing.T) {
	m, stop := startInMemory(t, Options{})
	stop()
	var text strings.Builder
	if err := m.Metrics().WriteText(&text, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), `holdfast_raft_state{state="Shutdown"} 1`) {
		t.Error("the state is not told")
	}
}
