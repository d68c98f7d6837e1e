package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
)

// Formats of data.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatYAML  = "yaml"

	// formatPretty is what consul's command line calls the table.
	formatPretty = "pretty"
)

// envFormat is the format when no flag says otherwise.
const envFormat = "HOLDFAST_FORMAT"

// printer writes the data of a command in the format that the user asked for.
type printer struct {
	c      *cobra.Command
	format string // "" until the flag is given
}

// prints adds the flag -format to a command.
func prints(c *cobra.Command) *printer {
	p := &printer{c: c}
	c.Flags().StringVar(&p.format, "format", "", "Show data as `format`: table (or pretty), json or yaml. Environment: "+envFormat+"; else table.")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions( // the flag exists
		[]string{formatTable, formatJSON, formatYAML}, cobra.ShellCompDirectiveNoFileComp))
	return p
}

// chosen is the format to use.
func (p *printer) chosen() (string, error) {
	format, from := p.format, "-format"
	if format == "" {
		format, from = os.Getenv(envFormat), envFormat
	}
	switch format {
	case "", formatPretty:
		return formatTable, nil
	case formatTable, formatJSON, formatYAML:
		return format, nil
	}
	return "", usagef("%s: %q is not a format; table, json and yaml are", from, format)
}

// print writes data as JSON or YAML, or calls table, which writes it for people.
// Check the format with chosen before anything is changed on a server.
func (p *printer) print(data any, table func(w io.Writer) error) error {
	format, err := p.chosen()
	if err != nil {
		return err
	}
	out := p.c.OutOrStdout()
	switch format {
	case formatJSON:
		return writeJSON(out, data)
	case formatYAML:
		return writeYAML(out, data)
	}
	return table(out)
}

// writeJSON writes v indented, with a newline at the end.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeYAML writes v with the names and the order that its JSON has. JSON is YAML:
// it is read as such, and only the style is changed.
func writeYAML(w io.Writer, v any) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Load(b.Bytes(), &node); err != nil {
		return fmt.Errorf("turn JSON into YAML: %w", err)
	}
	plain(&node)
	text, err := yaml.Dump(&node)
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// plain drops the braces and the quotes of JSON where YAML needs none.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plain(child)
	}
}

// columns writes aligned rows; the first is the headline.
func columns(w io.Writer, st style, rows [][]string) error {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	first, rest, _ := strings.Cut(b.String(), "\n")
	_, err := fmt.Fprintf(w, "%s\n%s", st.strong(strings.TrimRight(first, " ")), rest)
	return err
}

// style is that of the command's standard output.
func (p *printer) style() style { return styleFor(p.c.OutOrStdout(), os.Getenv) }

// shown makes a text safe for one cell of a table: control characters are quoted.
func shown(text string) string {
	quoted := fmt.Sprintf("%q", text)
	if quoted[1:len(quoted)-1] == strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `"`, `\"`) {
		return text
	}
	return quoted
}
