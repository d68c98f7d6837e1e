package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// Exit codes of every verb. They are part of the command line's promise: a number
// keeps its meaning.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitLostRace    = 5
	exitUnreachable = 6
	exitTimeout     = 7
	exitInterrupted = 130
)

// exitCodes is the table that users read.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitDone, "done"},
	{exitFailed, "failed, for a reason that no other code names"},
	{exitUsage, "the command line is wrong: unknown command or flag, missing or bad argument"},
	{exitNotFound, "not found: the key, session, token, policy or the like, or its state at the revision or time asked for"},
	{exitDenied, "not authorised: the token may not do this"},
	{exitLostRace, "lost the race: check-and-set failed, the lock is held, the transaction was rolled back"},
	{exitUnreachable, "no leader, or the server cannot be reached"},
	{exitTimeout, "timed out"},
	{exitInterrupted, "interrupted by a signal"},
}

// errLostRace marks a write whose condition was not met.
var errLostRace = errors.New("lost the race")

// exitCode decides the code of an error. What was asked for wrongly comes before
// what the server said, and a signal before what it broke.
func exitCode(err error) int {
	var (
		usage   *usageError
		status  *api.StatusError
		timeout net.Error
		child   *childError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &child):
		return child.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, api.ErrLost):
		return exitFailed // whatever it was lost by
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, api.ErrNotFound), errors.Is(err, api.ErrNoSession), errors.Is(err, api.ErrPruned), isNotFound(err):
		return exitNotFound
	case errors.Is(err, api.ErrDenied):
		return exitDenied
	case errors.Is(err, errLostRace), errors.Is(err, api.ErrHeld), errors.Is(err, api.ErrFenced):
		return exitLostRace
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.As(err, &timeout) && timeout.Timeout():
		return exitTimeout
	case errors.Is(err, api.ErrNoLeader), errors.Is(err, api.ErrUnreachable):
		return exitUnreachable
	case errors.As(err, &status) && status.Code == http.StatusServiceUnavailable:
		return exitUnreachable
	case errors.As(err, &status) && status.Code == http.StatusGatewayTimeout:
		return exitTimeout
	}
	return exitFailed
}

// newExitCodesTopic is "holdfast help exit-codes".
func newExitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("Exit codes, the same for every command:\n\n")
	for _, row := range exitCodes {
		fmt.Fprintf(&b, "  %3d  %s\n", row.code, row.meaning)
	}
	b.WriteString("\nWhere consul's own command line exits with 1 for a key that does not exist or a\n" +
		"check-and-set that was refused, holdfast exits with 3 and 5: both are not 0.\n")
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  b.String(),
	}
}
