package cmd

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// completeBudget is how long a user who pressed TAB waits for a server.
const completeBudget = 300 * time.Millisecond

// completeLimit bounds how many keys are offered: beyond it no list helps.
const completeLimit = 1000

// complete answers the shell's question what could come next. Shells match what is
// offered with what was typed, so flags that were begun with one dash are offered
// with one.
func complete(ctx context.Context, root *cobra.Command, args []string, stdout io.Writer) int {
	typed := args[len(args)-1]
	args = append(args[:1:1], normalizeTyped(root, args[1:])...)
	var answer bytes.Buffer
	root.SetOut(&answer)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		return exitFailed // the shell shows nothing, and the user sees why on running the command
	}
	text := answer.String()
	if strings.HasPrefix(typed, "-") && !strings.HasPrefix(typed, "--") {
		var b strings.Builder
		for line := range strings.Lines(text) {
			b.WriteString(strings.Replace(line, "--", "-", btoi(strings.HasPrefix(line, "--"))))
		}
		text = b.String()
	}
	if _, err := io.WriteString(stdout, text); err != nil {
		return exitFailed
	}
	return exitDone
}

// normalizeTyped is normalize for a line whose last word is still being typed: it
// is never a command yet, and a dash at its start begins a flag.
func normalizeTyped(root *cobra.Command, args []string) []string {
	if len(args) == 0 {
		return args
	}
	last := len(args) - 1
	before, typed := normalize(root, args[:last]), args[last]
	if len(normalize(root, args)) > len(before) && strings.HasPrefix(typed, "-") && !strings.HasPrefix(typed, "--") {
		typed = "-" + typed
	}
	return append(before, typed)
}

// btoi is 1 for true.
func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// completeKeys offers the server's keys for the first count operands.
func completeKeys(conn *connection, count int) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= count {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return liveKeys(c.Context(), conn, typed)
	}
}

// completeFlagKeys offers the server's keys as the value of a flag.
func completeFlagKeys(conn *connection) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return liveKeys(c.Context(), conn, typed)
	}
}

// liveKeys asks the server which keys begin with what was typed, one level at a
// time. A server that does not answer in time offers nothing: a shell must not hang.
func liveKeys(ctx context.Context, conn *connection, typed string) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	client, err := conn.client()
	if err != nil {
		return nil, directive
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, completeBudget)
	defer cancel()
	prefix := keyOperand(typed)
	names, _, err := client.KV().Keys(ctx, prefix, api.Stale(), api.Separator("/"), api.Limit(completeLimit))
	if err != nil {
		return nil, directive
	}
	dropped := typed[:len(typed)-len(prefix)]
	for i, name := range names {
		names[i] = dropped + name
	}
	if len(names) == 1 && !strings.HasSuffix(names[0], "/") {
		directive = cobra.ShellCompDirectiveNoFileComp
	}
	return names, directive
}
