package cmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-kv/holdfast/api"
	"github.com/holdfast-kv/holdfast/internal/version"
)

// Limits of how long a command waits for a server.
const (
	// askTimeout is for one question. A server without a leader holds a request
	// for 7 s and a back-off before it says so; this is far above that.
	askTimeout = time.Minute

	// noTimeout is for what may take as long as it takes: streams, imports,
	// snapshots.
	noTimeout = 0
)

// connection is how a command reaches a server: Consul's flags with Consul's names.
type connection struct {
	address    string
	token      string
	tokenFile  string
	datacenter string
	namespace  string
	partition  string
	tls        api.TLS
	stale      bool
	timeout    time.Duration
}

// connect adds the connection flags to a command.
func connect(c *cobra.Command, timeout time.Duration) *connection {
	conn := &connection{}
	fs := pflag.NewFlagSet("connection", pflag.ContinueOnError)
	fs.StringVar(&conn.address, "http-addr", "", "Where a server is, as an `address`: host:port, http(s)://host:port or unix:///path. Environment: HOLDFAST_HTTP_ADDR, CONSUL_HTTP_ADDR; else http://127.0.0.1:8500.")
	fs.StringVar(&conn.token, "token", "", "The ACL `token` to send. Environment: HOLDFAST_HTTP_TOKEN, CONSUL_HTTP_TOKEN.")
	fs.StringVar(&conn.tokenFile, "token-file", "", "The `file` that holds the ACL token. Environment: HOLDFAST_HTTP_TOKEN_FILE, CONSUL_HTTP_TOKEN_FILE.")
	fs.StringVar(&conn.datacenter, "datacenter", "", "The `name` of the datacenter to ask; else the server's own.")
	fs.StringVar(&conn.namespace, "namespace", "", "The `name` of a namespace. Servers of Holdfast have none, and refuse it. Environment: HOLDFAST_NAMESPACE, CONSUL_NAMESPACE.")
	fs.StringVar(&conn.partition, "partition", "", "The `name` of a partition. Likewise. Environment: HOLDFAST_PARTITION, CONSUL_PARTITION.")
	fs.StringVar(&conn.tls.CAFile, "ca-file", "", "The PEM `file` of authorities to trust. Environment: HOLDFAST_CACERT, CONSUL_CACERT.")
	fs.StringVar(&conn.tls.CAPath, "ca-path", "", "A `folder` of such files. Environment: HOLDFAST_CAPATH, CONSUL_CAPATH.")
	fs.StringVar(&conn.tls.CertFile, "client-cert", "", "The PEM `file` of the client's certificate. Environment: HOLDFAST_CLIENT_CERT, CONSUL_CLIENT_CERT.")
	fs.StringVar(&conn.tls.KeyFile, "client-key", "", "The PEM `file` of the client's key. Environment: HOLDFAST_CLIENT_KEY, CONSUL_CLIENT_KEY.")
	fs.StringVar(&conn.tls.ServerName, "tls-server-name", "", "The `name` to expect in the server's certificate. Environment: HOLDFAST_TLS_SERVER_NAME, CONSUL_TLS_SERVER_NAME.")
	fs.BoolVar(&conn.stale, "stale", false, "Let any server answer from what it has, without asking the leader. Only for reads.")
	fs.DurationVar(&conn.timeout, "timeout", timeout, "Give up after this `duration`, such as 10s; 0 waits as long as it takes.")
	fs.VisitAll(func(f *pflag.Flag) {
		f.Annotations = map[string][]string{groupAnnotation: {connectionGroup}}
	})
	c.Flags().AddFlagSet(fs)
	return conn
}

// client makes the client that the flags and the environment ask for.
func (conn *connection) client() (*api.Client, error) {
	if conn.timeout < 0 {
		return nil, usagef("-timeout must not be negative")
	}
	client, err := api.New(
		api.WithAddress(conn.address),
		api.WithToken(conn.token),
		api.WithTokenFile(conn.tokenFile),
		api.WithDatacenter(conn.datacenter),
		api.WithNamespace(conn.namespace),
		api.WithPartition(conn.partition),
		api.WithTLS(conn.tls),
		api.WithUserAgent("holdfast-cli/"+version.Version),
	)
	if err != nil {
		return nil, &usageError{msg: err.Error()}
	}
	return client, nil
}

// bound is ctx with the timeout of the flags.
func (conn *connection) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if conn.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, conn.timeout)
}

// open is client and bound in one, for the usual command.
func (conn *connection) open(c *cobra.Command) (*api.Client, context.Context, context.CancelFunc, error) {
	client, err := conn.client()
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := conn.bound(c.Context())
	return client, ctx, func() {
		cancel()
		client.CloseIdleConnections()
	}, nil
}

// openFor is open for a command that prints, once it is known that it can: a format
// that does not exist is told before anything is asked.
func (conn *connection) openFor(c *cobra.Command, out *printer) (*api.Client, context.Context, context.CancelFunc, error) {
	if _, err := out.chosen(); err != nil {
		return nil, nil, nil, err
	}
	return conn.open(c)
}

// reads are the read options that the flags ask for.
func (conn *connection) reads(more ...api.ReadOption) []api.ReadOption {
	if conn.stale {
		more = append(more, api.Stale())
	}
	return more
}
