package cmd

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/api"
)

// maxPayloadBytes bounds what is read as the payload of an event; servers take a few
// hundred bytes.
const maxPayloadBytes = 64 << 10

// newEventCommand holds the commands on user events.
func newEventCommand() *cobra.Command {
	return group("event", "Fire and list user events", newEventFireCommand(), newEventListCommand())
}

func newEventFireCommand() *cobra.Command {
	var ev api.UserEvent
	c := &cobra.Command{
		Use:   "fire [flags] [PAYLOAD]",
		Short: "Fire a user event",
		Long: `Fire an event: a name and a few hundred bytes, which every server lists. PAYLOAD is the
bytes; @FILE is the content of a file, - is standard input. With -node, -service and -tag,
which are regular expressions, only servers that match list it.`,
		Example: `  holdfast event fire -name=deploy v42
  holdfast event fire -name=reload -service='^web$' -tag=canary`,
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, askTimeout)
	out := prints(c)
	fs := c.Flags()
	fs.StringVar(&ev.Name, "name", "", "The `name` of the event.")
	fs.StringVar(&ev.NodeFilter, "node", "", "Only for nodes whose name matches this `expression`.")
	fs.StringVar(&ev.ServiceFilter, "service", "", "Only for nodes with a service whose name matches this `expression`.")
	fs.StringVar(&ev.TagFilter, "tag", "", "With -service, only for services with a tag that matches this `expression`.")
	c.RunE = func(c *cobra.Command, args []string) error {
		err := operands(args, 0, "PAYLOAD")
		switch {
		case err != nil:
			return err
		case ev.Name == "":
			return &usageError{msg: "-name is missing", try: "holdfast event fire -name=NAME [PAYLOAD]"}
		case ev.TagFilter != "" && ev.ServiceFilter == "":
			return usagef("-tag means nothing without -service")
		}
		if _, err := out.chosen(); err != nil {
			return err
		}
		if len(args) > 0 {
			if ev.Payload, err = dataOperand(args[0], c.InOrStdin(), maxPayloadBytes); err != nil {
				return err
			}
		}
		client, ctx, cancel, err := conn.open(c)
		if err != nil {
			return err
		}
		defer cancel()
		fired, err := client.Events().Fire(ctx, ev)
		if err != nil {
			return err
		}
		return out.print(fired, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, "Event ID: "+fired.ID)
			return err
		})
	}
	return c
}

func newEventListCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "list [flags]",
		Short: "List the user events that are kept, oldest first",
		Example: `  holdfast event list
  holdfast event list -name=deploy -format=json`,
		Annotations: exits("4 6 7"),
	}
	conn := connect(c, askTimeout)
	out := prints(c)
	c.Flags().StringVar(&name, "name", "", "Only events of this `name`.")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		client, ctx, cancel, err := conn.openFor(c, out)
		if err != nil {
			return err
		}
		defer cancel()
		events, _, err := client.Events().List(ctx, name, conn.reads()...)
		if err != nil {
			return err
		}
		return out.print(orEmpty(events), func(w io.Writer) error { return columns(w, out.style(), eventRows(events)) })
	}
	return c
}

// eventRows are the cells of the table.
func eventRows(events []*api.UserEvent) [][]string {
	rows := [][]string{{"LTime", "ID", "Name", "Node", "Service", "Tag", "Payload"}}
	for _, e := range events {
		rows = append(rows, []string{
			fmt.Sprint(e.LTime), e.ID, shown(e.Name), firstOf(shown(e.NodeFilter), "-"),
			firstOf(shown(e.ServiceFilter), "-"), firstOf(shown(e.TagFilter), "-"), shown(string(e.Payload)),
		})
	}
	return rows
}
