package httpapi

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// localService is a service as its own server shows it.
//
// Source: contract, agent, section 5.
type localService struct {
	ID                string
	Service           string
	Tags              []string
	Meta              map[string]string
	Port              int
	Address           string
	TaggedAddresses   map[string]serviceAddress `json:",omitempty"`
	Weights           serviceWeights
	EnableTagOverride bool
	ContentHash       string `json:",omitempty"` // shown of one service only
	Datacenter        string
}

var errMissingServiceID = badRequest("Missing service ID")

func unknownService(id string) error {
	return &statusError{http.StatusNotFound, fmt.Sprintf("Unknown service ID %q. Ensure that the service ID is passed, not the service name.", id)}
}

func (s *Server) localServiceOf(row *catalog.Service) localService {
	return localService{
		ID: row.ID, Service: row.Name, Tags: listOf(row.Tags), Meta: mapOf(row.Meta), Port: row.Port, Address: row.Address,
		TaggedAddresses: taggedAddresses(row), Weights: serviceWeights{row.PassingWeight, row.WarningWeight},
		EnableTagOverride: row.EnableTagOverride, Datacenter: s.opts.Datacenter,
	}
}

// agentServiceRegister answers PUT /v1/agent/service/register. Checks that the
// service has and the body does not name stay, unless ?replace-existing-checks.
func (c *call) agentServiceRegister() error {
	var body localServiceBody
	if err := c.readRegistration(&body); err != nil {
		return err
	}
	s, err := body.service()
	if err != nil {
		return err
	}
	view, err := c.localView()
	if err != nil {
		return err
	}
	if err := c.decide(func() error { return c.needToRegister(c.s.node.Store().View().Catalog(), s) }); err != nil {
		return err
	}
	checks, err := body.checks(s, func(id string) *catalog.Check { return c.s.localCheck(view, id) })
	if err != nil {
		return err
	}
	if err := c.registerLocal(s, checks...); err != nil {
		return err
	}
	for i := range checks {
		if err := c.s.opts.Agent.HeardOfCheck(c.r.Context(), checks[i].ID); err != nil {
			return err
		}
	}
	if c.replacesChecks() {
		if err := c.removeOtherChecks(s.ID, checks); err != nil {
			return err
		}
	}
	c.empty()
	return nil
}

func (c *call) replacesChecks() bool {
	value, ok := c.given("replace-existing-checks")
	if on, err := strconv.ParseBool(value); err == nil {
		return on
	}
	return ok
}

// removeOtherChecks removes the checks of a service that are not among keep.
func (c *call) removeOtherChecks(serviceID string, keep []catalog.Check) error {
	var others []string
	c.s.node.Store().View().Catalog().ChecksOf(c.s.opts.NodeName, serviceID, func(row *catalog.Check) bool {
		if !isMaintenance(row.ID) && !slices.ContainsFunc(keep, func(k catalog.Check) bool { return k.ID == row.ID }) {
			others = append(others, row.ID)
		}
		return true
	})
	for _, id := range others {
		if err := c.deregisterLocal("", id); err != nil {
			return err
		}
	}
	return nil
}

// agentServiceDeregister answers PUT /v1/agent/service/deregister/ID.
func (c *call) agentServiceDeregister() error {
	if c.arg == "" {
		return errMissingServiceID
	}
	view, err := c.localView()
	if err != nil {
		return err
	}
	if err := c.needLocalService(view, c.arg); err != nil {
		return err
	}
	if err := c.deregisterLocal(c.arg, ""); err != nil {
		return err
	}
	c.empty()
	return nil
}

// agentServices answers GET /v1/agent/services: every service by its id.
func (c *call) agentServices() error {
	keep, err := newFilter[localService](c.q.get(pFilter))
	if err != nil {
		return err
	}
	view, err := c.localView()
	if err != nil {
		return err
	}
	var services []localService
	if err := c.knownHere(); err != nil {
		return err
	}
	c.s.localServices(view, func(row *catalog.Service) {
		if c.keeps(acl.ResourceService, row.Name) {
			services = append(services, c.s.localServiceOf(row))
		}
	})
	if services, err = keep.of(services); err != nil {
		return err
	}
	byID := make(map[string]localService, len(services))
	for _, s := range services {
		byID[s.ID] = s
	}
	return c.encode(byID)
}

