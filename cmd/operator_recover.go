package cmd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/agent"
)

// recovery is one run of "operator recover".
type recovery struct {
	c       *cobra.Command
	out     *printer
	recover bool
	yes     string
}

func newRecoverCommand() *cobra.Command {
	r := &recovery{}
	c := &cobra.Command{
		Use:   "recover [flags] DATA-DIR [REPORT...]",
		Short: "Go on with one server of a cluster that has lost its majority for good",
		Long: `Look at the data dir of a server that is stopped: say how far its log goes, which servers
its cluster has, and, with the reports of other survivors, which survivor is furthest. No
server is asked but for whether it is there; nothing is changed without -recover.

With -recover the server becomes the only one of its cluster at its next start, with all
that is in its log: what was never acknowledged may be among it. It is refused while a
majority is there, while another server of the cluster runs, and on a server that is not
the furthest. Servers of which there is no report count as lost. The index of the last log
entry must be typed, or given with -yes.

The way:
  1. stop every server that is left, and run this on each with -format=json
  2. run it with -recover on the furthest, with the reports of the others, and start it
  3. start the others with empty data dirs: they join it and take what it has. With
     their old data they could form the old cluster again

"holdfast snapshot restore" on a new cluster is the way when no server is left.`,
		Example: `  holdfast operator recover -format=json /var/lib/holdfast >beta.json       # on beta
  holdfast operator recover /var/lib/holdfast beta.json                     # on alpha: who is furthest?
  holdfast operator recover -recover -yes=48151 /var/lib/holdfast beta.json`,
	}
	r.c, r.out = c, prints(c)
	c.Flags().BoolVar(&r.recover, "recover", false, "Make this server the only one of its cluster.")
	c.Flags().StringVar(&r.yes, "yes", "", "The `index` of the last log entry, instead of typing it.")
	c.RunE = func(_ *cobra.Command, args []string) error { return r.run(args) }
	return c
}

func (r *recovery) run(args []string) (err error) {
	if len(args) == 0 {
		return usagef("the argument DATA-DIR is missing")
	}
	if r.yes != "" && !r.recover {
		return usagef("-yes is for -recover")
	}
	if r.recover && r.yes == "" && !isTerminal(r.c.InOrStdin()) {
		return usagef("-recover needs -yes=INDEX where nobody can be asked")
	}
	if _, err := r.out.chosen(); err != nil {
		return err
	}
	var others []agent.Survivor
	for _, file := range args[1:] {
		other, err := readReport(file)
		if err != nil {
			return err
		}
		others = append(others, other)
	}
	server, err := agent.OpenStopped(args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if err := server.Survivors(others); err != nil {
		return err
	}
	if !r.recover {
		return r.out.print(&server.Survivor, func(w io.Writer) error { return r.show(w, &server.Survivor, others) })
	}
	if err := server.MayRecover(others); err != nil {
		return err
	}
	if err := r.confirm(server.LastIndex); err != nil {
		return err
	}
	if err := server.MakeSole(); err != nil {
		return err
	}
	return r.out.print(&server.Survivor, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Server %s is the only one of its cluster from its next start on, with everything to index %d.\n"+
			"Start it, then the others with empty data dirs.\n", server.NodeID, server.LastIndex)
		return err
	})
}

// confirm has the index typed, unless it was given.
func (r *recovery) confirm(index uint64) error {
	given := r.yes
	if given == "" {
		_, err := fmt.Fprintf(r.c.ErrOrStderr(), "Every server but this one is given up, and with them what only they have. "+
			"The last index here is %d.\nType it to go on: ", index)
		if err != nil {
			return err
		}
		line, err := bufio.NewReader(r.c.InOrStdin()).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the answer: %w", err)
		}
		given = strings.TrimSpace(line)
	}
	if given != strconv.FormatUint(index, 10) {
		return fmt.Errorf("nothing was changed: the last index is %d, not %q", index, given)
	}
	return nil
}

// show writes the report for people.
func (r *recovery) show(w io.Writer, self *agent.Survivor, others []agent.Survivor) error {
	all := append([]agent.Survivor{*self}, others...)
	furthest := self
	for i := range all {
		if all[i].Compare(furthest) > 0 {
			furthest = &all[i]
		}
	}
	rows := [][]string{{"ID", "Address", "Voter", "Last Term", "Last Index", "Snapshot Index", ""}}
	for _, p := range furthest.Servers {
		row := []string{p.ID, p.Address, strconv.FormatBool(p.Voter), "-", "-", "-", "no report"}
		for i := range all {
			if s := &all[i]; s.NodeID == p.ID {
				row = append(row[:3], strconv.FormatUint(s.LastTerm, 10), strconv.FormatUint(s.LastIndex, 10),
					strconv.FormatUint(s.SnapshotIndex, 10), "behind")
				if s.Compare(furthest) == 0 {
					row[6] = "furthest"
				}
			}
		}
		if p.ID == self.NodeID {
			row[6] += ", this server"
		}
		rows = append(rows, row)
	}
	if err := columns(w, r.out.style(), rows); err != nil {
		return err
	}
	verdict := "\nThis server may be recovered, if those without a report are lost for good.\n"
	if err := self.MayRecover(others); err != nil {
		verdict = fmt.Sprintf("\nNot to be recovered: %v.\n", err)
	}
	_, err := io.WriteString(w, verdict)
	return err
}

// readReport reads what the command has printed on another server.
func readReport(file string) (s agent.Survivor, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%s is no report: %w", file, err)
	}
	return s, nil
}
