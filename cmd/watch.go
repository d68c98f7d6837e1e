package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// Kinds of watches.
const (
	watchKey    = "key"
	watchPrefix = "keyprefix"
)

// handlerGrace is how long a handler may take to end after it was asked to.
const handlerGrace = 10 * time.Second

// watchRun is one run of "watch".
type watchRun struct {
	*connection
	out *printer

	kind    string
	key     string
	prefix  string
	shell   bool
	atStart bool
	once    bool
	index   uint64
}

func newWatchCommand() *cobra.Command {
	w := &watchRun{}
	c := &cobra.Command{
		Use:   "watch [flags] [HANDLER [ARGUMENTS...]]",
		Short: "Run a command, or print a line, whenever a key or a prefix changes",
		Long: `Follow a key or every key with a prefix. On each change HANDLER is run with the present
state as JSON on its standard input and the index in CONSUL_INDEX and HOLDFAST_INDEX;
without HANDLER that JSON is printed, one line per change. A key that does not exist is
null, a prefix without keys [].

Only real changes count: not the state found at the start (unless -at-start asks for it),
not an index that moved for another key. Changes that come while the handler runs are
merged into one. A server that cannot be reached is tried again.`,
		Example: `  holdfast watch -type=key -key=app/motd
  holdfast watch -type=keyprefix -prefix=app/ ./reload.sh
  holdfast watch -type=keyprefix -prefix=app/ -shell=false nginx -s reload`,
		Annotations: exits("4"),
		RunE:        func(c *cobra.Command, args []string) error { return w.run(c, args) },
	}
	w.connection = connect(c, noTimeout)
	w.out = prints(c)
	fs := c.Flags()
	fs.StringVar(&w.kind, "type", "", "What to watch, as a `word`: key or keyprefix.")
	fs.StringVar(&w.key, "key", "", "With -type=key, the `key`.")
	fs.StringVar(&w.prefix, "prefix", "", "With -type=keyprefix, the `prefix`.")
	fs.BoolVar(&w.shell, "shell", true, "Run the handler through the shell.")
	fs.BoolVar(&w.atStart, "at-start", false, "Count the state found at the start as a change.")
	fs.BoolVar(&w.once, "once", false, "End after the first change.")
	fs.Uint64Var(&w.index, "index", 0, "Go on from this `index`, which an earlier watch told: changes since then count.")
	for name, f := range map[string]cobra.CompletionFunc{
		"type":   cobra.FixedCompletions([]string{watchKey, watchPrefix}, cobra.ShellCompDirectiveNoFileComp),
		"key":    completeFlagKeys(w.connection),
		"prefix": completeFlagKeys(w.connection),
	} {
		_ = c.RegisterFlagCompletionFunc(name, f) // the flags exist
	}
	return c
}

func (w *watchRun) run(c *cobra.Command, args []string) error {
	if err := w.check(); err != nil {
		return err
	}
	client, ctx, cancel, err := w.open(c)
	if err != nil {
		return err
	}
	defer cancel()
	for ev, err := range w.watch(client, c.ErrOrStderr()).Events(ctx) {
		if err != nil {
			return err
		}
		data, err := w.document(ev)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			err = w.show(data)
		} else {
			err = w.handle(ctx, c, args, data, ev.Index)
		}
		if err != nil || w.once {
			return err
		}
	}
	return nil
}

// check refuses flags that do not fit together.
func (w *watchRun) check() error {
	switch w.kind {
	case watchKey:
		if w.key == "" {
			return usagef("-type=key needs -key")
		}
	case watchPrefix:
		// An empty prefix is the whole store, but it must be asked for.
		if w.prefix == "" && !w.out.c.Flags().Changed("prefix") {
			return usagef("-type=keyprefix needs -prefix")
		}
	case "":
		return &usageError{msg: "-type is missing", try: "-type=key -key=KEY, or -type=keyprefix -prefix=PREFIX"}
	default:
		return usagef("-type: %q cannot be watched; key and keyprefix can", w.kind)
	}
	_, err := w.out.chosen()
	return err
}

