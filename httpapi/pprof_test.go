package httpapi

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestProfilesAreThereWhenTheConfigurationSaysSo(t *testing.T) {
	for _, tc := range []struct {
		rule, target string
		debug        bool
		status       int
		body         string // a part of it
	}{
		{"off", "/debug/pprof/", false, 404, "Invalid URL path"},
		{"off, below", "/debug/pprof/heap", false, 404, "Invalid URL path"},
		{"the list", "/debug/pprof/", true, 200, "goroutine"},
		{"one profile", "/debug/pprof/goroutine?debug=1", true, 200, "goroutine profile: total"},
		{"one that does not exist", "/debug/pprof/nothing", true, 404, "Unknown profile"},
		{"without the slash", "/debug/pprof", true, 307, ""},
		{"the name of the program", "/debug/pprof/cmdline", true, 200, os.Args[0]},
		{"symbols", "/debug/pprof/symbol", true, 200, "num_symbols"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			s := newAgentServer(t, &fakeAgent{})
			settings := testSettings()
			settings.EnableDebug = tc.debug
			s.Configure(settings)
			w := ask(t, s, http.MethodGet, tc.target, "")
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.body) {
				t.Errorf("%d %q, want %d with %q", w.Code, w.Body.String(), tc.status, tc.body)
			}
		})
	}
}

func TestArgumentsOfTheProcessAreNotShown(t *testing.T) {
	s := newAgentServer(t, &fakeAgent{})
	settings := testSettings()
	settings.EnableDebug = true
	s.Configure(settings)
	w := ask(t, s, http.MethodGet, "/debug/pprof/cmdline", "")
	if got := w.Body.String(); got != os.Args[0] {
		t.Errorf("got %q: an argument may be a secret", got)
	}
}

func TestProfileEndsWhenTheServerStops(t *testing.T) {
	s := newAgentServer(t, &fakeAgent{})
	settings := testSettings()
	settings.EnableDebug = true
	s.Configure(settings)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/pprof/trace?seconds=3600", nil))
	}()
	s.Drain()
	<-done
}
