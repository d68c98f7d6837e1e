package cmd

import (
	"github.com/spf13/cobra"
)

// newCompletionCommand writes the scripts that make shells complete.
func newCompletionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "completion [flags] bash|zsh|fish|powershell",
		Short: "Write the script that makes a shell complete commands, flags and keys",
		Long: `Write a completion script to standard output. Commands and flags complete at once;
keys are asked of the server that the flags and the environment name, which has 300 ms
to answer.`,
		Example: `  holdfast completion bash > /etc/bash_completion.d/holdfast
  holdfast completion zsh > "${fpath[1]}/_holdfast"
  holdfast completion fish > ~/.config/fish/completions/holdfast.fish
  holdfast completion powershell >> $PROFILE`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := operands(args, 1, "SHELL"); err != nil {
			return err
		}
		root, out := c.Root(), c.OutOrStdout()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(out, true)
		case "zsh":
			return root.GenZshCompletion(out)
		case "fish":
			return root.GenFishCompletion(out, true)
		case "powershell":
			return root.GenPowerShellCompletionWithDesc(out)
		}
		return usagef("%q is not a shell that completion is known for; bash, zsh, fish and powershell are", args[0])
	}
	return c
}
