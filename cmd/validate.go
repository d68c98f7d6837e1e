package cmd

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/agent/config"
	"github.com/holdfast-kv/holdfast/agent/tlsconf"
)

// verdict is what "validate" prints as JSON and YAML.
type verdict struct {
	Valid    bool             `json:"valid"`
	Faults   []config.Fault   `json:"faults"`
	Warnings []string         `json:"warnings"`
	Files    []string         `json:"files"`
	Settings []config.Setting `json:"settings"` // those that are not at their default
}

func newValidateCommand() *cobra.Command {
	var quiet bool
	var format string
	c := &cobra.Command{
		Use:   "validate [flags] FILE|FOLDER...",
		Short: "Check configuration files",
		Long: `Check configuration files before a server meets them. Of a folder, the files that end in
.hcl or .json are read, in the order of their names. Every fault of every file is shown,
each on its own line with its place; if there is none, what the files set is shown.

Flags and the environment have no part in it: the files must be whole by themselves. The
certificates, keys and authorities that they name are read and checked too.`,
		Example: `  holdfast validate /etc/holdfast.d
  holdfast validate -quiet server.hcl && systemctl reload holdfast`,
		Annotations: exits(""),
	}
	c.Flags().BoolVar(&quiet, "quiet", false, "Print nothing when the configuration is valid.")
	c.Flags().StringVar(&format, "config-format", "", "How to read files whose name ends in neither .hcl nor .json: `hcl` or json.")
	out := prints(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("the argument FILE is missing")
		}
		if format != "" && format != "hcl" && format != "json" {
			return usagef("-config-format: %q is not a format; hcl and json are", format)
		}
		chosen, err := out.chosen()
		if err != nil {
			return err
		}
		loaded, err := config.Load(config.Sources{Paths: args, Format: format, Inspect: tlsconf.Check})
		var faults config.Faults
		if errors.As(err, &faults) {
			return invalid(out, chosen, faults)
		}
		if err != nil {
			return err
		}
		if quiet {
			return nil
		}
		return out.print(verdict{
			Valid: true, Faults: []config.Fault{}, Warnings: orEmpty(loaded.Warnings), Files: orEmpty(loaded.Files), Settings: notDefault(loaded.Settings),
		}, func(w io.Writer) error { return writeValid(w, out.style(), loaded) })
	}
	return c
}

// invalid shows the faults, as data to standard output if data was asked for.
func invalid(out *printer, format string, faults config.Faults) error {
	if format != formatTable {
		v := verdict{Faults: faults, Warnings: []string{}, Files: []string{}, Settings: []config.Setting{}}
		if err := out.print(v, nil); err != nil {
			return err
		}
		return &plainError{text: fmt.Sprintf("Configuration is not valid: %s", counted(len(faults), "fault")), err: faults}
	}
	return &plainError{
		text: fmt.Sprintf("Configuration is not valid: %s\n  %s", counted(len(faults), "fault"), strings.ReplaceAll(faults.Error(), "\n", "\n  ")),
		err:  faults,
	}
}

// writeValid tells people what would be used.
func writeValid(w io.Writer, st style, l *config.Loaded) error {
	fmt.Fprintln(w, "Configuration is valid!")
	for _, warning := range l.Warnings {
		fmt.Fprintln(w, "Warning: "+shown(warning))
	}
	fmt.Fprintln(w)
	rows := [][]string{{"Setting", "Value", "Source"}}
	for _, s := range notDefault(l.Settings) {
		rows = append(rows, []string{s.Name, cell(s.Value), shown(s.Source)})
	}
	if err := columns(w, st, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s read. Every other setting has its default.\n", counted(len(l.Files), "file"))
	return err
}

// notDefault returns the settings that are not at their default.
func notDefault(all []config.Setting) []config.Setting {
	out := []config.Setting{}
	for _, s := range all {
		if s.Source != "default" {
			out = append(out, s)
		}
	}
	return out
}

// cell shows a value that may be empty.
func cell(value string) string {
	if value == "" {
		return "-"
	}
	return shown(value)
}

// counted writes a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
