package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// Bounds of "lock" and "elect".
const (
	// releaseTimeout is for giving back what was held, when the work is done.
	releaseTimeout = 10 * time.Second

	// monitorPause lies between reads of a lock that fail.
	monitorPause = time.Second

	// lockName is the key of a lock below its prefix, as consul's command line has it.
	lockName = ".lock"
)

// lockRun is one run of "lock".
type lockRun struct {
	*connection
	*program

	slots   int
	try     time.Duration
	monitor int
	name    string
	ttl     time.Duration
	delay   time.Duration
	verbose bool
}

func newLockCommand() *cobra.Command {
	l := &lockRun{}
	c := &cobra.Command{
		Use:   "lock [flags] PREFIX COMMAND [ARGUMENTS...]",
		Short: "Run a command while holding a lock",
		Long: `Wait for the lock on PREFIX, run COMMAND, and give the lock back when it has ended. With
-n more than one can hold it at a time. The lock is the one of "consul lock": both exclude
each other.

When the lock is lost, COMMAND and all that it has started is asked to end (SIGTERM) and
after 5s made to (SIGKILL). That is noticed before the servers may give the lock away, and
nobody gets it for another 15s. Signals are passed on to COMMAND, which finds the fencing
number of the lock in HOLDFAST_LOCK_FENCE.` + slashNote,
		Example: `  holdfast lock jobs/nightly ./nightly.sh
  holdfast lock -try=0s jobs/nightly ./nightly.sh          # do not wait
  holdfast lock -n=3 -child-exit-code jobs/build make all
  holdfast lock -shell=false jobs/db psql -c 'VACUUM'`,
		Annotations: exits("4 5 6 7"),
		RunE:        func(c *cobra.Command, args []string) error { return l.run(c, args) },
	}
	l.connection = connect(c, noTimeout)
	l.program = childFlags(c.Flags())
	fs := c.Flags()
	wait := fs.Lookup("timeout") // of the connection; here the work may take as long as it likes
	wait.Usage = "Give up when the lock was not acquired after this `duration`; 0 waits as long as it takes."
	wait.Annotations = nil
	fs.IntVar(&l.slots, "n", 1, "How many may hold the lock at a time, as a `number` that all must agree on.")
	fs.DurationVar(&l.try, "try", 0, "As -timeout, but 0 does not wait at all.")
	fs.IntVar(&l.monitor, "monitor-retry", 3, "How often, one second apart, the lock may fail to be read before it counts as lost, as a `number`.")
	fs.StringVar(&l.name, "name", "", "The `name` of the session; one that tells the command and the prefix if it is not given.")
	fs.DurationVar(&l.ttl, "ttl", 15*time.Second, "How long after the death of a holder its session ends, as a `duration`.")
	fs.DurationVar(&l.delay, "lock-delay", 15*time.Second, "How long nobody gets the lock after that, as a `duration`: the time that a command has to end which has lost it.")
	fs.BoolVar(&l.verbose, "verbose", false, "Say what is being done.")
	c.ValidArgsFunction = completeKeys(l.connection, 1)
	return c
}

func (l *lockRun) run(c *cobra.Command, args []string) error {
	prefix, words, err := l.check(c, args)
	if err != nil {
		return err
	}
	client, err := l.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	out := &notices{w: c.ErrOrStderr()}
	c.SetErr(shared(c.ErrOrStderr(), out))
	say := out.verbose(l.verbose)
	say("Waiting for the lock on %s", prefix)
	locked := l.locked(client, prefix, words, out)
	hold, err := locked.acquire(c.Context(), l.patience(c))
	if err != nil {
		return l.refused(prefix, err)
	}
	say("Holding the lock on %s with session %s", prefix, hold.Session())
	err = l.program.run(c, hold.Context(), words, holdEnv(hold), say)
	err = release(c, hold, fmt.Sprintf("the lock on %s", prefix), err, out)
	if locked.destroy(c.Context()) == nil { // in use by the next, as a rule
		say("Removed the lock on %s, which nobody waits for", prefix)
	}
	return err
}

// check refuses what means nothing, and tells the prefix from the command.
func (l *lockRun) check(c *cobra.Command, args []string) (prefix string, words []string, err error) {
	names := []string{"PREFIX", "COMMAND"}
	if len(args) < len(names) {
		return "", nil, usagef("the argument %s is missing", names[len(args)])
	}
	// The same key for all spellings of a prefix, as consul's command line has it.
	prefix = path.Clean(keyOperand(args[0]))
	switch {
	case prefix == "." || prefix == "/" || strings.HasPrefix(prefix, ".."):
		return "", nil, usagef("the argument PREFIX names no key")
	case l.slots < 1:
		return "", nil, usagef("-n must be positive")
	case l.monitor < 0:
		return "", nil, usagef("-monitor-retry must not be negative")
	case l.try < 0 || l.delay < 0:
		return "", nil, usagef("-try and -lock-delay must not be negative")
	case l.ttl <= 0:
		return "", nil, usagef("-ttl must be positive")
	case c.Flags().Changed("try") && l.timeout > 0:
		return "", nil, usagef("-try and -timeout exclude each other")
	}
	return prefix, args[1:], nil
}

