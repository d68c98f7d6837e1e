package config

import (
	"net/netip"
	"time"

	"github.com/holdfast-kv/holdfast/internal/limit"
)

// Config is every setting of a server. [Default] and [Load] make one; after
// that it is read only. What a field means for the operator, its bounds and its
// file key are in the table in options.go and on the page made from it; the
// comments here add what the code that reads the field has to know.
type Config struct {
	// Dev keeps everything in memory: DataDir is empty, nothing is written to
	// disk, and the server starts from nothing each time.
	Dev bool

	// Server is always true in a valid configuration: Holdfast has no client
	// agents.
	Server bool

	// Bootstrap lets the server start a new cluster with itself as the only
	// member if, and only if, it has no Raft state yet. Load sets it when
	// neither it, BootstrapExpect, ReadReplica nor a list of servers to join was given.
	Bootstrap bool

	// BootstrapExpect is how many servers must have met before they start a
	// cluster together; 0 when not used. Load turns 1 into Bootstrap.
	BootstrapExpect int

	NodeName string // Load fills in the host name; never empty after that
	NodeID   string // lower-case UUID; empty: made once and kept in DataDir
	NodeMeta map[string]string

	Datacenter        string // lower case
	Domain            string // lower case, without a dot at the end
	PrimaryDatacenter string // Load fills in Datacenter

	DataDir string // empty only if Dev
	PidFile string // empty: none is written

	BindAddr      string   // an IP; templates are worked out by Load
	ClientAddrs   []string // IPs or unix:///path; templates are worked out by Load
	AdvertiseAddr string   // an IP that others reach this server by; Load fills it in

	Addresses   Addresses
	Ports       Ports
	UnixSockets UnixSockets
	HTTP        HTTP
	Limits      Limits
	Log         Log
	Raft        Raft
	Performance Performance
	History     History
	Disk        Disk
	Schedule    Schedule
	Leave       Leave
	Join        Join
	Gossip      Gossip
	Autopilot   Autopilot
	ACL         ACL
	Audit       Audit
	TLS         TLS

	// DefaultQueryTime is how long a blocking query waits that names no time.
	DefaultQueryTime time.Duration
	// MaxQueryTime cuts what a blocking query may ask for.
	MaxQueryTime time.Duration
	// RPCHoldTimeout is how long a request is held while no leader is known.
	RPCHoldTimeout time.Duration

	SessionTTLMin       time.Duration // smallest TTL a session may ask for
	SessionTTLGrace     time.Duration // how long a session may outlive its TTL; negative: about another TTL
	CheckUpdateInterval time.Duration // how long a mere change of a check's output may be kept back

	ReadReplica bool // takes part without a vote
	EnableDebug bool // serves /debug/pprof

	// DisableRootRecursiveDelete refuses DELETE /v1/kv/?recurse, the request
	// that empties the store.
	DisableRootRecursiveDelete bool
	// AllowNonprintablePaths lets escaped control characters in a request path
	// reach keys that only transactions could reach otherwise.
	AllowNonprintablePaths bool
}

// Addresses are where the listeners of single protocols bind; an empty list
// means Config.ClientAddrs. See [Config.HTTPListeners].
type Addresses struct {
	HTTP  []string // IPs or unix:///path
	HTTPS []string // IPs or unix:///path
}

// Ports are TCP ports: -1 is off, 0 lets the system choose a free one.
type Ports struct {
	HTTP    int
	HTTPS   int
	Server  int // Raft and server-to-server requests
	SerfLAN int // gossip, TCP and UDP
}

// UnixSockets says how the socket files of unix:// addresses are made.
type UnixSockets struct {
	User  string // user id in decimal; empty: the user of the process
	Group string // group id in decimal; empty: the group of the process
	Mode  string // octal permissions; empty: what the umask leaves
}

