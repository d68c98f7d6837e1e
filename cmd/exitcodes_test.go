package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/api"
)

func TestExitCodes(t *testing.T) {
	status := func(code int, body string) error {
		return fmt.Errorf("get: %w", &api.StatusError{Code: code, Body: body})
	}
	conn := func(err error) error { return &api.ConnectionError{Err: err} }
	for _, tc := range []struct {
		rule string
		err  error
		want int
	}{
		{"no error", nil, 0},
		{"any other error", errors.New("x"), 1},
		{"a server's fault", status(500, "boom"), 1},
		{"the command line", fmt.Errorf("x: %w", usagef("no")), 2},
		{"a missing key", fmt.Errorf("x: %w", api.ErrNotFound), 3},
		{"a revision that is gone", status(410, ""), 3},
		{"403", status(403, ""), 4},
		{"401", status(401, ""), 4},
		{"a missing session", fmt.Errorf("x: %w", api.ErrNoSession), 3},
		{"a lock that is held", &heldError{err: &api.HeldError{}}, 5},
		{"a write that is fenced off", fmt.Errorf("x: %w", api.ErrFenced), 5},
		{"a lock that was lost, by whatever", fmt.Errorf("%w: %w", api.ErrLost, conn(context.Canceled)), 1},
		{"a child's own code", &childError{code: 42}, 42},
		{"a lost race", &plainError{err: errLostRace}, 5},
		{"no leader", status(500, "rpc error making call: No cluster leader"), 6},
		{"not ready", status(503, ""), 6},
		{"nobody listens", conn(errors.New("refused")), 6},
		{"the command's own time is over", conn(context.DeadlineExceeded), 7},
		{"the network's time is over", conn(os.ErrDeadlineExceeded), 7},
		{"a proxy's time is over", status(504, ""), 7},
		{"a signal", conn(context.Canceled), 130},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			if got := exitCode(tc.err); got != tc.want {
				t.Errorf("exitCode(%v) = %d, want %d", tc.err, got, tc.want)
			}
		})
	}
}

func TestEveryCodeThatACommandNamesIsInTheTable(t *testing.T) {
	known := map[string]bool{}
	for _, row := range exitCodes {
		known[fmt.Sprint(row.code)] = true
	}
	for _, c := range leaves(newRoot()) {
		for word := range strings.FieldsSeq(c.Annotations[exitsAnnotation]) {
			if !known[word] {
				t.Errorf("%s names exit code %s", c.CommandPath(), word)
			}
		}
	}
}
