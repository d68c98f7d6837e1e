package catalog

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Statuses of a check, from good to bad.
const (
	Passing  = "passing"
	Warning  = "warning"
	Critical = "critical"
)

// ValidStatus tells whether s is a status that a check may have.
func ValidStatus(s string) bool { return s == Passing || s == Warning || s == Critical }

// Indexes says when a row was made and last changed.
type Indexes struct {
	CreateIndex, ModifyIndex uint64
}

// Node is one node. Its name ignores case.
type Node struct {
	ID              string // UUID, or empty
	Name            string
	Address         string
	TaggedAddresses map[string]string // nil when there are none
	Meta            map[string]string // nil when there are none
	Indexes
}

// RowID is part of staging.Row.
func (n *Node) RowID() string { return nodeID(n.Name) }

func (n *Node) same(o *Node) bool {
	return n.ID == o.ID && n.Name == o.Name && n.Address == o.Address &&
		maps.Equal(n.TaggedAddresses, o.TaggedAddresses) && maps.Equal(n.Meta, o.Meta)
}

// Service is one instance of a service on a node.
type Service struct {
	Node              string
	ID                string // unique on its node
	Name              string
	Tags              []string
	Address           string
	TaggedAddresses   map[string]string // host:port by tag
	Meta              map[string]string
	Port              int
	PassingWeight     int
	WarningWeight     int
	EnableTagOverride bool
	Indexes
}

// RowID is part of staging.Row.
func (s *Service) RowID() string { return childID(s.Node, s.ID) }

func (s *Service) same(o *Service) bool {
	return s.Name == o.Name && slices.Equal(s.Tags, o.Tags) && s.Address == o.Address && s.Port == o.Port &&
		maps.Equal(s.TaggedAddresses, o.TaggedAddresses) && maps.Equal(s.Meta, o.Meta) &&
		s.PassingWeight == o.PassingWeight && s.WarningWeight == o.WarningWeight && s.EnableTagOverride == o.EnableTagOverride
}

// Check is one check of a node, or of a service on it if ServiceID is not empty.
type Check struct {
	Node        string
	ID          string // unique on its node
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string   // filled in from the service
	ServiceTags []string // filled in from the service
	Type        string
	Interval    string
	Timeout     string
	TTL         time.Duration // of TypeTTL: without news for so long it is critical
	Reap        time.Duration // see ReapAfter

	// Definition is what an external monitor, which performs the check, keeps here: a
	// JSON object without spaces, or empty. It means nothing to us.
	Definition string
	Indexes
}

// TypeTTL is the type of a check whose state is reported to its server.
const TypeTTL = "ttl"

// ReapAfter is after how long in the critical state the service of a check is
// removed, as its server does; 0: never. It does so for checks that it times only.
func (c *Check) ReapAfter() time.Duration {
	if c.Type != TypeTTL || c.TTL <= 0 || c.ServiceID == "" {
		return 0
	}
	return max(c.Reap, 0)
}

// RowID is part of staging.Row.
func (c *Check) RowID() string { return childID(c.Node, c.ID) }

func (c *Check) same(o *Check) bool {
	return c.Name == o.Name && c.Status == o.Status && c.Notes == o.Notes && c.Output == o.Output &&
		c.ServiceID == o.ServiceID && c.ServiceName == o.ServiceName && slices.Equal(c.ServiceTags, o.ServiceTags) &&
		c.Type == o.Type && c.Interval == o.Interval && c.Timeout == o.Timeout && c.TTL == o.TTL &&
		c.Reap == o.Reap && c.Definition == o.Definition
}

// folded is a name without regard to case. It ends with a zero byte, which no name
// has, so that none begins with another.
func folded(name string) string { return strings.ToLower(name) + "\x00" }

// nodeID is what the ids of a node's children begin with too.
func nodeID(name string) string { return folded(name) }

func childID(node, id string) string { return nodeID(node) + id }