// watch is what the flags ask for.
func (w *watchRun) watch(client *api.Client, stderr io.Writer) *api.Watch {
	opts := []api.WatchOption{
		api.WatchRead(w.reads()...),
		api.OnRetry(func(err error, pause time.Duration) {
			fmt.Fprintf(stderr, "Warning: %v; trying again in %s\n", err, pause.Round(10*time.Millisecond))
		}),
	}
	switch {
	case w.index > 0:
		opts = append(opts, api.FromIndex(w.index))
	case !w.atStart:
		opts = append(opts, api.SkipInitial())
	}
	if w.kind == watchKey {
		return client.WatchKey(keyOperand(w.key), opts...)
	}
	return client.WatchPrefix(keyOperand(w.prefix), opts...)
}

// handed is an entry as handlers for consul's watches expect it: Session is there
// even when it is empty.
type handed struct {
	Key         string
	CreateIndex uint64
	ModifyIndex uint64
	LockIndex   uint64
	Flags       uint64
	Value       []byte
	Session     string
}

// document is the JSON that a handler gets, without a newline.
func (w *watchRun) document(ev api.Event) ([]byte, error) {
	list := make([]handed, 0, len(ev.Entries))
	for _, e := range ev.Entries {
		list = append(list, handed{
			Key: e.Key, CreateIndex: e.CreateIndex, ModifyIndex: e.ModifyIndex,
			LockIndex: e.LockIndex, Flags: e.Flags, Value: e.Value, Session: e.Session,
		})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	var err error
	switch {
	case w.kind == watchPrefix:
		err = e.Encode(list)
	case len(list) == 0:
		err = e.Encode(nil)
	default:
		err = e.Encode(list[0])
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// show prints a change. A table would not say more than JSON does, so only YAML is
// different.
func (w *watchRun) show(data []byte) error {
	format, err := w.out.chosen()
	if err != nil {
		return err
	}
	out := w.out.c.OutOrStdout()
	if format == formatYAML {
		if _, err := fmt.Fprintln(out, "---"); err != nil {
			return err
		}
		return writeYAML(out, json.RawMessage(data))
	}
	_, err = fmt.Fprintf(out, "%s\n", data)
	return err
}

// handle runs the handler for one change. A handler that fails is reported and the
// watch goes on; one that cannot be started ends it.
func (w *watchRun) handle(ctx context.Context, c *cobra.Command, args []string, data []byte, index uint64) error {
	name, rest := args[0], args[1:]
	if w.shell {
		name, rest = shellCommand(strings.Join(args, " "))
	}
	handler := exec.CommandContext(ctx, name, rest...)
	handler.Stdin = bytes.NewReader(append(data, '\n'))
	handler.Stdout = c.OutOrStdout()
	handler.Stderr = c.ErrOrStderr()
	number := strconv.FormatUint(index, 10)
	handler.Env = append(os.Environ(), "CONSUL_INDEX="+number, "HOLDFAST_INDEX="+number)
	handler.Cancel = func() error { return handler.Process.Signal(syscall.SIGTERM) }
	handler.WaitDelay = handlerGrace
	err := handler.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit):
		fmt.Fprintf(c.ErrOrStderr(), "Warning: the handler failed at index %d: %v\n", index, err)
		return nil
	case errors.Is(err, exec.ErrWaitDelay):
		return nil // it left a child behind that still holds its output
	case err != nil:
		return fmt.Errorf("run handler: %w", err)
	}
	return nil
}

// shellCommand is how a line is given to the system's shell.
func shellCommand(line string) (name string, args []string) {
	if runtime.GOOS == "windows" {
		return "cmd", []string{"/C", line}
	}
	return "/bin/sh", []string{"-c", line}
}
