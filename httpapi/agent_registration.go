package httpapi

import (
	"encoding/json"
	"fmt"
	"net"
	"reflect"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/catalog"
)

// localServiceBody is the body of PUT /v1/agent/service/register.
//
// Source: contract, agent, section 5.
type localServiceBody struct {
	ID, Name, Address string
	Tags              []string
	Meta              map[string]string
	Port              int
	TaggedAddresses   map[string]serviceAddress
	Weights           *serviceWeights
	EnableTagOverride bool
	Check             *localCheckBody
	Checks            []localCheckBody

	Kind, SocketPath, Token string
	Proxy, Connect          json.RawMessage
	unused
}

// localCheckBody is a check in a registration with this server: the body of PUT
// /v1/agent/check/register, or a part of that of a service.
//
// Source: contract, agent, section 6.
type localCheckBody struct {
	ID, CheckID, Name, Notes, Status, ServiceID, Output string
	TTL, Interval, Timeout                              wireDuration
	DeregisterCriticalServiceAfter                      wireDuration

	// The kinds of checks that a server would have to perform.
	HTTP, H2PING, TCP, UDP, GRPC, DockerContainerID, AliasNode, AliasService, OSService, Script string
	Args, ScriptArgs                                                                            []string

	// What belongs to those.
	Header                                                                             map[string][]string
	Method, Body, Shell, TLSServerName, ProxyHTTP, ProxyGRPC                           string
	TLSSkipVerify, TCPUseTLS, GRPCUseTLS, H2PingUseTLS, DisableRedirects               bool
	SuccessBeforePassing, FailuresBeforeWarning, FailuresBeforeCritical, OutputMaxSize int
	unused
}

// UnmarshalJSON takes the names of fields in snake case too.
func (b *localServiceBody) UnmarshalJSON(text []byte) error {
	type plain localServiceBody
	return unmarshalSnake(text, (*plain)(b))
}

// UnmarshalJSON takes the names of fields in snake case too.
func (b *localCheckBody) UnmarshalJSON(text []byte) error {
	type plain localCheckBody
	return unmarshalSnake(text, (*plain)(b))
}

// unmarshalSnake decodes an object into a struct whose fields may be named in snake
// case: enable_tag_override is EnableTagOverride. Unknown fields are refused.
func unmarshalSnake(text []byte, into any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	t := reflect.TypeOf(into).Elem()
	for name, value := range members {
		joined := strings.ReplaceAll(name, "_", "")
		_, known := t.FieldByNameFunc(func(field string) bool { return strings.EqualFold(field, joined) })
		if joined != name && known {
			delete(members, name)
			members[joined] = value
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return err
	}
	return strictJSON(text, into)
}

// wireDuration is a duration as registrations give it: a text such as 10s, or a
// number of nanoseconds.
type wireDuration time.Duration

// UnmarshalJSON is part of json.Unmarshaler.
func (d *wireDuration) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		return json.Unmarshal(b, (*time.Duration)(d))
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil || text == "" {
		return err
	}
	parsed, err := time.ParseDuration(text)
	*d = wireDuration(parsed)
	return err
}

// service makes the service of a registration.
func (b *localServiceBody) service() (*catalog.Service, error) {
	switch {
	case b.Name == "":
		return nil, badRequest("Missing service name")
	case b.Kind != "", isSet(b.Proxy), isSet(b.Connect), b.SocketPath != "":
		return nil, badRequest("Invalid service: Kind, Proxy, Connect and SocketPath belong to a service mesh, which this server is not")
	case b.Namespace != "", b.Partition != "":
		return nil, badRequest("Invalid service: there are no namespaces and partitions")
	}
	s := &catalog.Service{
		ID: b.ID, Name: b.Name, Tags: b.Tags, Address: b.Address, Meta: someOf(b.Meta), Port: b.Port,
		EnableTagOverride: b.EnableTagOverride,
	}
	if s.ID == "" {
		s.ID = s.Name
	}
	if s.ID == SelfService {
		return nil, badRequest(fmt.Sprintf("Service ID %q is that of this server itself", SelfService))
	}
	tagged := b.TaggedAddresses
	if tagged == nil {
		tagged = map[string]serviceAddress{}
	}
	if anyAddress(b.Address) {
		return nil, badRequest("Invalid service address")
	}
	for _, a := range tagged {
		if anyAddress(a.Address) {
			return nil, badRequest("Invalid service address")
		}
	}
	addByFamily(tagged, b.Address, b.Port)
	s.TaggedAddresses = joinAddresses(tagged)
	var err error
	s.PassingWeight, s.WarningWeight, err = b.Weights.orDefault()
	return s, err
}

// isSet tells whether a member of an object says something.
func isSet(value json.RawMessage) bool {
	text := string(value)
	return text != "" && text != "null" && text != "{}"
}

