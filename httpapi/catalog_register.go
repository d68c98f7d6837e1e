package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-uuid"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// registrationBody is the body of PUT /v1/catalog/register. Fields that only an
// answer fills in are taken, since clients send back what they have read.
//
// Source: contract, catalog, section 1.
type registrationBody struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	NodeMeta        map[string]string
	Service         *serviceBody
	Check           *checkBody
	Checks          []checkBody
	SkipNodeUpdate  bool
	unused
}

type serviceBody struct {
	ID                string
	Service           string
	Tags              []string
	Address           string
	TaggedAddresses   map[string]serviceAddress
	Meta              map[string]string
	Port              int
	Weights           *serviceWeights
	EnableTagOverride bool

	Kind, SocketPath, PeerName, ContentHash, Datacenter string
	Proxy, Connect                                      json.RawMessage
	CreateIndex, ModifyIndex                            uint64
	unused
}

type checkBody struct {
	Node, CheckID, Name, Status, Notes, Output, ServiceID, Type, Interval, Timeout string

	ServiceName, PeerName    string
	ServiceTags              []string
	ExposedPort              int
	Definition               json.RawMessage
	CreateIndex, ModifyIndex uint64
	unused
}

// deregistrationBody is the body of PUT /v1/catalog/deregister.
type deregistrationBody struct {
	Node, ServiceID, CheckID, Datacenter string
	Address                              string // clients of old send it; it never mattered
	unused
}

// unused is what may stand in every registration and means nothing here.
type unused struct {
	Namespace, Partition string
	Locality             json.RawMessage
}

// catalogRegister answers PUT /v1/catalog/register.
func (c *call) catalogRegister() error {
	var body registrationBody
	if err := c.readRegistration(&body); err != nil {
		return err
	}
	r, err := c.registration(&body)
	if err != nil {
		return err
	}
	if err := c.decide(func() error { return fsm.NeedRegistration(c.s.node.Store().View().Catalog(), r, c.need) }); err != nil {
		return err
	}
	return c.changeCatalog(&fsm.Command{Register: r})
}

// catalogDeregister answers PUT /v1/catalog/deregister: true, also when there was
// nothing to remove.
func (c *call) catalogDeregister() error {
	var body deregistrationBody
	if err := c.readRegistration(&body); err != nil {
		return err
	}
	switch {
	case body.Node == "":
		return serverError(catalog.ErrNoNode.Error())
	case body.Datacenter != "" && body.Datacenter != c.s.opts.Datacenter:
		return errNoDatacenter
	}
	d := &fsm.Deregistration{Node: body.Node, ServiceID: body.ServiceID, CheckID: body.CheckID}
	if c.guarded() { // whose service that id has is asked of the cluster
		if _, err := c.s.node.ReadIndex(c.r.Context(), Default); err != nil {
			return err
		}
		if err := fsm.NeedDeregistration(c.s.node.Store().View().Catalog(), d, c.need); err != nil {
			return err
		}
	}
	return c.changeCatalog(&fsm.Command{Deregister: d})
}

// changeCatalog answers true, with the index from which on the change can be read.
func (c *call) changeCatalog(cmd *fsm.Command) error {
	index, err := c.commit(cmd)
	if err != nil {
		return err
	}
	setIndex(c.w.Header(), index)
	c.bool(true)
	return nil
}

// commit puts a change of the catalog through the log and returns its index. The
// ?dc parameter does not count: the body names the datacenter, or it is our own.
//
// Source: contract, catalog, section 1.
func (c *call) commit(cmd *fsm.Command) (uint64, error) {
	c.q.values[pDC], c.q.values[pDatacenter] = "", ""
	res, err := c.propose(cmd)
	switch {
	case err != nil:
		return 0, err
	case res.Invalid != "":
		return 0, serverError(res.Invalid)
	}
	return res.Index, nil
}

// readRegistration reads a body that holds one JSON object. Field names ignore case,
// unknown ones are refused, and what follows the object is not looked at.
//
// Source: contract, README, section 6.
func (c *call) readRegistration(into any) error {
	settings := c.s.settings.Load()
	body, err := c.body(max(settings.TxnBytes, settings.ValueBytes), "txn_max_req_len")
	if err != nil {
		return err
	}
	if err := strictJSON(body, into); err != nil {
		return badRequest("Request decode failed: " + err.Error())
	}
	return nil
}

