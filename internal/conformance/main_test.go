package conformance

import (
	"testing"

	"github.com/hashicorp/consul/api"
	"go.uber.org/goleak"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client returns Consul's client for a server.
func client(t *testing.T, s *testcluster.Server) *api.Client {
	t.Helper()
	config := api.DefaultNonPooledConfig()
	config.Address = s.Addr()
	c, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
