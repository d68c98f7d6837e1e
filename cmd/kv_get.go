package cmd

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// kvGet is one run of "kv get".
type kvGet struct {
	*connection
	out *printer

	recurse    bool
	keys       bool
	detailed   bool
	base64     bool
	raw        bool
	consistent bool
	separator  string
	revision   uint64
	at         string
}

func newKVGetCommand() *cobra.Command {
	g := &kvGet{}
	c := &cobra.Command{
		Use:   "get [flags] [KEY]",
		Short: "Read a key, or every key with a prefix",
		Long: `Read a key. The value is printed byte for byte, followed by one newline; -raw leaves
the newline out. With -recurse every key with the prefix KEY is printed as "key:value",
with -keys their names.` + slashNote,
		Example: `  holdfast kv get app/motd
  holdfast kv get -detailed app/motd
  holdfast kv get -recurse app/
  holdfast kv get -revision=42 app/motd        # as it was at index 42
  holdfast kv get -format=json app/motd        # Value is base64, as on the wire`,
		Annotations: exits("3 4 6 7"),
		RunE:        func(c *cobra.Command, args []string) error { return g.run(c, args) },
	}
	g.connection = connect(c, askTimeout)
	g.out = prints(c)
	fs := c.Flags()
	fs.BoolVar(&g.recurse, "recurse", false, "Read every key with the prefix KEY.")
	fs.BoolVar(&g.keys, "keys", false, "List the names of the keys with the prefix KEY, folded at -separator.")
	fs.StringVar(&g.separator, "separator", "/", "With -keys, cut names behind this `text`; empty cuts none.")
	fs.BoolVar(&g.detailed, "detailed", false, "Show indexes, flags and session beside the value.")
	fs.BoolVar(&g.base64, "base64", false, "Show values as base64.")
	fs.BoolVar(&g.raw, "raw", false, "Print the value's bytes and nothing else, no newline either.")
	fs.BoolVar(&g.consistent, "consistent", false, "Make the leader confirm that it leads before it answers.")
	fs.Uint64Var(&g.revision, "revision", 0, "Read the state as it was at this `index`.")
	fs.StringVar(&g.at, "at", "", "Read the state as it was at this `time`, in RFC 3339.")
	c.ValidArgsFunction = completeKeys(g.connection, 1)
	return c
}

func (g *kvGet) run(c *cobra.Command, args []string) error {
	if err := operands(args, 0, "KEY"); err != nil {
		return err
	}
	key := keyOperand(firstOperand(args))
	opts, err := g.options()
	switch {
	case err != nil:
		return err
	case key == "" && !g.keys && !g.recurse:
		return usagef("the argument KEY is missing")
	case g.raw && (g.keys || g.recurse || g.detailed || g.base64):
		return usagef("-raw prints one value as it is: it cannot be combined with -keys, -recurse, -detailed or -base64")
	}
	client, ctx, cancel, err := g.openFor(c, g.out)
	if err != nil {
		return err
	}
	defer cancel()
	switch {
	case g.keys:
		return g.printKeys(ctx, client.KV(), key, opts)
	case g.recurse:
		return g.printTree(ctx, client.KV(), key, opts)
	case g.raw:
		return g.printRaw(ctx, client.KV(), key, opts)
	}
	return g.printOne(ctx, client.KV(), key, opts)
}

// options are those of the read.
func (g *kvGet) options() ([]api.ReadOption, error) {
	opts := g.reads()
	if g.consistent {
		opts = append(opts, api.Consistent())
	}
	switch {
	case g.stale && g.consistent:
		return nil, usagef("-stale and -consistent exclude each other")
	case g.revision != 0 && g.at != "":
		return nil, usagef("-revision and -at exclude each other")
	case g.revision != 0:
		opts = append(opts, api.AtRevision(g.revision))
	case g.at != "":
		t, err := time.Parse(time.RFC3339, g.at)
		if err != nil {
			return nil, usagef("-at: %q is not a time such as 2026-11-22T15:04:05Z", g.at)
		}
		opts = append(opts, api.AtTime(t))
	}
	return opts, nil
}

// noSuchKey is the text that scripts for consul look for.
func noSuchKey(key string, err error) error {
	if errors.Is(err, api.ErrNotFound) {
		return &plainError{text: "Error! No key exists at: " + key, err: err}
	}
	return err
}

func (g *kvGet) printOne(ctx context.Context, kv api.KV, key string, opts []api.ReadOption) error {
	entry, _, err := kv.Get(ctx, key, opts...)
	if err != nil {
		return noSuchKey(key, err)
	}
	return g.out.print(entry, func(w io.Writer) error {
		if g.detailed {
			return writeDetails(w, entry, g.base64)
		}
		_, err := fmt.Fprintf(w, "%s\n", g.value(entry))
		return err
	})
}

func (g *kvGet) printRaw(ctx context.Context, kv api.KV, key string, opts []api.ReadOption) error {
	body, _, err := kv.Raw(ctx, key, opts...)
	if err != nil {
		return noSuchKey(key, err)
	}
	_, err = io.Copy(g.out.c.OutOrStdout(), body)
	if err := errors.Join(err, body.Close()); err != nil {
		return fmt.Errorf("read the value of %q: %w", key, err)
	}
	return nil
}

func (g *kvGet) printTree(ctx context.Context, kv api.KV, prefix string, opts []api.ReadOption) error {
	entries, _, err := kv.List(ctx, prefix, opts...)
	if err != nil {
		return err
	}
	return g.out.print(orEmpty(entries), func(w io.Writer) error {
		for i, entry := range entries {
			if !g.detailed {
				if _, err := fmt.Fprintf(w, "%s:%s\n", entry.Key, g.value(entry)); err != nil {
					return err
				}
				continue
			}
			if i > 0 {
				fmt.Fprintln(w)
			}
			if err := writeDetails(w, entry, g.base64); err != nil {
				return err
			}
		}
		return nil
	})
}

func (g *kvGet) printKeys(ctx context.Context, kv api.KV, prefix string, opts []api.ReadOption) error {
	if g.separator != "" {
		opts = append(opts, api.Separator(g.separator))
	}
	names, _, err := kv.Keys(ctx, prefix, opts...)
	if err != nil {
		return err
	}
	return g.out.print(orEmpty(names), func(w io.Writer) error { return writeLines(w, names) })
}

// value is what is printed of an entry.
func (g *kvGet) value(e *api.Entry) []byte {
	if g.base64 {
		return base64.StdEncoding.AppendEncode(nil, e.Value)
	}
	return e.Value
}

// writeDetails shows everything that is stored with a key.
func writeDetails(w io.Writer, e *api.Entry, asBase64 bool) error {
	value := string(e.Value)
	if asBase64 {
		value = base64.StdEncoding.EncodeToString(e.Value)
	}
	for _, row := range [][2]string{
		{"CreateIndex", strconv.FormatUint(e.CreateIndex, 10)},
		{"Flags", strconv.FormatUint(e.Flags, 10)},
		{"Key", e.Key},
		{"LockIndex", strconv.FormatUint(e.LockIndex, 10)},
		{"ModifyIndex", strconv.FormatUint(e.ModifyIndex, 10)},
		{"Session", firstOf(e.Session, "-")},
		{"Value", value},
	} {
		if _, err := fmt.Fprintf(w, "%-17s%s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}

// writeLines writes one line per text.
func writeLines(w io.Writer, lines []string) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// orEmpty makes a list that JSON shows as [] when there is nothing in it.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
