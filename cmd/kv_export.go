package cmd

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// exported is an entry in the format that consul's command line exchanges.
//
// Source: contract, KV, "Export and import format".
type exported struct {
	Key   string `json:"key"`
	Flags uint64 `json:"flags"`
	Value []byte `json:"value"` // base64; "" when empty, never null
}

func newKVExportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "export [flags] [PREFIX]",
		Short: "Write every key with a prefix as JSON",
		Long: `Write every key with a prefix to standard output, in the JSON that "holdfast kv import"
and "consul kv import" read. Keys, values and flags are exported; indexes, sessions and
lock counts are not. It is one consistent picture of the store. The output is always
JSON, whatever HOLDFAST_FORMAT says, so that it can be imported.` + slashNote,
		Example: `  holdfast kv export app/ > app.json
  holdfast kv export -stale > everything.json`,
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, noTimeout)
	c.ValidArgsFunction = completeKeys(conn, 1)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0, "PREFIX"); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		entries, _, err := client.KV().List(ctx, keyOperand(firstOperand(args)), conn.reads()...)
		if err != nil {
			return err
		}
		e := json.NewEncoder(c.OutOrStdout())
		e.SetEscapeHTML(false)
		e.SetIndent("", "\t")
		return e.Encode(exportOf(entries))
	}
	return c
}

// exportOf drops what is not exported.
func exportOf(entries []*api.Entry) []exported {
	out := make([]exported, 0, len(entries))
	for _, e := range entries {
		value := e.Value
		if value == nil {
			value = []byte{}
		}
		out = append(out, exported{Key: e.Key, Flags: e.Flags, Value: value})
	}
	return out
}