func strictJSON(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// registration makes the command of a body.
//
// Source: contract, catalog, section 1, for the texts.
func (c *call) registration(b *registrationBody) (*catalog.Registration, error) {
	switch {
	case b.Node == "":
		return nil, serverError(catalog.ErrNoNode.Error())
	case b.Address == "" && !b.SkipNodeUpdate:
		return nil, serverError("Must provide address if SkipNodeUpdate is not set")
	case b.Datacenter != "" && b.Datacenter != c.s.opts.Datacenter:
		return nil, errNoDatacenter
	}
	if b.ID != "" {
		if _, err := uuid.ParseUUID(b.ID); err != nil {
			return nil, serverError("Bad node ID: " + err.Error())
		}
	}
	r := &catalog.Registration{SkipNode: b.SkipNodeUpdate, Node: catalog.Node{
		ID: strings.ToLower(b.ID), Name: b.Node, Address: b.Address,
		TaggedAddresses: someOf(b.TaggedAddresses), Meta: someOf(b.NodeMeta),
	}}
	if b.Service != nil {
		s, err := b.Service.row()
		if err != nil {
			return nil, err
		}
		r.Service = s
	}
	checks := b.Checks
	if b.Check != nil {
		checks = append([]checkBody{*b.Check}, checks...)
	}
	for i := range checks {
		check, err := checks[i].row(b.Node)
		if err != nil {
			return nil, err
		}
		r.Checks = append(r.Checks, check)
	}
	return r, nil
}

func (b *serviceBody) row() (*catalog.Service, error) {
	if b.Service == "" {
		return nil, serverError(catalog.ErrNoService.Error())
	}
	s := &catalog.Service{
		ID: b.ID, Name: b.Service, Tags: b.Tags, Address: b.Address, TaggedAddresses: joinAddresses(b.TaggedAddresses),
		Meta: someOf(b.Meta), Port: b.Port, EnableTagOverride: b.EnableTagOverride,
	}
	if s.ID == "" {
		s.ID = s.Name
	}
	var err error
	s.PassingWeight, s.WarningWeight, err = b.Weights.orDefault()
	return s, err
}

// row makes the check of a registration of that node.
func (b *checkBody) row(node string) (catalog.Check, error) {
	if b.Node != "" && !strings.EqualFold(b.Node, node) {
		return catalog.Check{}, serverError(fmt.Sprintf("Check '%s' is of node '%s', but node '%s' is registered", b.CheckID, b.Node, node))
	}
	check := catalog.Check{
		ID: b.CheckID, Name: b.Name, Status: b.Status, Notes: b.Notes, Output: cutOutput(b.Output), ServiceID: b.ServiceID,
		Type: b.Type, Interval: b.Interval, Timeout: b.Timeout,
	}
	if check.ID == "" {
		check.ID = check.Name
	}
	if check.Status == "" {
		check.Status = catalog.Critical
	}
	var err error
	check.Definition, err = compactDefinition(b.Definition)
	switch {
	case err != nil:
		return check, err
	case check.ID == "":
		return check, serverError(catalog.ErrNoCheck.Error())
	case !catalog.ValidStatus(check.Status):
		return check, serverError(fmt.Sprintf("Invalid check status: '%s'", check.Status))
	}
	return check, nil
}

// definitionBytes bounds the definition of a check: it is replicated with every
// change of it.
const definitionBytes = 4096

// compactDefinition is a definition as the state keeps it: empty when it says nothing.
func compactDefinition(text json.RawMessage) (string, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil && len(text) > 0 {
		return "", badRequest("Request decode failed: " + err.Error()) // it was read before, so it is valid
	}
	switch s := b.String(); {
	case s == "", s == "null", s == "{}":
		return "", nil
	case s[0] != '{':
		return "", badRequest("Request decode failed: the Definition of a check must be an object")
	case len(s) > definitionBytes:
		return "", badRequest(fmt.Sprintf("Definition of a check is too large (%d > %d bytes)", len(s), definitionBytes))
	default:
		return s, nil
	}
}

// maxWeight bounds the weights of a service: they are shares of traffic.
const maxWeight = 65535

// orDefault returns the weights of a service, 1 and 1 when none are given. Clients
// send two zeros for none.
func (w *serviceWeights) orDefault() (passing, warning int, err error) {
	switch {
	case w == nil, *w == serviceWeights{}:
		return 1, 1, nil
	case w.Passing < 1, w.Passing > maxWeight, w.Warning < 0, w.Warning > maxWeight:
		return 0, 0, badRequest(fmt.Sprintf("Invalid service weights: Passing is 1 to %d and Warning 0 to %d", maxWeight, maxWeight))
	}
	return w.Passing, w.Warning, nil
}

// someOf is a map as the state keeps it: nil when it is empty.
func someOf(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// joinAddresses brings tagged addresses into the form of the state; taggedAddresses
// takes them back.
func joinAddresses(tagged map[string]serviceAddress) map[string]string {
	if len(tagged) == 0 {
		return nil
	}
	joined := make(map[string]string, len(tagged))
	for _, tag := range slices.Sorted(maps.Keys(tagged)) {
		joined[tag] = net.JoinHostPort(tagged[tag].Address, strconv.Itoa(tagged[tag].Port))
	}
	return joined
}

func taggedAddresses(s *catalog.Service) map[string]serviceAddress {
	if len(s.TaggedAddresses) == 0 {
		return nil
	}
	tagged := make(map[string]serviceAddress, len(s.TaggedAddresses))
	for tag, joined := range s.TaggedAddresses {
		host, port, err := net.SplitHostPort(joined)
		if err != nil {
			host = joined // it was not put there by joinAddresses; better shown than lost
		}
		number, _ := strconv.Atoi(port) // 0 when there is none
		tagged[tag] = serviceAddress{host, number}
	}
	return tagged
}

// outputBytes bounds the output of a check: it is replicated with every change of it.
const outputBytes = 4096

// cutOutput shortens an output that is too long and says so in it.
func cutOutput(text string) string {
	if len(text) <= outputBytes {
		return text
	}
	note := fmt.Sprintf("\n(cut: %d bytes are kept of %d)", outputBytes, len(text))
	return strings.ToValidUTF8(text[:outputBytes-len(note)], "") + note
}
