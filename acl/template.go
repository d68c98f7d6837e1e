package acl

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
)

// A Template is a policy with one variable in its rules, or none. There are only those
// that the contract names.
type Template struct {
	Name        string
	ID          string
	Schema      string // JSON schema of the variables; "" when there are none
	Text        string // {{.Name}} stands for the variable
	Description string
}

// nameSchema asks for the one variable that templates have.
const nameSchema = `{
  "type": "object",
  "properties": {
    "name": {"type": "string", "minLength": 1}
  },
  "required": ["name"]
}
`

// templates are sorted by name.
var templates = []Template{
	{
		Name: "builtin/api-gateway", ID: ReservedPrefix + "08", Schema: nameSchema,
		Text: `mesh = "read"` + "\n" + rulesText(`node_prefix ""`, "read", `service_prefix ""`, "read", `service "{{.Name}}"`, "write"),

		Description: "For an API gateway: it registers its service, finds the others and reads the mesh's configuration.",
	},
	{
		Name: "builtin/dns", ID: ReservedPrefix + "05",
		Text: rulesText(`node_prefix ""`, "read", `service_prefix ""`, "read", `query_prefix ""`, "read"),

		Description: "For name resolution: reads nodes, services and prepared queries.",
	},
	{
		Name: "builtin/node", ID: ReservedPrefix + "04", Schema: nameSchema,
		Text: rulesText(`node "{{.Name}}"`, "write", `service_prefix ""`, "read"),

		Description: "For an agent: it registers its node and finds services.",
	},
	{
		Name: "builtin/nomad-client", ID: ReservedPrefix + "09",
		Text: rulesText(`agent_prefix ""`, "read", `node_prefix ""`, "read", `service_prefix ""`, "write", `key_prefix ""`, "read"),

		Description: "For a client of Nomad: it registers services and reads agents, nodes and keys.",
	},
	{
		Name: "builtin/nomad-server", ID: ReservedPrefix + "06",
		Text: `acl = "write"` + "\n" + rulesText(`agent_prefix ""`, "read", `node_prefix ""`, "read", `service_prefix ""`, "write"),

		Description: "For a server of Nomad: it registers services, makes tokens and reads agents and nodes.",
	},
	{
		Name: "builtin/service", ID: ReservedPrefix + "03", Schema: nameSchema,
		Text: serviceRules("{{.Name}}"),

		Description: "For a service: it registers itself and its sidecar proxy, and finds services and nodes.",
	},
}

// rulesText writes rules from pairs of a resource with its label and a level.
func rulesText(pairs ...string) string {
	var b strings.Builder
	for p := range slices.Chunk(pairs, 2) {
		fmt.Fprintf(&b, "%s {\n  policy = %q\n}\n", p[0], p[1])
	}
	return b.String()
}

func serviceRules(name string) string {
	return rulesText(`service "`+name+`"`, "write", `service "`+name+`-sidecar-proxy"`, "write", `service_prefix ""`, "read", `node_prefix ""`, "read")
}

func nodeRules(name string) string {
	return rulesText(`node "`+name+`"`, "write", `service_prefix ""`, "read")
}

// Templates returns all templates by name. They are shared: read them.
func Templates() []Template { return templates }

// TemplateByName finds a template.
func TemplateByName(name string) (Template, bool) {
	i := slices.IndexFunc(templates, func(t Template) bool { return t.Name == name })
	if i < 0 {
		return Template{}, false
	}
	return templates[i], true
}

// Check tells whether the variable fits the template. The error's text is the wire's.
func (t Template) Check(name string) error {
	switch {
	case t.Schema == "":
		return nil
	case name == "":
		return fmt.Errorf("validation error for templated policy %q: name is required", t.Name)
	case !ValidIdentityName(name):
		return fmt.Errorf("validation error for templated policy %q: invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed", t.Name)
	}
	return nil
}

// Policy puts the variable into the template. The error is that of Check.
func (t Template) Policy(name string, datacenters []string) (*Policy, error) {
	if err := t.Check(name); err != nil {
		return nil, err
	}
	return synthetic(strings.ReplaceAll(t.Text, "{{.Name}}", name),
		"synthetic policy generated from templated policy: "+t.Name, datacenters), nil
}

// Synthetic is a policy that is in no table: it stands for an identity or a template.
type Synthetic struct {
	Policy *Policy
	Via    string // "service-identity:NAME", "node-identity:NAME" or "templated-policy:TEMPLATE/NAME"
}

