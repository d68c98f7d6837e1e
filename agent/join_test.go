package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/gossip"
)

func TestAddressesToJoin(t *testing.T) {
	for _, tc := range []struct {
		rule string
		port int // of this server's gossip
		in   []string
		want []string // nil: an error
	}{
		{"an address with a port is taken as it is", 9000, []string{"10.0.0.1:7"}, []string{"10.0.0.1:7"}},
		{"one without gets the port of this server's gossip", 9000, []string{"10.0.0.1", "name"}, []string{"10.0.0.1:9000", "name:9000"}},
		{"or the usual one", 0, []string{"10.0.0.1"}, []string{"10.0.0.1:8301"}},
		{"also of IPv6", 9000, []string{"::1", "[::1]", "[::1]:7"}, []string{"[::1]:9000", "[::1]:9000", "[::1]:7"}},
		{"several in one", 9000, []string{" a b:1 "}, []string{"a:9000", "b:1"}},
		{"a template is worked out", 9000, []string{`{{ "10.0.0.1 10.0.0.2" }}`}, []string{"10.0.0.1:9000", "10.0.0.2:9000"}},
		{"a broken one is an error", 9000, []string{"{{ nothing }}"}, nil},
		{"none are none", 9000, []string{""}, []string{}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			a := &Agent{}
			cfg := config.Default()
			cfg.Ports.SerfLAN = tc.port
			a.loaded.Store(&config.Loaded{Config: cfg})
			got, err := a.joinAddresses(tc.in)
			if (err != nil) != (tc.want == nil) || !slices.Equal(got, tc.want) {
				t.Errorf("%q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

// TestToJoinNobodyIsAnError: an address that names nobody is not one that was joined, and
// nobody makes the server work out a template by a request.
func TestToJoinNobodyIsAnError(t *testing.T) {
	a := &Agent{gossip: &gossip.Gossip{}}
	a.loaded.Store(&config.Loaded{Config: config.Default()})
	for _, address := range []string{"", "  ", `{{ "" }}`, `{{ printf "%999999999d" 1 }}`} {
		want := "1 error occurred:\n\t* Failed to join " + address + ": it is no address\n\n"
		if err := a.Join(t.Context(), address); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
}

func TestFirstRetriesComeQuickly(t *testing.T) {
	for try, want := range map[int]time.Duration{
		1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 4: 800 * time.Millisecond, 11: 102400 * time.Millisecond,
		12: 102400 * time.Millisecond, 1 << 40: 102400 * time.Millisecond,
	} {
		if got := firstRetries(try); got != want {
			t.Errorf("try %d: %s, want %s", try, got, want)
		}
	}
}
