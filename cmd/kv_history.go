package cmd

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

func newKVHistoryCommand() *cobra.Command {
	var limit int
	var values bool
	c := &cobra.Command{
		Use:   "history [flags] KEY",
		Short: "Show what happened to a key, newest first",
		Long: `Show the changes of a key that the servers still keep: when, what, who, from where and
why. The value of each is shown with -values, and in JSON and YAML always (as base64).
To read the state at one of the indexes, use "holdfast kv get -revision".` + slashNote,
		Example: `  holdfast kv history app/motd
  holdfast kv history -n=5 -values app/motd
  holdfast kv get -revision=42 app/motd        # the value it had then`,
		Annotations: exits("3 4 6 7"),
	}
	conn := connect(c, askTimeout)
	out := prints(c)
	c.Flags().IntVar(&limit, "n", 20, "Show at most this `number` of changes; 0 shows all.")
	c.Flags().BoolVar(&values, "values", false, "Show the value of each change.")
	c.ValidArgsFunction = completeKeys(conn, 1)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 1, "KEY"); err != nil {
			return err
		}
		if limit < 0 {
			return usagef("-n must not be negative")
		}
		if _, err := out.chosen(); err != nil {
			return err
		}
		key := keyOperand(args[0])
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		changes, _, err := client.KV().History(ctx, key, limit, conn.reads()...)
		if err != nil {
			return noHistory(key, err)
		}
		return out.print(orEmpty(changes), func(w io.Writer) error {
			return columns(w, out.style(), historyRows(changes, values))
		})
	}
	return c
}

// noHistory says plainly that nothing is known of a key.
func noHistory(key string, err error) error {
	if exitCode(err) == exitNotFound {
		return &plainError{text: fmt.Sprintf("Error! Nothing is known of the key: %s", key), err: err}
	}
	return err
}

// historyRows are the cells of the table.
func historyRows(changes []api.Change, values bool) [][]string {
	head := []string{"Index", "Time", "Op", "Size", "Flags", "Who", "From", "Reason"}
	if values {
		head = append(head, "Value")
	}
	rows := [][]string{head}
	for _, ch := range changes {
		row := []string{
			strconv.FormatUint(ch.Index, 10),
			ch.Time.UTC().Format(time.RFC3339),
			string(ch.Op),
			strconv.Itoa(ch.Size),
			strconv.FormatUint(ch.Flags, 10),
			firstOf(ch.Accessor, "-"),
			firstOf(ch.Address, "-"),
			firstOf(shown(ch.Reason), "-"),
		}
		if values {
			row = append(row, shown(string(ch.Value)))
		}
		rows = append(rows, row)
	}
	return rows
}
