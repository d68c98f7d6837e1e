package cmd

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// normalize doubles the dash of long flags that were written with one, as users
// of consul write them: "-http-addr=x" becomes "--http-addr=x". It walks down the
// tree of commands as the words name them and stops at the first operand: what
// follows is data, dashes and all. "-h" and unknown single letters stay as they
// are; a longer unknown name is doubled, so that it is reported as one flag.
func normalize(root *cobra.Command, args []string) []string {
	out := make([]string, 0, len(args))
	current := root
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if len(arg) < 2 || arg[0] != '-' {
			next := child(current, arg)
			if next == nil {
				return append(out, args[i:]...)
			}
			current = next
			out = append(out, arg)
			continue
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		flag := findFlag(current, name)
		if !strings.HasPrefix(arg, "--") && (flag != nil || len(name) > 1) {
			arg = "-" + arg
		}
		out = append(out, arg)
		if flag != nil && !hasValue && flag.NoOptDefVal == "" && i+1 < len(args) {
			i++
			out = append(out, args[i]) // its value, whatever it looks like
		}
	}
	return out
}

// child finds the command that word names below parent; nil if there is none.
func child(parent *cobra.Command, word string) *cobra.Command {
	for _, c := range parent.Commands() {
		if c.Name() == word || c.HasAlias(word) {
			return c
		}
	}
	return nil
}

// findFlag finds a long flag of c or one that it inherits.
func findFlag(c *cobra.Command, name string) *pflag.Flag {
	if name == "" {
		return nil
	}
	if f := c.Flags().Lookup(name); f != nil {
		return f
	}
	for ; c != nil; c = c.Parent() {
		if f := c.PersistentFlags().Lookup(name); f != nil {
			return f
		}
	}
	return nil
}
