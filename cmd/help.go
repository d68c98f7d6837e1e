package cmd

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Annotations of commands and flags that the help reads.
const (
	// exitsAnnotation lists the exit codes a command can end with beyond those
	// every command has, such as "3 5".
	exitsAnnotation = "exits"

	// groupAnnotation is the headline under which a flag is shown.
	groupAnnotation = "group"
)

// connectionGroup is the headline of the flags that name the server.
const connectionGroup = "Connection flags"

// help writes the help of a command: one line that says what it is for, how it is
// used, its commands and flags, an example and its exit codes. Flags are shown with
// one dash; two work as well.
func help(c *cobra.Command, _ []string) {
	w := c.OutOrStdout()
	fmt.Fprintln(w, strings.TrimRight(firstOf(c.Long, c.Short), "\n"))
	if !c.Runnable() && !c.HasAvailableSubCommands() {
		return // a topic: its text is all there is
	}
	usage := c.UseLine()
	if c.HasAvailableSubCommands() {
		usage = c.CommandPath() + " COMMAND"
	}
	fmt.Fprintf(w, "\nUsage: %s\n", usage)
	writeCommands(w, c)
	writeFlags(w, c)
	if c.Example != "" {
		fmt.Fprintf(w, "\nExample:\n\n%s\n", strings.TrimRight(c.Example, "\n"))
	}
	writeExits(w, c)
}

// newHelpCommand is "holdfast help kv get".
func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "Show the help of a command or a topic",
		RunE: func(c *cobra.Command, args []string) error {
			target := root
			for _, word := range args {
				next := child(target, word)
				if next == nil {
					return pickCommand(target, []string{word})
				}
				target = next
			}
			target.SetOut(c.OutOrStdout())
			target.InitDefaultHelpFlag()
			help(target, nil)
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			target := root
			for _, word := range args {
				if target = child(target, word); target == nil {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
			}
			var names []string
			for _, sub := range target.Commands() {
				names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// writeCommands lists the commands of a group, and the topics of the root.
func writeCommands(w io.Writer, c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprint(table, "\nCommands:\n\n")
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			fmt.Fprintf(table, "  %s\t%s\n", sub.Name(), sub.Short)
		}
	}
	topics := false
	for _, sub := range c.Commands() {
		if sub.IsAdditionalHelpTopicCommand() {
			if !topics {
				fmt.Fprint(table, "\nTopics:\n\n")
			}
			topics = true
			fmt.Fprintf(table, "  %s\t%s\n", sub.Name(), sub.Short)
		}
	}
	_ = table.Flush() // an error of w shows at the next write
	fmt.Fprintf(w, "\n\"%s COMMAND -h\" tells more about a command.\n", c.CommandPath())
	if topics {
		fmt.Fprintf(w, "\"%s help TOPIC\" shows a topic.\n", c.CommandPath())
	}
}

// writeFlags lists the flags under their headlines; the connection comes last.
func writeFlags(w io.Writer, c *cobra.Command) {
	groups := map[string][]*pflag.Flag{}
	order := []string{"Flags"}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "Flags"
		if own := f.Annotations[groupAnnotation]; len(own) > 0 {
			name = own[0]
		}
		if len(groups[name]) == 0 && name != "Flags" {
			order = append(order, name)
		}
		groups[name] = append(groups[name], f)
	})
	for _, name := range order {
		if len(groups[name]) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s:\n\n", name)
		for _, f := range groups[name] {
			writeFlag(w, f)
		}
	}
}

// writeFlag shows one flag with its default, if that says anything.
func writeFlag(w io.Writer, f *pflag.Flag) {
	value, usage := pflag.UnquoteUsage(f)
	fmt.Fprintf(w, "  -%s", f.Name)
	if value != "" && f.Value.Type() != "bool" {
		fmt.Fprintf(w, "=<%s>", value)
	}
	fmt.Fprintln(w)
	for line := range strings.SplitSeq(wrap(usage, 74), "\n") {
		fmt.Fprintf(w, "      %s\n", line)
	}
	switch f.DefValue {
	case "", "false", "0", "0s", "[]":
	default:
		fmt.Fprintf(w, "      Default: %s\n", f.DefValue)
	}
}

// writeExits shows those rows of the exit-code table that concern a command.
func writeExits(w io.Writer, c *cobra.Command) {
	if c.HasAvailableSubCommands() {
		return
	}
	codes := "0 1 2 130 " + c.Annotations[exitsAnnotation]
	fmt.Fprintln(w, "\nExit codes:")
	fmt.Fprintln(w)
	for _, row := range exitCodes {
		for word := range strings.FieldsSeq(codes) {
			if word == fmt.Sprint(row.code) {
				fmt.Fprintf(w, "  %3d  %s\n", row.code, row.meaning)
				break
			}
		}
	}
}

// wrap breaks text into lines of at most width letters where it has spaces.
func wrap(text string, width int) string {
	var b strings.Builder
	used := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case used == 0:
		case used+1+len(word) > width:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += len(word)
	}
	return b.String()
}

// firstOf is the first text that is not empty.
func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// exits annotates a command with the exit codes that it can end with.
func exits(codes string) map[string]string { return map[string]string{exitsAnnotation: codes} }
