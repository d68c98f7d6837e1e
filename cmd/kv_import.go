package cmd

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// batchBytes is how large the JSON of one batch may become: below what a server
// takes by default (512 KiB), with room for the names of the members.
const batchBytes = 400 << 10

// kvImport is one run of "kv import".
type kvImport struct {
	*connection

	prefix   string
	stripExt bool
	maxSize  int64
	quiet    bool
	reason   string
}

// imported is one key to write.
type imported struct {
	key   string
	flags uint64
	value []byte
}

func newKVImportCommand() *cobra.Command {
	im := &kvImport{}
	c := &cobra.Command{
		Use:   "import [flags] DATA|DIRECTORY",
		Short: "Write keys from an export or from a directory of files",
		Long: `Write keys. DATA is the JSON of "holdfast kv export" or "consul kv export": itself,
@FILE for the content of a file, or - for standard input. DIRECTORY is a folder whose
files become keys: the path below it is the key, the content the value. Hidden files
are skipped; a link that leads out of the folder is refused.

Keys are written in order, many at a time, and "Imported: KEY" is printed for each that
is stored. The first error stops the import; what was printed before stays written.`,
		Example: `  holdfast kv import @app.json
  consul kv export app/ | holdfast kv import -
  holdfast kv import -prefix=petclinic config/             # config/a.yml becomes petclinic/a.yml
  holdfast kv import -prefix=petclinic -strip-ext config/  # config/a.yml becomes petclinic/a`,
		Annotations: exits("4 6 7"),
		RunE:        func(c *cobra.Command, args []string) error { return im.run(c, args) },
	}
	im.connection = connect(c, noTimeout)
	fs := c.Flags()
	fs.StringVar(&im.prefix, "prefix", "", "Put every key below this `path`; doubled slashes and dots are cleaned away.")
	fs.BoolVar(&im.stripExt, "strip-ext", false, "With a directory, drop the last extension of file names.")
	fs.Int64Var(&im.maxSize, "max-size", 512<<10, "With a directory, refuse files larger than this `number` of bytes, before anything is written.")
	fs.BoolVar(&im.quiet, "quiet", false, "Print nothing but errors.")
	fs.StringVar(&im.reason, "reason", "", "Why, as one line of `text` that is kept in the history.")
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
	return c
}

func (im *kvImport) run(c *cobra.Command, args []string) error {
	if err := operands(args, 1, "DATA"); err != nil {
		return err
	}
	if im.maxSize < 1 {
		return usagef("-max-size must be positive")
	}
	entries, count, err := im.source(args[0], c.InOrStdin())
	if err != nil {
		return err
	}
	client, ctx, cancel, err := im.open(c)
	if err != nil {
		return err
	}
	defer cancel()
	out := c.OutOrStdout()
	if im.quiet {
		out = io.Discard
	}
	// Where the lines of what is imported scroll by, a bar would only be in their way.
	bar := newProgress(c.ErrOrStderr(), im.quiet || isTerminal(out), "Importing", int64(count), false)
	defer bar.finish()
	w := &importer{kv: client.KV(), txn: client.Txn, reason: im.reason, done: func(key string) error {
		bar.add(1)
		_, err := fmt.Fprintln(out, "Imported: "+key)
		return err
	}}
	for entry, err := range entries {
		if err != nil {
			return err
		}
		if err := w.add(ctx, entry); err != nil {
			return err
		}
	}
	return w.flush(ctx)
}

// source finds out what is to be imported, and how many keys that is. What can be
// wrong with it is found here, before anything is written.
func (im *kvImport) source(arg string, stdin io.Reader) (iter.Seq2[imported, error], int, error) {
	if info, err := os.Stat(arg); err == nil && arg != "-" {
		if !info.IsDir() {
			return nil, 0, &usageError{msg: fmt.Sprintf("%q is a file, and DATA would be its name", arg), try: "@" + arg}
		}
		return im.folder(arg)
	}
	if im.stripExt {
		return nil, 0, usagef("-strip-ext means nothing without a directory")
	}
	data, err := dataOperand(arg, stdin, maxDocumentBytes)
	if err != nil {
		return nil, 0, err
	}
	list, err := parseExport(data)
	if err != nil {
		return nil, 0, &hintError{err: err, try: "the JSON that \"holdfast kv export\" writes, @FILE, - or a directory"}
	}
	return func(yield func(imported, error) bool) {
		for _, e := range list {
			e.key = joinKey(im.prefix, e.key)
			if !yield(e, nil) {
				return
			}
		}
	}, len(list), nil
}

