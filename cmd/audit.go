package cmd

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/audit"
)

// newAuditCommand holds the commands on audit logs.
func newAuditCommand() *cobra.Command {
	return group("audit", "Check what a server has written down about who did what",
		newAuditVerifyCommand(),
	)
}

func newAuditVerifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify [flags] FILE...",
		Short: "Check that audit logs are as they were written",
		Long: `Check the chain of audit logs: that no line was changed, taken out or put in. Give the files in
the order in which they were written, those that were put away first. The first line that is not as
it was written is named. No server is asked.

Lines that were cut off at the end leave no trace in what remains: compare the last number and
hash with what you have noted elsewhere. A server logs them whenever it begins a file and when
it ends.

With -syslog the files are those of a daemon that was sent the lines: what stands in front of them
and lines of other programs are passed over. There, a server that is started anew begins another
chain. Where several servers write to one file, -server says whose lines to check.`,
		Example:     "  holdfast audit verify /var/lib/holdfast/audit/audit-*.log /var/lib/holdfast/audit/audit.log",
		Annotations: exits(""),
	}
	out := prints(c)
	syslog := c.Flags().Bool("syslog", false, "The files are those of the system's log")
	server := c.Flags().String("server", "", "With -syslog: name of the server whose lines to check; others are passed over")
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("verify wants the audit logs to check: FILE...")
		}
		if *server != "" && !*syslog {
			return usagef("-server goes with -syslog: other audit logs are those of one server")
		}
		check := audit.Verify
		if *syslog {
			check = func(names ...string) (audit.Report, error) { return audit.VerifySyslog(*server, names...) }
		}
		report, err := check(args...)
		if err != nil {
			return err
		}
		return out.print(report, func(w io.Writer) error { return writeAuditReport(w, report) })
	}
	return c
}

func writeAuditReport(w io.Writer, r audit.Report) error {
	rows := [][2]string{
		{"Files", strconv.Itoa(r.Files)},
		{"Lines", strconv.FormatUint(r.Lines, 10)},
	}
	if r.Lines > 0 {
		rows = append(rows,
			[2]string{"First", fmt.Sprintf("%d, %s", r.First, r.From.Format(time.RFC3339))},
			[2]string{"Last", fmt.Sprintf("%d, %s", r.Last, r.To.Format(time.RFC3339))},
			[2]string{"Hash", r.Head},
		)
	}
	if r.Chains > 1 {
		rows = append(rows, [2]string{"Chains", strconv.Itoa(r.Chains)})
	}
	if r.Torn > 0 {
		rows = append(rows, [2]string{"Cut short", strconv.Itoa(r.Torn)})
	}
	if r.Lost > 0 {
		rows = append(rows, [2]string{"Lost", strconv.FormatUint(r.Lost, 10)})
	}
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "%-10s%s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}
