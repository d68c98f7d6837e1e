package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// countPage is how many key names one request asks for when keys are counted, and
// countLimit where counting stops: beyond it the exact number says nothing more.
const (
	countPage  = 5_000
	countLimit = 100_000
)

// errNotConfirmed says that the user did not say yes.
var errNotConfirmed = errors.New("nothing was deleted: it was not confirmed")

// kvDelete is one run of "kv delete".
type kvDelete struct {
	*connection
	out *printer

	recurse     bool
	cas         bool
	modifyIndex uint64
	yes         bool
	reason      string
}

func newKVDeleteCommand() *cobra.Command {
	d := &kvDelete{}
	c := &cobra.Command{
		Use:   "delete [flags] KEY",
		Short: "Remove a key, or every key with a prefix",
		Long: `Remove a key. Removing a key that does not exist succeeds. With -recurse every key
with the prefix KEY is removed in one step; on a terminal the number of keys is shown
and a confirmation is asked for, unless -yes is given.` + slashNote,
		Example: `  holdfast kv delete app/motd
  holdfast kv delete -recurse app/
  holdfast kv delete -cas -modify-index=42 app/motd    # only if it is still as at index 42`,
		Annotations: exits("4 5 6 7"),
		RunE:        func(c *cobra.Command, args []string) error { return d.run(c, args) },
	}
	d.connection = connect(c, askTimeout)
	d.out = prints(c)
	fs := c.Flags()
	fs.BoolVar(&d.recurse, "recurse", false, "Remove every key with the prefix KEY.")
	fs.BoolVar(&d.cas, "cas", false, "Remove only if the key has the index that -modify-index says.")
	fs.Uint64Var(&d.modifyIndex, "modify-index", 0, "With -cas, the `index` the key must have.")
	fs.BoolVar(&d.yes, "yes", false, "Do not ask on a terminal.")
	fs.StringVar(&d.reason, "reason", "", "Why, as one line of `text` that is kept in the history.")
	c.ValidArgsFunction = completeKeys(d.connection, 1)
	return c
}

func (d *kvDelete) run(c *cobra.Command, args []string) error {
	least := 1
	if d.recurse {
		least = 0 // the empty prefix is the whole store
	}
	if err := operands(args, least, "KEY"); err != nil {
		return err
	}
	key := keyOperand(firstOperand(args))
	switch {
	case key == "" && !d.recurse:
		return usagef("the argument KEY is empty")
	case d.cas && d.recurse:
		return usagef("-cas and -recurse exclude each other")
	case d.cas && d.modifyIndex == 0:
		return usagef("-cas needs -modify-index, greater than 0")
	case !d.cas && d.modifyIndex != 0:
		return usagef("-modify-index means nothing without -cas")
	}
	client, ctx, cancel, err := d.openFor(c, d.out)
	if err != nil {
		return err
	}
	defer cancel()
	if d.recurse && !d.yes && isTerminal(c.InOrStdin()) {
		if err := confirmTree(ctx, client.KV(), key, c.InOrStdin(), c.ErrOrStderr()); err != nil {
			return err
		}
	}
	return d.delete(ctx, client.KV(), key)
}

// delete removes and says what became of it, in consul's words.
func (d *kvDelete) delete(ctx context.Context, kv api.KV, key string) error {
	var opts []api.WriteOption
	if d.reason != "" {
		opts = append(opts, api.Reason(d.reason))
	}
	var res api.WriteResult
	var err error
	done := "Success! Deleted key: "
	switch {
	case d.recurse:
		done = "Success! Deleted keys with prefix: "
		res, err = kv.DeleteTree(ctx, key, opts...)
	case d.cas:
		res, err = kv.DeleteCAS(ctx, key, d.modifyIndex, opts...)
	default:
		res, err = kv.Delete(ctx, key, opts...)
	}
	if err != nil {
		return err
	}
	if !res.Applied {
		return &plainError{text: fmt.Sprintf("Error! Did not delete key %s: CAS failed", key), err: errLostRace}
	}
	return d.out.print(written{Key: key, Applied: true, Index: res.Index}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, done+key)
		return err
	})
}

// confirmTree shows how many keys have the prefix and asks whether they shall go.
func confirmTree(ctx context.Context, kv api.KV, prefix string, in io.Reader, out io.Writer) error {
	count := 0
	for _, err := range kv.AllKeys(ctx, prefix, countPage) {
		if err != nil {
			return err
		}
		if count++; count > countLimit {
			break
		}
	}
	keys := counted(count, "key")
	if count > countLimit {
		keys = "more than " + counted(countLimit, "key")
	}
	where := fmt.Sprintf("with the prefix %q", prefix)
	if prefix == "" {
		where = "in the whole store"
	}
	fmt.Fprintf(out, "Delete %s %s? [y/N] ", keys, where)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &hintError{err: errNotConfirmed, try: "the answer y, or -yes to skip the question"}
}
