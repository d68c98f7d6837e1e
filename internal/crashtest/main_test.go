package crashtest

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(watcherEnv); addr != "" {
		watch(addr)
	}
	goleak.VerifyTestMain(m)
}
