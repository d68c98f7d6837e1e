package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

func newTxnCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "txn [flags] DATA",
		Short: "Carry out several operations on keys, all or none",
		Long: `Carry out a transaction. DATA is a JSON array of operations as the HTTP API takes them:
itself, @FILE for the content of a file, or - for standard input. Values are base64.

Verbs: set, cas, lock, unlock, get, get-or-empty, get-tree, check-index, check-session,
check-not-exists, delete, delete-tree, delete-cas.`,
		Example: `  holdfast txn '[{"KV":{"Verb":"check-not-exists","Key":"a"}},{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}}]'
  holdfast txn @change.json`,
		Annotations: exits("4 5 6 7"),
	}
	conn := connect(c, askTimeout)
	out := prints(c)
	c.Flags().StringVar(&reason, "reason", "", "Why, as one line of `text` that is kept in the history.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 1, "DATA"); err != nil {
			return err
		}
		if _, err := out.chosen(); err != nil {
			return err
		}
		data, err := dataOperand(args[0], c.InOrStdin(), maxDocumentBytes)
		if err != nil {
			return err
		}
		ops, err := parseOperations(data)
		if err != nil {
			return err
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		opts := []api.TxnOption{}
		if conn.stale {
			opts = append(opts, api.Stale())
		}
		if reason != "" {
			opts = append(opts, api.Reason(reason))
		}
		res, err := client.Txn(ctx, ops, opts...)
		if err != nil {
			return err
		}
		if err := res.Err(); err != nil {
			return fmt.Errorf("%w: %w", errLostRace, err)
		}
		return out.print(orEmpty(res.Entries), func(w io.Writer) error {
			return columns(w, out.style(), entryRows(res.Entries))
		})
	}
	return c
}

// parseOperations reads the JSON of a transaction. What it does not know is an
// error, here as on the server: a misspelt member must not be left out in silence.
func parseOperations(data []byte) ([]api.TxnOp, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var list []struct{ KV *api.TxnOp }
	if err := d.Decode(&list); err != nil {
		return nil, usagef("the transaction is not a JSON array of operations on keys: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, usagef("the transaction has more behind its end, at byte %d", d.InputOffset())
	}
	ops := make([]api.TxnOp, 0, len(list))
	for i, e := range list {
		if e.KV == nil {
			return nil, usagef("operation %d has no member KV", i)
		}
		ops = append(ops, *e.KV)
	}
	return ops, nil
}

// entryRows are the cells of the table.
func entryRows(entries []*api.Entry) [][]string {
	rows := [][]string{{"Key", "ModifyIndex", "Flags", "Session", "Value"}}
	for _, e := range entries {
		rows = append(rows, []string{
			shown(e.Key), strconv.FormatUint(e.ModifyIndex, 10), strconv.FormatUint(e.Flags, 10),
			firstOf(e.Session, "-"), shown(string(e.Value)),
		})
	}
	return rows
}