// HTTP is how HTTP is answered.
type HTTP struct {
	ResponseHeaders map[string]string // added to every answer
	BlockEndpoints  []string          // path prefixes answered 403
	AllowWriteFrom  []netip.Prefix    // peers that may write; empty: everybody
	MaxHeaderBytes  Bytes             // request line and headers together
	Server          string            // who reads requests: ServerHTTP1 or ServerNetHTTP
}

// Values of HTTP.Server.
const (
	ServerHTTP1   = "http1"    // a reader of our own, on Linux
	ServerNetHTTP = "net/http" // Go's library
)

// Limits bound what clients may cost. A count of 0 or below means no limit
// where the table says so.
type Limits struct {
	HTTPMaxConnsPerClient int // open connections of one address; <= 0: no limit
	HTTPSHandshakeTimeout time.Duration
	RPCMaxConnsPerClient  int // <= 0: no limit
	RPCHandshakeTimeout   time.Duration

	KVMaxValueSize Bytes // value of one key; larger is 413
	TxnMaxReqLen   Bytes // body of a transaction; the larger of this and KVMaxValueSize counts
	TxnMaxOps      int   // operations of a transaction; more is 413

	ParkedPerClient int // blocking queries waiting for one address; <= 0: no limit
	ParkedTotal     int // blocking queries waiting altogether; <= 0: no limit

	AuthFailuresPerClient int           // unknown tokens and failed logins of one address; more are 429; <= 0: no limit
	AuthFailuresTime      time.Duration // until as many may fail again

	ReadHeaderTimeout time.Duration // from the first byte of a request to the end of its headers
	BodyReadTimeout   time.Duration // longest pause between two reads of a request body
	IdleTimeout       time.Duration // how long a connection is kept without a request

	RequestMode      string  // "disabled", "permissive" or "enforcing"
	RequestReadRate  float64 // read requests a second; < 0: no limit
	RequestWriteRate float64 // write requests a second; < 0: no limit
}

// Log says what is logged, how and where to.
type Log struct {
	Level          string // TRACE, DEBUG, INFO, WARN or ERROR
	JSON           bool
	File           string        // empty: standard output only
	RotateBytes    Bytes         // 0: never for its size
	RotateDuration time.Duration // a file older than this is closed and the next one begun
	RotateMaxFiles int           // 0: all are kept; -1: none is kept
}

// Raft configures consensus and its storage.
type Raft struct {
	SnapshotThreshold uint64        // entries since the last snapshot that make a new one due
	SnapshotInterval  time.Duration // how often it is looked whether one is due
	TrailingLogs      uint64        // entries kept behind a snapshot, for followers that lag
	SnapshotSendRate  Bytes         // a second, of a snapshot for a follower

	Logstore Logstore
}

// Logstore says where the Raft log is kept.
type Logstore struct {
	Backend              string // "wal" or "boltdb"
	DisableLogCache      bool
	WALSegmentSize       Bytes // a segment of the write-ahead log is preallocated with this size
	BoltDBNoFreelistSync bool
}

// Performance trades speed of failure detection against load.
type Performance struct {
	RaftMultiplier int           // 1 to 10; scales Raft's timeouts, 1 is the fastest
	LeaveDrainTime time.Duration // how long a leaving server waits for requests under way
}

// History bounds the versions kept of each key. A version goes as soon as one
// of the bounds says so; deletes stay at least MinDeleteRetention.
type History struct {
	Retention          time.Duration
	Versions           int // per key, the current one included
	MaxBytes           Bytes
	MinDeleteRetention time.Duration
}

// Disk says when the data dir counts as full.
type Disk struct {
	MinFree       Bytes // less than this free: writes are refused; 0: never
	CheckInterval time.Duration
}

// Schedule says which snapshots the server takes by itself while it leads.
type Schedule struct {
	Path     string // folder; empty: none are taken
	Interval time.Duration
	Retain   int // newest that are kept; 0: all
}

