package cmd

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/internal/version"
)

// build is what "version" prints as JSON and YAML.
type build struct {
	Version   string
	Commit    string
	BuildDate string
	Go        string
	Platform  string
}

func newVersionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "version [flags]",
		Short:   "Say which build this is",
		Example: "  holdfast version\n  holdfast version -format=json",
	}
	out := prints(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		if err := operands(args, 0); err != nil {
			return err
		}
		b := build{
			Version: version.Version, Commit: version.Commit, BuildDate: version.BuildDate,
			Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		}
		return out.print(b, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, version.String())
			return err
		})
	}
	return c
}
