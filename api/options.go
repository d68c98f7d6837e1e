package api

import (
	"net/http"
	"os"
)

// Defaults and bounds of a client.
const (
	// DefaultAddress is where a client looks when neither an option nor the
	// environment says otherwise.
	DefaultAddress = "http://127.0.0.1:8500"

	// DefaultMaxAnswerBytes is the longest JSON answer a client takes in. It is
	// far above a store that fits in memory and keeps a wrong address from
	// filling ours.
	DefaultMaxAnswerBytes = 1 << 30

	// maxErrorBytes bounds the sentence of a refusal.
	maxErrorBytes = 64 << 10
)

// An Option sets something for all calls of a [Client].
type Option func(*settings)

// settings is what New collects before it builds the client. Zero strings mean
// "not set"; the environment fills those in.
type settings struct {
	address    string
	token      string
	tokenFile  string
	user       string
	password   string
	datacenter string
	namespace  string // a server without namespaces refuses it
	partition  string // likewise
	userAgent  string
	maxAnswer  int64
	retries    int // rounds beyond the first; -1 = as many as fit the number of servers
	tls        TLS
	http       *http.Client

	ssl       *bool // CONSUL_HTTP_SSL; nil when not set
	sslVerify *bool // CONSUL_HTTP_SSL_VERIFY; nil when not set

	getenv func(string) (string, bool)
}

// TLS says how an https address is verified and how the client identifies
// itself. The zero value trusts the system's authorities.
type TLS struct {
	CAFile     string // PEM file of authorities to trust instead of the system's
	CAPath     string // folder of such files; used together with CAFile
	CertFile   string // PEM certificate of the client; needs KeyFile
	KeyFile    string // PEM key of the client; needs CertFile
	ServerName string // name to expect in the server's certificate instead of the host of the address

	// InsecureSkipVerify accepts any certificate. It is for experiments: with
	// it, whoever sits on the path can read the token.
	InsecureSkipVerify bool
}

// WithAddress sets the server: "host:port", "http://host:port/prefix",
// "https://host:port" or "unix:///path/to/socket". A path prefix is put before
// every path of the API, as servers behind a reverse proxy need it.
//
// Several servers of one cluster are separated by commas. A call goes to the one
// that answered last, at first to the first of them, and to the next when that one
// cannot be reached or says that it cannot serve; see [WithRetries].
func WithAddress(address string) Option { return func(s *settings) { s.address = address } }

// WithRetries sets how often a call that found no server able to answer goes through
// all of them again: after 250 ms, doubled each time up to 30 s, cut by a random part
// of up to half. Without it a client of one server does not try again, and one of
// several does so twice.
//
// Only what cannot do harm is repeated: a read, a renewal, and a write that has
// certainly not happened, since no connection could be made, the servers had no
// leader, or they refused it for their load. A write whose outcome is unknown is
// reported as such.
func WithRetries(n int) Option { return func(s *settings) { s.retries = max(n, 0) } }

// WithToken sets the ACL token. It wins over a token file.
func WithToken(token string) Option { return func(s *settings) { s.token = token } }

// WithTokenFile sets a file whose trimmed content is the ACL token. It is read
// once, by New.
func WithTokenFile(path string) Option { return func(s *settings) { s.tokenFile = path } }

// WithBasicAuth sends a user name and password as HTTP basic authentication,
// for a proxy in front of the server.
func WithBasicAuth(user, password string) Option {
	return func(s *settings) { s.user, s.password = user, password }
}

// WithTLS sets how https addresses are verified. Fields that are empty are
// taken from the environment.
func WithTLS(t TLS) Option { return func(s *settings) { s.tls = t } }

// WithDatacenter asks for another datacenter in every call that does not name
// one itself.
func WithDatacenter(dc string) Option { return func(s *settings) { s.datacenter = dc } }

// WithNamespace asks in a namespace. Servers without namespaces, as those of Holdfast
// are, refuse it.
func WithNamespace(namespace string) Option { return func(s *settings) { s.namespace = namespace } }

// WithPartition asks in a partition. Servers without partitions, as those of Holdfast
// are, refuse it.
func WithPartition(partition string) Option { return func(s *settings) { s.partition = partition } }

// WithUserAgent sets the User-Agent header; "holdfast-go" if it is not used.
func WithUserAgent(agent string) Option { return func(s *settings) { s.userAgent = agent } }

// WithMaxAnswerBytes bounds a JSON answer; DefaultMaxAnswerBytes if it is not
// used. Raw values, log streams and snapshots are streams and not bounded by
// it: their reader decides.
func WithMaxAnswerBytes(n int64) Option { return func(s *settings) { s.maxAnswer = n } }

// WithHTTPClient sends requests through hc, whose transport then decides about
// connections and TLS: [WithTLS] and a unix address have no effect on it. Its
// Timeout must be 0 if the client is to wait in a [Watch].
func WithHTTPClient(hc *http.Client) Option { return func(s *settings) { s.http = hc } }

// WithEnvironment looks settings up in lookup instead of the environment of the
// process.
func WithEnvironment(lookup func(name string) (value string, found bool)) Option {
	return func(s *settings) { s.getenv = lookup }
}

// WithoutEnvironment ignores the environment.
func WithoutEnvironment() Option {
	return WithEnvironment(func(string) (string, bool) { return "", false })
}

// defaultSettings is where New starts from.
func defaultSettings() settings {
	return settings{
		userAgent: "holdfast-go",
		maxAnswer: DefaultMaxAnswerBytes,
		retries:   -1,
		getenv:    os.LookupEnv,
	}
}