// Leave says how the server goes.
type Leave struct {
	OnTerminate     bool          // SIGTERM leaves the cluster, not only the process
	SkipOnInterrupt bool          // SIGINT ends the process without leaving the cluster
	Timeout         time.Duration // bound on everything a stopping server waits for
}

// Join says how other servers are found.
type Join struct {
	Start    []string // tried once at start; the server ends if none answers
	Retry    []string // tried until one answers
	Interval time.Duration
	MaxTries int // 0: for ever
	Rejoin   bool
}

// Gossip configures membership.
type Gossip struct {
	EncryptKey            string // secret: base64 of 16, 24 or 32 bytes; empty: plain
	EncryptVerifyIncoming bool
	EncryptVerifyOutgoing bool
	DisableKeyringFile    bool
	SerfLANBind           string         // an IP; Load fills in BindAddr
	SerfLANAllowed        []netip.Prefix // empty: everybody
	ReconnectTimeout      time.Duration

	Interval       time.Duration
	Nodes          int
	ProbeInterval  time.Duration
	ProbeTimeout   time.Duration
	RetransmitMult int
	SuspicionMult  int
}

// Autopilot is the configuration a new cluster starts with; after that it is
// replicated state.
type Autopilot struct {
	CleanupDeadServers      bool
	LastContactThreshold    time.Duration
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime time.Duration
}

// ACL configures access control.
type ACL struct {
	Enabled                bool
	DefaultPolicy          string // "allow" or "deny"
	DownPolicy             string // "allow", "deny", "extend-cache" or "async-cache"
	EnableKeyListPolicy    bool
	EnableTokenPersistence bool
	EnableTokenReplication bool
	TokenInQuery           bool   // take tokens in the URL
	HideExistence          bool   // leave missing keys out of transactions where they could not be read
	Secrets                string // how those of tokens are kept: SecretsClear or SecretsHashed
	PolicyTTL              time.Duration
	RoleTTL                time.Duration
	TokenTTL               time.Duration
	TokenMaxTTL            time.Duration // longest life of a new token; 0: any
	Tokens                 ACLTokens
}

// How the secrets of tokens are kept in the state.
const (
	SecretsClear  = "clear"  // so that who may write ACLs can read them back
	SecretsHashed = "hashed" // as keyed hashes alone
)

// ACLTokens are the secrets of the tokens that the server itself uses.
type ACLTokens struct {
	InitialManagement string
	AgentRecovery     string
	Default           string
	Agent             string
	Replication       string
}

// Audit is where the audit log goes and what holds when it cannot be written.
type Audit struct {
	Enabled   bool
	Sink      string // "file", "stdout" or "syslog"
	Path      string // empty: in DataDir
	OnFailure string // "refuse" or "continue"
	Sync      bool   // with "refuse": lines are on the disk before the request goes on

	ReadPrefixes []string // of keys of which reads are audited too

	RotateBytes    Bytes         // 0: never for its size
	RotateDuration time.Duration // 0: never for its age
	RotateMaxFiles int           // of those put away; 0: all
}

// TLS configures encryption: HTTPS and RPC take from Defaults, when Load fills
// them in, what they do not set themselves.
type TLS struct {
	Defaults TLSListener
	HTTPS    TLSListener
	RPC      TLSListener

	VerifyServerHostname bool // a server's certificate must name server.<datacenter>.<domain>
}

// TLSListener is the TLS side of one listener.
type TLSListener struct {
	CAFile         string
	CAPath         string
	CertFile       string
	KeyFile        string
	CipherSuites   []string // names as in crypto/tls; empty: Go's choice
	MinVersion     string   // TLSv1_2 or TLSv1_3
	VerifyIncoming bool
	VerifyOutgoing bool
}

