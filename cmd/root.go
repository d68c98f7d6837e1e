package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Main runs the command line of the process and returns its exit code. The first
// SIGINT or SIGTERM cancels the context of the command; the second ends the
// process at once, unless the command listens to signals itself.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// run carries out one command line.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		return complete(ctx, root, args, stdout)
	}
	if len(args) == 1 && (args[0] == "-v" || args[0] == "-version" || args[0] == "--version") {
		args = []string{"version"}
	}
	root.SetArgs(normalize(root, args))
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	code := exitCode(err)
	var child *childError
	if errors.As(err, &child) {
		return code // it has said itself what was wrong
	}
	if code == exitInterrupted {
		showInterrupt(stderr, err)
		return code
	}
	showError(stderr, err, command.CommandPath(), styleFor(stderr, os.Getenv))
	return code
}

// newRoot builds the tree of commands.
func newRoot() *cobra.Command {
	root := group("holdfast", "A configuration store that services hold on to",
		newACLCommand(),
		newAgentCommand(),
		newAuditCommand(),
		newCompletionCommand(),
		newConfigCommand(),
		newDevCommand(),
		newElectCommand(),
		newEventCommand(),
		newExitCodesTopic(),
		newForceLeaveCommand(),
		newInfoCommand(),
		newJoinCommand(),
		newKeygenCommand(),
		newKeyringCommand(),
		newKVCommand(),
		newLeaveCommand(),
		newLockCommand(),
		newLoginCommand(),
		newLogoutCommand(),
		newMembersCommand(),
		newMonitorCommand(),
		newOperatorCommand(),
		newReloadCommand(),
		newSessionCommand(),
		newSnapshotCommand(),
		newTLSCommand(),
		newTxnCommand(),
		newValidateCommand(),
		newVersionCommand(),
		newWatchCommand(),
	)
	root.Long = `Holdfast is a replicated key/value store for configuration: versioned keys, blocking
queries, transactions. Its HTTP API is the one Consul clients speak.

  holdfast agent -dev                start a server that forgets everything when it stops
  holdfast kv put app/motd hello     write a key
  holdfast kv get app/motd           read it back`
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(newHelpCommand(root))
	root.InitDefaultHelpCmd()
	finish(root)
	return root
}

// group makes a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(children...)
	return c
}

// finish gives every command of the tree what all have in common.
func finish(c *cobra.Command) {
	c.SilenceErrors = true
	c.SilenceUsage = true
	c.DisableFlagsInUseLine = true
	c.Flags().SetInterspersed(false)
	c.SetFlagErrorFunc(flagError)
	c.SetHelpFunc(help)
	c.SetUsageFunc(func(c *cobra.Command) error {
		help(c, nil)
		return nil
	})
	if c.HasSubCommands() && !c.Runnable() {
		c.Args = cobra.ArbitraryArgs
		c.RunE = pickCommand
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return &usageError{msg: err.Error()}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		finish(sub)
	}
}

// pickCommand is what a group does: it shows its help, or says which command the
// user may have meant.
func pickCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		help(c, nil)
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	err := &usageError{msg: fmt.Sprintf("%q is not a command of %s", args[0], c.CommandPath())}
	if near := nearest(args[0], names); len(near) > 0 {
		err.try = c.CommandPath() + " " + strings.Join(near, " or ")
	}
	return err
}

// flagError makes a flag that cannot be parsed a usage error, and says which one
// the user may have meant.
func flagError(c *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	usage := &usageError{msg: strings.ReplaceAll(err.Error(), "--", "-")}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usage
	}
	word := unknown.GetSpecifiedName()
	if letters := unknown.GetSpecifiedShortnames(); letters != "" {
		word = letters
	}
	usage.msg = fmt.Sprintf("%s has no flag -%s", c.CommandPath(), word)
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if near := nearest(word, names); len(near) > 0 {
		usage.try = "-" + strings.Join(near, " or -")
	}
	return usage
}

// operands checks how many operands there are; names are those that the usage line
// shows, and least is how many of them must be there.
func operands(args []string, least int, names ...string) error {
	if len(args) < least {
		return usagef("the argument %s is missing", names[len(args)])
	}
	if len(args) > len(names) {
		extra := args[len(names)]
		if strings.HasPrefix(extra, "-") {
			return usagef("unexpected %q: flags stand before the arguments", extra)
		}
		return usagef("unexpected argument %q", extra)
	}
	return nil
}