// folder is source for a directory.
func (im *kvImport) folder(dir string) (iter.Seq2[imported, error], int, error) {
	plan, err := planFolder(dir, im.maxSize, im.stripExt)
	if err != nil {
		return nil, 0, err
	}
	return func(yield func(imported, error) bool) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			yield(imported{}, err)
			return
		}
		defer func() { _ = root.Close() }() // it was only read
		for _, f := range plan {
			value, err := readPlanned(root, f.path, im.maxSize)
			if !yield(imported{key: joinKey(im.prefix, f.key), value: value}, err) || err != nil {
				return
			}
		}
	}, len(plan), nil
}

// joinKey puts key below prefix as consul's command line does: as paths, cleaned,
// and a slash at the end of the key stays.
//
// Source: contract, KV, "Export and import format".
func joinKey(prefix, key string) string {
	if prefix == "" {
		return key
	}
	joined := path.Join(keyOperand(prefix), key)
	if strings.HasSuffix(key, "/") {
		joined += "/"
	}
	return joined
}

// importer writes keys in their order, in as few transactions as the server's
// limits allow. It is done with a key when done has been called for it.
type importer struct {
	kv     api.KV
	txn    func(context.Context, []api.TxnOp, ...api.TxnOption) (*api.TxnResult, error)
	reason string
	done   func(key string) error

	batch []imported
	bytes int // of the batch as JSON, about
}

// add takes one key, and writes the batch when it is full.
func (w *importer) add(ctx context.Context, e imported) error {
	size := base64.StdEncoding.EncodedLen(len(e.value)) + 2*len(e.key) + 100
	if len(w.batch) > 0 && (len(w.batch) == api.MaxTxnOps || w.bytes+size > batchBytes) {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	w.batch = append(w.batch, e)
	w.bytes += size
	return nil
}

// flush writes what is waiting. A transaction that the server refuses has changed
// nothing; its keys are then written one by one, so that all before the faulty one
// are stored and the error names that one.
func (w *importer) flush(ctx context.Context) error {
	batch := w.batch
	w.batch, w.bytes = nil, 0
	if len(batch) > 1 {
		err := w.atOnce(ctx, batch)
		if err == nil || !refused(err) {
			return err
		}
	}
	for _, e := range batch {
		if err := w.one(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// atOnce writes a batch in one transaction.
func (w *importer) atOnce(ctx context.Context, batch []imported) error {
	ops := make([]api.TxnOp, 0, len(batch))
	for _, e := range batch {
		ops = append(ops, api.TxnOp{Verb: api.VerbSet, Key: e.key, Value: e.value, Flags: e.flags})
	}
	var opts []api.TxnOption
	if w.reason != "" {
		opts = append(opts, api.Reason(w.reason))
	}
	res, err := w.txn(ctx, ops, opts...)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return fmt.Errorf("import %q to %q: %w", batch[0].key, batch[len(batch)-1].key, err)
	}
	for _, e := range batch {
		if err := w.done(e.key); err != nil {
			return err
		}
	}
	return nil
}

// one writes one key.
func (w *importer) one(ctx context.Context, e imported) error {
	var opts []api.WriteOption
	if e.flags != 0 {
		opts = append(opts, api.Flags(e.flags))
	}
	if w.reason != "" {
		opts = append(opts, api.Reason(w.reason))
	}
	if _, err := w.kv.Put(ctx, e.key, e.value, opts...); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	return w.done(e.key)
}

// refused says whether a transaction certainly changed nothing, and whether its
// keys may fare better one by one.
func refused(err error) bool {
	var rolledBack *api.TxnError
	var status *api.StatusError
	switch {
	case errors.As(err, &rolledBack), errors.Is(err, api.ErrKey):
		return true
	case errors.As(err, &status):
		return status.Code >= 400 && status.Code < 500 && status.Code != http.StatusTooManyRequests
	}
	return false
}

// isBlank says whether data holds nothing but white space.
func isBlank(data []byte) bool { return len(bytes.TrimSpace(data)) == 0 }