// Default returns the configuration of a server that was told nothing: what the
// table gives as defaults. It is not valid as it stands, for it has no DataDir.
func Default() *Config {
	tls := TLSListener{MinVersion: "TLSv1_2"}
	return &Config{
		Server:      true,
		Datacenter:  "dc1",
		Domain:      "consul",
		BindAddr:    "0.0.0.0",
		ClientAddrs: []string{"127.0.0.1"},
		Ports:       Ports{HTTP: 8500, HTTPS: -1, Server: 8300, SerfLAN: 8301},
		HTTP:        HTTP{MaxHeaderBytes: limit.HeaderBytes, Server: ServerHTTP1},
		Limits: Limits{
			HTTPMaxConnsPerClient: 200,
			HTTPSHandshakeTimeout: 5 * time.Second,
			RPCMaxConnsPerClient:  100,
			RPCHandshakeTimeout:   5 * time.Second,
			KVMaxValueSize:        limit.ValueBytes,
			TxnMaxReqLen:          limit.TxnBytes,
			TxnMaxOps:             limit.TxnOps,
			ParkedPerClient:       10_000,
			ParkedTotal:           50_000,
			AuthFailuresPerClient: limit.Attempts,
			AuthFailuresTime:      limit.AttemptsTime,
			ReadHeaderTimeout:     10 * time.Second,
			BodyReadTimeout:       30 * time.Second,
			IdleTimeout:           2 * time.Minute,
			RequestMode:           "disabled",
			RequestReadRate:       -1,
			RequestWriteRate:      -1,
		},
		Log: Log{Level: "INFO", RotateDuration: 24 * time.Hour},
		Audit: Audit{
			Sink: "file", OnFailure: "continue", Sync: true,
			RotateBytes: 128 * MiB, RotateDuration: 24 * time.Hour,
		},
		Raft: Raft{
			SnapshotThreshold: 16_384,
			SnapshotInterval:  30 * time.Second,
			TrailingLogs:      10_240,
			SnapshotSendRate:  64 * MiB,
			Logstore:          Logstore{Backend: "wal", WALSegmentSize: 64 * MiB, BoltDBNoFreelistSync: true},
		},
		Performance: Performance{RaftMultiplier: 1, LeaveDrainTime: 5 * time.Second},
		History: History{
			Retention:          7 * 24 * time.Hour,
			Versions:           64,
			MaxBytes:           256 * MiB,
			MinDeleteRetention: 15 * time.Minute,
		},
		Disk:     Disk{MinFree: 128 * MiB, CheckInterval: 500 * time.Millisecond},
		Schedule: Schedule{Interval: time.Hour, Retain: 30},
		Leave:    Leave{SkipOnInterrupt: true, Timeout: 10 * time.Second},
		Join:     Join{Interval: 30 * time.Second},
		Gossip: Gossip{
			EncryptVerifyIncoming: true,
			EncryptVerifyOutgoing: true,
			ReconnectTimeout:      72 * time.Hour,
			Interval:              200 * time.Millisecond,
			Nodes:                 3,
			ProbeInterval:         time.Second,
			ProbeTimeout:          500 * time.Millisecond,
			RetransmitMult:        4,
			SuspicionMult:         4,
		},
		Autopilot: Autopilot{
			CleanupDeadServers:      true,
			LastContactThreshold:    200 * time.Millisecond,
			MaxTrailingLogs:         250,
			ServerStabilizationTime: 10 * time.Second,
		},
		ACL: ACL{
			DefaultPolicy: "allow",
			DownPolicy:    "extend-cache",
			Secrets:       SecretsClear,
			TokenInQuery:  true,
			PolicyTTL:     30 * time.Second,
			RoleTTL:       30 * time.Second,
			TokenTTL:      30 * time.Second,
		},
		TLS: TLS{Defaults: tls, HTTPS: tls, RPC: tls},

		DefaultQueryTime:    limit.DefaultQueryTime,
		MaxQueryTime:        limit.MaxQueryTime,
		RPCHoldTimeout:      limit.HoldTime,
		SessionTTLMin:       10 * time.Second,
		SessionTTLGrace:     -time.Second,
		CheckUpdateInterval: 5 * time.Minute,
	}
}