// anyAddress tells whether an address means every address of a machine, so that
// nobody can go there.
func anyAddress(address string) bool {
	ip := net.ParseIP(strings.Trim(address, "[]"))
	return ip != nil && ip.IsUnspecified()
}

// addByFamily adds the addresses by kind of IP that clients look for, if the service
// has an IP for its address.
func addByFamily(tagged map[string]serviceAddress, address string, port int) {
	ip := net.ParseIP(address)
	if ip == nil {
		return
	}
	kind := "_ipv6"
	if ip.To4() != nil {
		kind = "_ipv4"
	}
	for _, side := range []string{"lan", "wan"} {
		if _, given := tagged[side+kind]; !given {
			tagged[side+kind] = serviceAddress{address, port}
		}
	}
}

// checks makes the checks of a service. kept are those it has: what is registered
// again without a state keeps the one it is in, so that a client may register again
// and again.
func (b *localServiceBody) checks(s *catalog.Service, kept func(id string) *catalog.Check) ([]catalog.Check, error) {
	list := b.Checks
	if b.Check != nil && !reflect.DeepEqual(*b.Check, localCheckBody{}) {
		list = append(list[:len(list):len(list)], *b.Check)
	}
	checks := make([]catalog.Check, len(list))
	for i := range list {
		check, err := list[i].check()
		if err != nil {
			return nil, err
		}
		check.ServiceID = s.ID
		if check.ID == "" {
			check.ID = "service:" + s.ID
			if len(list) > 1 {
				check.ID += fmt.Sprintf(":%d", i+1)
			}
		}
		if check.Name == "" {
			check.Name = fmt.Sprintf("Service '%s' check", s.Name)
		}
		checks[i] = list[i].withState(check, kept(check.ID))
	}
	return checks, nil
}

// check makes a check; its id and its name may be missing yet.
//
// Source: contract, agent, section 6; "Where Holdfast should differ" 5 for the kinds.
func (b *localCheckBody) check() (catalog.Check, error) {
	ttl, reap := time.Duration(b.TTL), time.Duration(b.DeregisterCriticalServiceAfter)
	kind := b.kind()
	switch {
	case b.Status != "" && !catalog.ValidStatus(b.Status):
		return catalog.Check{}, badRequest("Bad check status")
	case b.Interval > 0 && ttl > 0:
		return catalog.Check{}, badRequest("Invalid check: Interval and TTL cannot both be specified")
	case kind != "":
		return catalog.Check{}, badRequest(fmt.Sprintf("Invalid check: this server performs no %s checks; "+
			"register one with a TTL and report its state to /v1/agent/check/pass, warn, fail or update", kind))
	case ttl <= 0:
		return catalog.Check{}, badRequest("Invalid check: TTL must be > 0 for TTL checks")
	case b.id() == SelfCheck:
		return catalog.Check{}, badRequest(fmt.Sprintf("Check ID %q is that of this server itself", SelfCheck))
	case b.Namespace != "", b.Partition != "":
		return catalog.Check{}, badRequest("Invalid check: there are no namespaces and partitions")
	}
	check := catalog.Check{
		ID: b.id(), Name: b.Name, Notes: b.Notes, ServiceID: b.ServiceID, Type: catalog.TypeTTL, TTL: ttl,
	}
	if reap > 0 {
		check.Reap = max(reap, leastReap)
	}
	return check, nil
}

// leastReap is the shortest time after which a service is removed that is critical.
//
// Source: contract, agent, section 6.
const leastReap = time.Minute

func (b *localCheckBody) id() string {
	if b.CheckID != "" {
		return b.CheckID
	}
	return b.ID
}

// kind names the kind of a check that a server would have to perform; empty for one
// that it is told about.
func (b *localCheckBody) kind() string {
	for _, k := range []struct {
		name  string
		given bool
	}{
		{"script", len(b.Args) > 0 || len(b.ScriptArgs) > 0 || b.Script != ""},
		{"HTTP", b.HTTP != ""},
		{"HTTP/2", b.H2PING != ""},
		{"TCP", b.TCP != ""},
		{"UDP", b.UDP != ""},
		{"gRPC", b.GRPC != ""},
		{"Docker", b.DockerContainerID != ""},
		{"alias", b.AliasNode != "" || b.AliasService != ""},
		{"OS service", b.OSService != ""},
	} {
		if k.given {
			return k.name
		}
	}
	return ""
}

// withState gives a check the state that it begins with, or goes on with.
func (b *localCheckBody) withState(check catalog.Check, old *catalog.Check) catalog.Check {
	check.Status, check.Output = b.Status, cutOutput(b.Output)
	switch {
	case check.Status != "":
	case old != nil:
		check.Status, check.Output = old.Status, old.Output
	default:
		check.Status = catalog.Critical
	}
	return check
}