// patience is how long to wait; nil for as long as it takes.
func (l *lockRun) patience(c *cobra.Command) *time.Duration {
	switch {
	case c.Flags().Changed("try"):
		return &l.try
	case l.timeout > 0:
		return &l.timeout
	}
	return nil
}

// locked is what a lock and a semaphore have in common.
type locked struct {
	acquire func(ctx context.Context, wait *time.Duration) (*api.Hold, error)
	remove  func(ctx context.Context) error
}

// destroy removes what is left behind when nobody holds or waits.
func (k *locked) destroy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	return k.remove(ctx)
}

func (l *lockRun) locked(client *api.Client, prefix string, words []string, out *notices) *locked {
	name := l.name
	if name == "" {
		name = fmt.Sprintf("Holdfast lock for '%s' at '%s'", strings.Join(words, " "), prefix)
	}
	opts := []api.RecipeOption{
		api.SessionName(name),
		api.MonitorRetries(l.monitor, monitorPause),
		api.OnState(out.state),
		api.SessionTTL(l.ttl),
	}
	if l.delay != 15*time.Second { // the server's own
		opts = append(opts, api.SessionLockDelay(l.delay))
	}
	if l.slots > 1 {
		sem := client.Semaphore(prefix, l.slots, opts...)
		return &locked{remove: sem.Destroy, acquire: func(ctx context.Context, wait *time.Duration) (*api.Hold, error) {
			if wait == nil {
				return sem.Acquire(ctx)
			}
			return sem.TryAcquire(ctx, *wait)
		}}
	}
	lock := client.Lock(path.Join(prefix, lockName), opts...)
	return &locked{remove: lock.Destroy, acquire: func(ctx context.Context, wait *time.Duration) (*api.Hold, error) {
		if wait == nil {
			return lock.Acquire(ctx)
		}
		return lock.TryAcquire(ctx, *wait)
	}}
}

// refused says in terms of the prefix why the lock was not acquired.
func (l *lockRun) refused(prefix string, err error) error {
	var held *api.HeldError
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled // whatever it broke off has been taken back, or ends by itself
	case errors.As(err, &held):
		return &heldError{text: prefix + " is " + held.State(), err: err}
	case errors.Is(err, api.ErrConflict):
		return &hintError{err: err, why: "the keys of a lock with another -n, or of something that is no lock, are there", try: "the same -n as the others, or another prefix"}
	}
	return err
}

// A heldError says in a command's own terms who holds something, or that nobody does.
type heldError struct {
	text string
	err  error
}

func (e *heldError) Error() string { return e.text }
func (e *heldError) Unwrap() error { return e.err }

// release gives back what was held, and says what the run ends with: that it was lost
// before all else.
func release(c *cobra.Command, hold *api.Hold, what string, ran error, out *notices) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), releaseTimeout)
	defer cancel()
	err := hold.Release(ctx)
	if errors.Is(err, api.ErrLost) {
		return &hintError{err: fmt.Errorf("lost %s: %w", what, err), why: "others may have held it since"}
	}
	if err != nil {
		out.say("Warning: could not give back %s, which ends with its session: %v", what, err)
	}
	return ran
}

// holdEnv tells a child what it runs under.
func holdEnv(hold *api.Hold) []string {
	return []string{
		"HOLDFAST_LOCK_KEY=" + hold.Key(),
		"HOLDFAST_LOCK_SESSION=" + hold.Session(),
		fmt.Sprintf("HOLDFAST_LOCK_FENCE=%d", hold.Fence()),
	}
}

// verbose is say, or silence.
func (n *notices) verbose(on bool) func(format string, args ...any) {
	if on {
		return n.say
	}
	return func(string, ...any) {}
}

// state warns of what endangers a session.
func (n *notices) state(state api.ConnState, reason error) {
	switch state {
	case api.Suspended:
		n.say("Warning: the session could not be renewed: %v; trying again", reason)
	case api.Reconnected:
		n.say("The session was renewed: nothing is lost")
	case api.Connected, api.Lost: // the first is what is expected, the second is the command's error
	}
}

// shared is the standard error of a child: the same stream as ours. A file can be
// shared as it is.
func shared(stream any, out *notices) interface{ Write([]byte) (int, error) } {
	if f, ok := stream.(*os.File); ok {
		return f
	}
	return out
}
