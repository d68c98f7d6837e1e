package cmd

import (
	"strings"

	"github.com/spf13/cobra"
)

// newKVCommand holds the commands on keys.
func newKVCommand() *cobra.Command {
	return group("kv", "Read and write keys",
		newKVDeleteCommand(),
		newKVExportCommand(),
		newKVGetCommand(),
		newKVHistoryCommand(),
		newKVImportCommand(),
		newKVListCommand(),
		newKVPutCommand(),
	)
}

// slashNote is in the help of every command that takes a key.
const slashNote = "\n\nOne leading / of a key is dropped, as consul's command line does: for the key /a write //a."

// keyOperand is a key as the user typed it. The tools of this API all drop one
// leading slash, because keys in URLs look as if they had one.
func keyOperand(arg string) string { return strings.TrimPrefix(arg, "/") }

// firstOperand is the first of args, or "" for none.
func firstOperand(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
