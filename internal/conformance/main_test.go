package conformance

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/hashicorp/consul/api"
	"go.uber.org/goleak"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(holderEnv); addr != "" {
		hold(addr)
	}
	// Tests of sessions wait more than they work, so more of them run at a time than
	// there are processors; -parallel still says otherwise.
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		panic(err) // there is no such flag any more
	}
	goleak.VerifyTestMain(m)
}

// client returns Consul's client for a server.
func client(t *testing.T, s *testcluster.Server) *api.Client {
	t.Helper()
	c, err := newClient(s.Addr())
	must(t, err)
	return c
}

func newClient(addr string) (*api.Client, error) {
	config := api.DefaultNonPooledConfig()
	config.Address = addr
	return api.NewClient(config)
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