// agentService answers GET /v1/agent/service/ID. With ?hash it waits until the
// service has another content than that.
//
// Source: contract, blocking queries, section 6.
func (c *call) agentService() error {
	if c.arg == "" {
		return errMissingServiceID
	}
	o, err := c.waitOptions()
	if err != nil {
		return err
	}
	if _, err := c.localView(); err != nil {
		return err
	}
	q := &contentQuestion{s: c.s, id: c.arg}
	if err := c.needContent(q.content(c.s.node.Store().View())); err != nil {
		return err
	}
	if q.hash, _ = c.given("hash"); q.hash != "" {
		if err := c.await(q, o); err != nil {
			return err
		}
	}
	s := q.content(c.s.node.Store().View())
	if err := c.still(); err != nil {
		return err
	}
	if err := c.needContent(s); err != nil { // it may have another name by now
		return err
	}
	if s == nil {
		return &statusError{http.StatusNotFound, "unknown service ID: " + c.arg}
	}
	c.w.Header()["X-Consul-Contenthash"] = []string{s.ContentHash}
	return c.encode(s)
}

// needContent checks that a service may be read; nil is none.
func (c *call) needContent(s *localService) error {
	if s == nil {
		return c.knownHere()
	}
	return c.needHere(acl.ResourceService, acl.AccessRead, s.Service)
}

// needToRegister checks that a service of this server may be registered, also in place of
// one that has its id.
//
// Source: contract, ACL enforcement, section 5.5.
func (c *call) needToRegister(view catalog.View, s *catalog.Service) error {
	if old := c.s.localService(view, s.ID); old != nil && old.Name != s.Name {
		if err := c.need(acl.ResourceService, acl.AccessWrite, old.Name); err != nil {
			return err
		}
	}
	return c.need(acl.ResourceService, acl.AccessWrite, s.Name)
}

// needLocalService checks that a service of this server is there and may be changed.
func (c *call) needLocalService(view catalog.View, id string) error {
	s := c.s.localService(view, id)
	if s == nil {
		if err := c.decide(c.known); err != nil {
			return err
		}
		return unknownService(id)
	}
	return c.needToWrite(acl.ResourceService, acl.AccessWrite, s.Name)
}

// waitOptions reads ?index and ?wait alone, of a read that asks only this server.
func (c *call) waitOptions() (o readOptions, err error) {
	o.mode = Stale
	if v := c.q.get(pWait); v != "" {
		if o.wait, err = time.ParseDuration(v); err != nil {
			return o, badRequest("Invalid wait time")
		}
	}
	if v := c.q.get(pIndex); v != "" {
		if o.index, err = strconv.ParseUint(v, 10, 64); err != nil {
			return o, badRequest("Invalid index")
		}
	}
	return o, nil
}

// contentQuestion waits for a service of this server to have another content.
type contentQuestion struct {
	s        *Server
	id, hash string
}

func (q *contentQuestion) settled(v *fsm.View, _ uint64) bool {
	s := q.content(v)
	return s == nil || s.ContentHash != q.hash
}

func (q *contentQuestion) spot(s *fsm.Store) spot {
	return spot{hub: s.Topics(), name: fsm.TopicServices}
}

// content is the service with its hash; nil when there is none.
func (q *contentQuestion) content(v *fsm.View) *localService {
	row := q.s.localService(v.Catalog(), q.id)
	if row == nil {
		return nil
	}
	s := q.s.localServiceOf(row)
	h := fnv.New64a()
	if err := json.NewEncoder(h).Encode(s); err != nil {
		panic(err) // texts and numbers: there is nothing that cannot be encoded
	}
	s.ContentHash = fmt.Sprintf("%016x", h.Sum64())
	return &s
}
