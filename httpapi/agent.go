package httpapi

import (
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/internal/version"
)

// Agent is the server process behind the API: what it tells about itself.
type Agent interface {
	// Self is everything about this server. The maps are the caller's.
	Self() Self

	// Members are the servers that the membership knows; wan asks for the names
	// that they have across datacenters.
	Members(wan bool) []Member

	// CatalogNode is this server as it stands in the catalog. Its indexes are the
	// catalog's business.
	CatalogNode() CatalogNode

	// Host looks at the machine, in the JSON form of the contract.
	Host() any

	// ReloadConfig reads the configuration again and says in one line what that
	// changed. After an error, which names everything that is wrong, nothing has.
	ReloadConfig() (summary string, err error)

	// Checks are what this server needs to serve, and whether it has it.
	Checks() []Check

	// TailLog follows the log from now on, at a level and above.
	TailLog(level hclog.Level, asJSON bool) LogTail

	// Metrics is what the server measures.
	Metrics() Metrics

	CheckTimers
}

// Metrics is what a server measures, in both of its forms.
type Metrics interface {
	// Interval is the last complete interval as JSON.
	Interval() []byte

	// Next is closed when the next interval is complete.
	Next() <-chan struct{}

	// WriteText writes the text form of Prometheus, or that of OpenMetrics.
	WriteText(w io.Writer, openMetrics bool) error
}

// LogTail is the log from some moment on. It keeps what was not taken yet, within
// a bound, and what it drops it tells.
type LogTail interface {
	// Ready receives when there is something to take.
	Ready() <-chan struct{}

	// Take returns whole lines, each with its end; nil when there are none. They
	// are the caller's.
	Take() []byte

	// Close ends it. It must be called once.
	Close()
}

// Self is what a server tells about itself.
//
// Source: contract, agent, section 1.
type Self struct {
	Config      SelfConfig
	DebugConfig map[string]any // every setting by name, secrets hidden
	Coord       *struct{}      // network coordinates are not kept: null
	Member      Member
	Stats       map[string]map[string]string
	Meta        map[string]string
}

// SelfConfig is what identifies a server.
type SelfConfig struct {
	Datacenter        string
	PrimaryDatacenter string
	NodeName          string
	NodeID            string
	Revision          string
	Server            bool
	Version           string
	BuildDate         string // RFC 3339
	SessionTTLMin     int64  // nanoseconds; an existing client reads it
}

// Member is a server as the membership sees it.
//
// Source: contract, agent, section 2.
type Member struct {
	Name   string
	Addr   string
	Port   uint16
	Tags   map[string]string
	Status int // one of the Member… constants

	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8
}

// States of a member, as numbers of the wire.
const (
	MemberNone    = 0
	MemberAlive   = 1
	MemberLeaving = 2
	MemberLeft    = 3
	MemberFailed  = 4
)

// unknownBuild is the date of a build that nobody recorded; clients parse it.
const unknownBuild = "1970-01-01T00:00:01Z"

// BuildDate is when this build was made, as the wire has it.
func BuildDate() string {
	if version.BuildDate == "unknown" {
		return unknownBuild
	}
	return version.BuildDate
}

// Revision is the commit of this build, as the wire has it: empty when nobody
// recorded it.
func Revision() string {
	if version.Commit == "unknown" {
		return ""
	}
	return version.Commit
}

// agentSelf answers GET /v1/agent/self.
func (c *call) agentSelf() error {
	if err := c.needAgent(acl.AccessRead); err != nil {
		return err
	}
	return c.encode(c.s.opts.Agent.Self())
}

// needAgent checks the right to read this server, or with a change of it in fresh state:
// of whether rights are checked at all, too.
//
// Source: contract, ACL enforcement, section 5.5.
func (c *call) needAgent(a acl.Access) error {
	if a == acl.AccessWrite {
		if err := c.hearLatest(); err != nil {
			return err
		}
		return c.need(acl.ResourceAgent, a, c.s.opts.NodeName)
	}
	return c.needHere(acl.ResourceAgent, a, c.s.opts.NodeName)
}

// agentVersion answers GET /v1/agent/version.
func (c *call) agentVersion() error {
	return c.encode(struct{ SHA, BuildDate, HumanVersion, FIPS string }{
		SHA: Revision(), BuildDate: BuildDate(), HumanVersion: version.Version,
	})
}

// agentHost answers GET /v1/agent/host.
func (c *call) agentHost() error {
	if err := c.needHere(acl.ResourceOperator, acl.AccessRead, ""); err != nil {
		return err
	}
	return c.encode(c.s.opts.Agent.Host())
}

// agentMembers answers GET /v1/agent/members.
//
// Source: contract, agent, section 2.
func (c *call) agentMembers() error {
	wan, segment := c.q.get(pWAN) != "", c.q.get(pSegment)
	switch {
	case segment == "" || segment == "_all":
	case wan:
		return badRequest("Cannot provide a segment with wan=true")
	default:
		return serverError("Network segments are not supported in this version of Consul")
	}
	keep, err := newFilter[Member](c.q.get(pFilter))
	if err != nil {
		return err
	}
	members := c.s.opts.Agent.Members(wan)
	if err := c.knownHere(); err != nil {
		return err
	}
	members = slices.DeleteFunc(members, func(m Member) bool {
		return !c.keeps(acl.ResourceNode, strings.TrimSuffix(m.Name, "."+c.s.opts.Datacenter))
	})
	members, err = keep.of(members)
	if err != nil {
		return err
	}
	return c.encode(members)
}

// agentReload answers PUT /v1/agent/reload: 200 without a body, and in a header
// of ours what the reload changed.
func (c *call) agentReload() error {
	if err := c.needAgent(acl.AccessWrite); err != nil {
		return err
	}
	summary, err := c.s.opts.Agent.ReloadConfig()
	if err != nil {
		return &statusError{http.StatusInternalServerError, "Configuration was not reloaded, the old one stays in use:\n" + err.Error()}
	}
	c.w.Header()["X-Holdfast-Reload"] = []string{summary}
	c.empty()
	return nil
}
