package cmd

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain takes away what the environment of whoever runs the tests says to the
// commands, and checks that no test leaves a goroutine behind.
func TestMain(m *testing.M) {
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		for _, prefix := range []string{"HOLDFAST_", "CONSUL_", "CLICOLOR", "NO_COLOR"} {
			if strings.HasPrefix(name, prefix) {
				_ = os.Unsetenv(name) // it cannot fail for a name that is set
			}
		}
	}
	goleak.VerifyTestMain(m)
}
