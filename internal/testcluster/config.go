//go:build unix

package testcluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
)

// Options say how a server is to be started. The zero value is a durable server
// with the default log store.
type Options struct {
	// Dev starts "agent -dev": nothing is kept on disk, and Restart begins empty.
	Dev bool

	// LogStore is the raft log's backend, "wal" or "boltdb"; "" is the server's default.
	LogStore string

	// Config is laid over the configuration file that Start writes: keys as in the
	// file, nested objects replaced as a whole.
	Config map[string]any

	// Build is a build tag with which the binary is made; "" is none. See BinaryWith.
	Build string

	// Args come after those that Start gives to "holdfast agent".
	Args []string

	// Env is added to the environment, each as "NAME=value". The environment of the
	// test is passed on without its HOLDFAST_ and CONSUL_ variables.
	Env []string

	// HTTPS serves the API with TLS too, at HTTPSAddr; Config says with what.
	HTTPS bool

	// Token is sent with each request of the package's own functions; "" sends none.
	Token string
}

// LogStores are the backends that everything about durability is tested with.
func LogStores() []string { return []string{"wal", "boltdb"} }

// writeConfig writes the server's configuration file, in the JSON form and with the
// keys that test harnesses of existing clients write.
func (s *Server) writeConfig() error {
	ports := map[string]any{
		"http":     s.httpPort,
		"server":   s.serverPort,
		"serf_lan": -1,
		"serf_wan": -1,
		"dns":      -1,
		"grpc":     -1,
	}
	if s.opts.HTTPS {
		ports["https"] = s.httpsPort
	}
	config := map[string]any{
		"node_name":   s.name,
		"bind_addr":   "127.0.0.1",
		"client_addr": s.host,
		"log_level":   "debug",
		"ports":       ports,
	}
	switch {
	case s.member != nil:
		config["server"] = true
		config["data_dir"] = s.DataDir
		ports["serf_lan"] = s.member.gossipPort
		maps.Copy(config, s.member.config())
	case !s.opts.Dev:
		config["server"] = true
		config["bootstrap"] = true
		config["data_dir"] = s.DataDir
	}
	if s.opts.LogStore != "" {
		config["raft_logstore"] = map[string]any{"backend": s.opts.LogStore}
	}
	maps.Copy(config, s.opts.Config)

	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	s.configFile = filepath.Join(s.dir, "holdfast.json")
	return os.WriteFile(s.configFile, append(text, '\n'), 0o600)
}
