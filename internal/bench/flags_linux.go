package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/cells"
	"github.com/holdfast-kv/holdfast/internal/bench/target"
)

// command is what the command line and the environment ask for.
type command struct {
	list      bool
	check     bool
	json      string // files; "" is none
	markdown  string
	record    string
	baseline  string
	dir       string // parent of the folder for all files
	quick     bool
	options   cells.Options
	asWritten map[string]any // the flags that have been set, for the JSON file
}

const (
	rest   = time.Second            // see cells.Options
	listen = 100 * time.Millisecond // long enough on an idle machine; misses only make the count lower
)

// quickRounds and quickRound make a run short; quickLoad is its number of keys.
const (
	quickRounds = 2
	quickRound  = 200 * time.Millisecond
	quickLoad   = 20_000
)

// parse reads the command line and the environment. Errors have been printed to
// out already if they come from the flag package.
func parse(args []string, env func(string) string, out io.Writer) (*command, error) {
	c := &command{asWritten: map[string]any{}}
	o := &c.options
	o.Sizes, o.Rest, o.Listen = cells.DefaultSizes(), rest, listen
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.BoolVar(&c.list, "list", false, "print the names of the cells and end")
	fs.BoolVar(&c.check, "check", false, "exit with status 1 if a bar is missed, or could not be judged")
	fs.BoolVar(&c.quick, "quick", false, "a smoke run: short rounds, a small store")
	fs.StringVar(&c.json, "json", "", "also write everything to this `file`")
	fs.StringVar(&c.markdown, "markdown", "", "also write the results into this page of documentation, a `file`")
	fs.StringVar(&c.record, "record", "", "also write the ratios to this `file`, for -baseline")
	fs.StringVar(&c.baseline, "baseline", "", "compare with the ratios in this `file`; exit with status 1 if something is worse beyond tolerance, or a bar is missed")
	fs.StringVar(&c.dir, "dir", os.TempDir(), "a `folder` on a real disk; a fresh one below it takes all files")
	cell := fs.String("cell", "", "only the cells whose name matches this `regexp`")
	fs.IntVar(&o.Rounds, "rounds", 5, "rounds in which server and limit take turns")
	fs.DurationVar(&o.Round, "round", 1500*time.Millisecond, "how long each has in a round")
	fs.IntVar(&o.Loops, "loops", max(1, runtime.NumCPU()/4), "`threads` that generate load")
	fs.IntVar(&o.Sizes.LoadKeys, "load-keys", o.Sizes.LoadKeys, "keys of the large store; the bars are for the default")
	fs.StringVar(&o.Server.Bin, "server-bin", "", "measure this `binary` instead of building one")
	fs.Func("server-config", "a further configuration `file` for the server; may be repeated", func(s string) error {
		o.Server.Config = append(o.Server.Config, s)
		return nil
	})
	subjectURL := fs.String("subject-url", "", "measure the server at this `URL` instead of starting one")
	subjectPID := fs.Int("subject-pid", 0, "the process of -subject-url, for CPU and memory")
	fs.BoolVar(&o.PeerRestore, "peer-restore", false, "measure restoring a snapshot on BENCH_PEER too, which undoes what others wrote to it")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	fs.Visit(func(f *flag.Flag) { c.asWritten[f.Name] = f.Value.String() })
	if len(o.Server.Config) > 0 {
		c.asWritten["server-config"] = strings.Join(o.Server.Config, " -server-config=")
	}
	if c.record != "" && *cell != "" {
		return nil, errors.New("-record takes all cells: leave -cell out")
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("there is no argument %q; see -help", fs.Arg(0))
	}
	if c.quick {
		setUnlessGiven(c.asWritten, "rounds", &o.Rounds, quickRounds)
		setUnlessGiven(c.asWritten, "round", &o.Round, quickRound)
		setUnlessGiven(c.asWritten, "load-keys", &o.Sizes.LoadKeys, quickLoad)
		s := &o.Sizes
		s.Scattered, s.Multitude, s.Failovers, s.Tokens = s.Scattered/10, s.Multitude/10, s.Failovers/5, s.Tokens/10
		s.RearmFor, s.SpreadFor = s.RearmFor/10, s.SpreadFor/10
	}
	return c, errors.Join(
		c.checkRanges(),
		c.setCell(*cell),
		c.setSubject(*subjectURL, *subjectPID),
		c.setPeer(env),
	)
}

func setUnlessGiven[T any](given map[string]any, name string, p *T, v T) {
	if _, found := given[name]; !found {
		*p = v
	}
}

// line is the command that makes such a run, as a shell takes it. What only says where
// files are is left out.
func (c *command) line() string {
	words := []string{"go run ./internal/bench"}
	for _, name := range slices.Sorted(maps.Keys(c.asWritten)) {
		value := fmt.Sprint(c.asWritten[name])
		if !plain.MatchString(value) {
			value = "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
		}
		switch name {
		case "dir", "server-bin", "json", "markdown", "record", "baseline":
		case "BENCH_PEER":
			words = slices.Insert(words, 0, name+"="+value)
		default:
			words = append(words, "-"+name+"="+value)
		}
	}
	return strings.Join(words, " ")
}

// plain is what a shell takes as it is.
var plain = regexp.MustCompile(`^[\w./:=,-]+$`)

func (c *command) checkRanges() error {
	o := &c.options
	switch {
	case o.Rounds < 1:
		return fmt.Errorf("-rounds %d: want at least 1", o.Rounds)
	case o.Round < time.Millisecond:
		return fmt.Errorf("-round %v: want at least 1ms", o.Round)
	case o.Loops < 1:
		return fmt.Errorf("-loops %d: want at least 1", o.Loops)
	case o.Sizes.LoadKeys < 1000:
		return fmt.Errorf("-load-keys %d: want at least 1000", o.Sizes.LoadKeys)
	}
	return nil
}

func (c *command) setCell(expr string) error {
	if expr == "" {
		return nil
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return fmt.Errorf("-cell: %w", err)
	}
	c.options.Cell = re
	return nil
}

func (c *command) setSubject(rawURL string, pid int) error {
	if rawURL == "" {
		if pid != 0 {
			return errors.New("-subject-pid goes with -subject-url")
		}
		return nil
	}
	addr, err := address(rawURL)
	if err != nil {
		return fmt.Errorf("-subject-url: %w", err)
	}
	c.options.Subject = &target.Target{Addr: addr, PID: pid}
	return nil
}

func (c *command) setPeer(env func(string) string) error {
	rawURL, pid := env("BENCH_PEER"), env("BENCH_PEER_PID")
	if rawURL == "" {
		return nil
	}
	addr, err := address(rawURL)
	if err != nil {
		return fmt.Errorf("BENCH_PEER: %w", err)
	}
	c.options.Peer = &target.Target{Addr: addr}
	if pid != "" {
		n, err := strconv.Atoi(pid)
		if err != nil || n < 1 {
			return fmt.Errorf("BENCH_PEER_PID %q: want a process id", pid)
		}
		c.options.Peer.PID = n
	}
	c.asWritten["BENCH_PEER"] = rawURL
	return nil
}

// address turns http://host:port into host:port. The load generator speaks
// neither TLS nor a path prefix.
func address(rawURL string) (string, error) {
	if !strings.Contains(rawURL, "://") {
		rawURL = "http://" + rawURL
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", err
	}
	if u.Scheme != "http" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("%s: want http://host:port", rawURL)
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "80"), nil
	}
	return u.Host, nil
}
