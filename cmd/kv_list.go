package cmd

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// kvList is one run of "kv ls".
type kvList struct {
	*connection
	out *printer

	recurse   bool
	long      bool
	separator string
	limit     int
	after     string
}

func newKVListCommand() *cobra.Command {
	l := &kvList{}
	c := &cobra.Command{
		Use:   "ls [flags] [PREFIX]",
		Short: "List the names of keys, one level at a time",
		Long: `List the names of the keys with a prefix. Names are cut behind the next separator, as
a directory listing would; -recurse shows them whole and -long shows what is stored with
each, but for the value.` + slashNote,
		Example: `  holdfast kv ls
  holdfast kv ls app/
  holdfast kv ls -long app/
  holdfast kv ls -recurse -limit=1000 app/`,
		Annotations: exits("4 6 7"),
		RunE:        func(c *cobra.Command, args []string) error { return l.run(c, args) },
	}
	l.connection = connect(c, askTimeout)
	l.out = prints(c)
	fs := c.Flags()
	fs.BoolVar(&l.recurse, "recurse", false, "Show whole names, not one level.")
	fs.BoolVar(&l.long, "long", false, "Show size, flags, index and session of every key; implies -recurse.")
	fs.StringVar(&l.separator, "separator", "/", "Cut names behind this `text`.")
	fs.IntVar(&l.limit, "limit", 0, "Show at most this `number` of names.")
	fs.StringVar(&l.after, "after", "", "Start behind this `key`, as told at the end of a limited list.")
	c.ValidArgsFunction = completeKeys(l.connection, 1)
	return c
}

func (l *kvList) run(c *cobra.Command, args []string) error {
	if err := operands(args, 0, "PREFIX"); err != nil {
		return err
	}
	if l.limit < 0 {
		return usagef("-limit must not be negative")
	}
	if _, err := l.out.chosen(); err != nil {
		return err
	}
	prefix := keyOperand(firstOperand(args))
	client, ctx, cancel, err := l.open(c)
	if err != nil {
		return err
	}
	defer cancel()
	opts := l.reads()
	if l.limit > 0 {
		opts = append(opts, api.Limit(l.limit))
	}
	if l.after != "" {
		opts = append(opts, api.After(l.after))
	}
	var meta api.Meta
	if l.long {
		var entries []*api.Entry
		if entries, meta, err = client.KV().List(ctx, prefix, opts...); err == nil {
			err = l.printLong(entries)
		}
	} else {
		if !l.recurse && l.separator != "" {
			opts = append(opts, api.Separator(l.separator))
		}
		var names []string
		if names, meta, err = client.KV().Keys(ctx, prefix, opts...); err == nil {
			err = l.out.print(orEmpty(names), func(w io.Writer) error { return writeLines(w, names) })
		}
	}
	if err == nil && meta.Next != "" {
		fmt.Fprintf(c.ErrOrStderr(), "There is more: go on with -after=%q\n", meta.Next)
	}
	return err
}

// listed is a key in a long listing: everything but the value.
type listed struct {
	Key         string
	Size        int
	Flags       uint64
	LockIndex   uint64
	Session     string `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

func (l *kvList) printLong(entries []*api.Entry) error {
	items := make([]listed, 0, len(entries))
	rows := [][]string{{"Key", "Size", "ModifyIndex", "Flags", "Session"}}
	for _, e := range entries {
		items = append(items, listed{
			Key: e.Key, Size: len(e.Value), Flags: e.Flags, LockIndex: e.LockIndex,
			Session: e.Session, CreateIndex: e.CreateIndex, ModifyIndex: e.ModifyIndex,
		})
		rows = append(rows, []string{
			shown(e.Key), strconv.Itoa(len(e.Value)), strconv.FormatUint(e.ModifyIndex, 10),
			strconv.FormatUint(e.Flags, 10), firstOf(e.Session, "-"),
		})
	}
	return l.out.print(items, func(w io.Writer) error { return columns(w, l.out.style(), rows) })
}
