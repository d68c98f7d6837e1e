package standin

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// Agent runs the stand-in as a process that takes the arguments with which the
// benchmark starts a server, the word agent included. It serves until it is
// killed, and returns only if it cannot serve.
func Agent(args []string) error {
	if len(args) == 0 || args[0] != "agent" {
		return errors.New("want the command agent")
	}
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	dir := fs.String("data-dir", "", "")
	bind := fs.String("bind", "", "")
	httpPort := fs.Int("http-port", 0, "")
	httpsPort := fs.Int("https-port", 0, "") // 0: none
	cert := fs.String("tls-https-cert-file", "", "")
	key := fs.String("tls-https-key-file", "", "")
	fs.Int("server-port", 0, "")
	fs.Int("serf-lan-port", 0, "")
	fs.Int("bootstrap-expect", 0, "") // it forms no cluster, and names a leader of its own
	fs.String("retry-join", "", "")
	fs.String("node", "", "")
	fs.Bool("server", false, "")
	fs.Bool("bootstrap", false, "")
	var faults Faults
	fs.Func("config-file", "", func(name string) error {
		_, err := os.Stat(name)
		faults.FalseWakes = faults.FalseWakes || filepath.Base(name) == "false-wakes.hcl"
		return err
	})
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return fmt.Errorf("data dir: %w", err)
	}
	h, err := NewHandler(filepath.Join(*dir, "entries"))
	if err != nil {
		return err
	}
	h.Faults = faults
	l, err := net.Listen("tcp", net.JoinHostPort(*bind, strconv.Itoa(*httpPort)))
	if err != nil {
		return err
	}
	if *httpsPort == 0 {
		return http.Serve(l, h)
	}
	secure, err := net.Listen("tcp", net.JoinHostPort(*bind, strconv.Itoa(*httpsPort)))
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- http.Serve(l, h) }()
	go func() { ended <- http.ServeTLS(secure, h, *cert, *key) }()
	return <-ended
}