// SyntheticPolicies returns the policies that the identities and templates among links
// stand for, as far as they hold in a datacenter. With "" for the datacenter all of
// them are returned.
//
// Source: contract, ACL rules, section 9.
func SyntheticPolicies(links Links, datacenter string) []Synthetic {
	var all []Synthetic
	here := func(datacenters []string) bool {
		return datacenter == "" || len(datacenters) == 0 || slices.Contains(datacenters, datacenter)
	}
	for _, s := range links.ServiceIdentities {
		if here(s.Datacenters) {
			all = append(all, Synthetic{
				synthetic(serviceRules(s.Service), fmt.Sprintf("synthetic policy for service identity %q", s.Service), s.Datacenters),
				"service-identity:" + s.Service,
			})
		}
	}
	for _, n := range links.NodeIdentities {
		if in := []string{n.Datacenter}; here(in) {
			all = append(all, Synthetic{
				synthetic(nodeRules(n.Node), fmt.Sprintf("synthetic policy for node identity %q", n.Node), in),
				"node-identity:" + n.Node,
			})
		}
	}
	for _, l := range links.Templates {
		t, known := TemplateByName(l.Template)
		if !known || !here(l.Datacenters) {
			continue
		}
		p, err := t.Policy(l.Name, l.Datacenters)
		if err != nil {
			continue // was refused when it was linked
		}
		via := "templated-policy:" + t.Name
		if t.Schema != "" {
			via += "/" + l.Name
		}
		all = append(all, Synthetic{p, via})
	}
	return all
}

// synthetic makes the policy. Its id and its name come from the rules, so that the
// same rules are the same policy.
func synthetic(rules, description string, datacenters []string) *Policy {
	h := fnv.New128a()
	h.Write([]byte(rules)) // cannot fail
	id := hex.EncodeToString(h.Sum(nil))
	p := &Policy{
		ID: id, Name: "synthetic-policy-" + id, Description: description,
		Rules: rules, Datacenters: datacenters,
	}
	p.ContentHash = p.Sum()
	return p
}

// ValidIdentityName tells whether a name will do for a service or node identity: 1 to
// 256 lower-case letters, digits, dashes and underscores, a letter or a digit first
// and last. Such a name can stand in rules as it is.
func ValidIdentityName(name string) bool {
	if name == "" || len(name) > 256 || !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !alphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// CheckIdentities checks the identities and templates among the links of a "token" or
// a "role", as it is told. The error's text is the wire's.
//
// Source: contract, ACL API, section 3.1.
func (l Links) CheckIdentities(of string, local bool) error {
	for _, s := range l.ServiceIdentities {
		switch {
		case s.Service == "":
			//lint:ignore ST1005 the text is the wire's
			return fmt.Errorf("Service identity is missing the service name field on this %s", of)
		case local && len(s.Datacenters) > 0:
			//lint:ignore ST1005 the text is the wire's
			return fmt.Errorf("Service identity %q cannot specify a list of datacenters on a local token", s.Service)
		case !ValidIdentityName(s.Service):
			//lint:ignore ST1005 the text is the wire's
			return fmt.Errorf("Service identity %q has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed", s.Service)
		}
	}
	for _, n := range l.NodeIdentities {
		switch {
		case n.Node == "":
			//lint:ignore ST1005 the text is the wire's
			return fmt.Errorf("Node identity is missing the node name field on this %s", of)
		case n.Datacenter == "":
			//lint:ignore ST1005 the text is the wire's
			return fmt.Errorf("Node identity is missing the datacenter field on this %s", of)
		case !ValidIdentityName(n.Node):
			//lint:ignore ST1005 the text is the wire's
			return fmt.Errorf("Node identity %q has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed", n.Node)
		}
	}
	for _, l := range l.Templates {
		if l.Template == "" {
			return errors.New("templated policy is missing the template name field on this " + of)
		}
		t, known := TemplateByName(l.Template)
		if !known {
			return fmt.Errorf("no such ACL templated policy with Name %q", l.Template)
		}
		if local && len(l.Datacenters) > 0 {
			return fmt.Errorf("templated policy %q cannot specify a list of datacenters on a local token", l.Template)
		}
		if err := t.Check(l.Name); err != nil {
			return err
		}
	}
	return nil
}
