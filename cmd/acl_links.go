package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl"
	"github.com/spf13/pflag"

	"github.com/holdfast-kv/holdfast/api"
)

// idLength is the length of a whole id; what is shorter is its beginning.
const idLength = 36

// errNotUnique says that several ids have the beginning that was given.
var errNotUnique = errors.New("it is not the beginning of one id alone")

// wholeID finds the id that begins with part. list lists all of them, and is not called
// for an id that is whole.
func wholeID(what, part string, list func() ([]string, error)) (string, error) {
	if len(part) >= idLength {
		return part, nil
	}
	all, err := list()
	if err != nil {
		return "", aclError(err, "Error determining %s ID", what)
	}
	found := slices.DeleteFunc(all, func(id string) bool { return !strings.HasPrefix(id, strings.ToLower(part)) })
	switch len(found) {
	case 0:
		return "", &plainError{text: fmt.Sprintf("Error determining %s ID: No such %s ID with prefix: %s", what, what, part), err: api.ErrACLNotFound}
	case 1:
		return found[0], nil
	}
	return "", &plainError{text: fmt.Sprintf("Error determining %s ID: Partial %s ID is not unique", what, what), err: errNotUnique}
}

func accessorID(ctx context.Context, client *api.Client, part string) (string, error) {
	if part == "anonymous" {
		return api.AnonymousAccessorID, nil
	}
	return wholeID("token", part, func() (ids []string, err error) {
		tokens, _, err := client.ACL().Tokens(ctx, api.ACLTokenFilter{})
		for _, t := range tokens {
			ids = append(ids, t.AccessorID)
		}
		return ids, err
	})
}

func policyID(ctx context.Context, client *api.Client, part string) (string, error) {
	if part == "global-management" {
		return api.ManagementPolicyID, nil
	}
	return wholeID("policy", part, func() (ids []string, err error) {
		policies, _, err := client.ACL().Policies(ctx)
		for _, p := range policies {
			ids = append(ids, p.ID)
		}
		return ids, err
	})
}

func roleID(ctx context.Context, client *api.Client, part string) (string, error) {
	return wholeID("role", part, func() (ids []string, err error) {
		roles, _, err := client.ACL().Roles(ctx, "")
		for _, r := range roles {
			ids = append(ids, r.ID)
		}
		return ids, err
	})
}

func bindingID(ctx context.Context, client *api.Client, part string) (string, error) {
	return wholeID("rule", part, func() (ids []string, err error) {
		rules, _, err := client.ACL().BindingRules(ctx, "")
		for _, r := range rules {
			ids = append(ids, r.ID)
		}
		return ids, err
	})
}

// linkFlags are the flags that give a token or a role its rights.
type linkFlags struct {
	prefix                 string // "append-" for those that add
	policyIDs, policyNames []string
	roleIDs, roleNames     []string
	services, nodes        []string
}

// add makes the flags; what is whose rights they give.
func (l *linkFlags) add(fs *pflag.FlagSet, prefix, what string, roles bool) {
	l.prefix = prefix
	several := " of the " + what + "; may be given several times."
	if prefix != "" {
		several = " to add to the " + what + "; may be given several times."
	}
	fs.StringArrayVar(&l.policyIDs, prefix+"policy-id", nil, "The `id` of a policy, or its beginning,"+several)
	fs.StringArrayVar(&l.policyNames, prefix+"policy-name", nil, "The `name` of a policy"+several)
	if roles {
		fs.StringArrayVar(&l.roleIDs, prefix+"role-id", nil, "The `id` of a role, or its beginning,"+several)
		fs.StringArrayVar(&l.roleNames, prefix+"role-name", nil, "The `name` of a role"+several)
	}
	fs.StringArrayVar(&l.services, prefix+"service-identity", nil, "A service `identity`, NAME or NAME:DATACENTER,DATACENTER,"+several)
	fs.StringArrayVar(&l.nodes, prefix+"node-identity", nil, "A node `identity`, NAME:DATACENTER,"+several)
}

// links finds what the flags name.
func (l *linkFlags) links(ctx context.Context, client *api.Client) (links api.ACLLinks, err error) {
	if links.ServiceIdentities, err = serviceIdentities(l.services); err != nil {
		return links, err
	}
	if links.NodeIdentities, err = nodeIdentities(l.nodes); err != nil {
		return links, err
	}
	for _, name := range l.policyNames {
		links.Policies = append(links.Policies, api.ACLLink{Name: name})
	}
	for _, part := range l.policyIDs {
		id, err := policyID(ctx, client, part)
		if err != nil {
			return links, err
		}
		links.Policies = append(links.Policies, api.ACLLink{ID: id})
	}
	for _, name := range l.roleNames {
		links.Roles = append(links.Roles, api.ACLLink{Name: name})
	}
	for _, part := range l.roleIDs {
		id, err := roleID(ctx, client, part)
		if err != nil {
			return links, err
		}
		links.Roles = append(links.Roles, api.ACLLink{ID: id})
	}
	return links, nil
}

func serviceIdentities(texts []string) (all []api.ACLServiceIdentity, err error) {
	for _, text := range texts {
		name, datacenters, limited := strings.Cut(text, ":")
		identity := api.ACLServiceIdentity{ServiceName: name}
		if limited {
			identity.Datacenters = strings.Split(datacenters, ",")
		}
		if name == "" || strings.Contains(datacenters, ":") {
			return nil, usagef("Malformed -service-identity argument: %q", text)
		}
		all = append(all, identity)
	}
	return all, nil
}

func nodeIdentities(texts []string) (all []api.ACLNodeIdentity, err error) {
	for _, text := range texts {
		name, datacenter, found := strings.Cut(text, ":")
		if !found || name == "" || strings.Contains(datacenter, ":") {
			return nil, usagef("Malformed -node-identity argument: %q", text)
		}
		all = append(all, api.ACLNodeIdentity{NodeName: name, Datacenter: datacenter})
	}
	return all, nil
}

// templateFlags name links to templated policies.
type templateFlags struct{ name, file string }

// add makes the flags; the variables of the named template are a flag of their own.
func (t *templateFlags) add(fs *pflag.FlagSet, prefix, why string) {
	fs.StringVar(&t.name, prefix+"templated-policy", "", "The `name` of a templated policy "+why+"; -var gives its variables.")
	fs.StringVar(&t.file, prefix+"templated-policy-file", "", `A `+"`file`"+` of templated policies `+why+`, as blocks: TemplatedPolicies "builtin/service" { Name = "api" }.`)
}

// addVars makes the flag that gives variables.
func addVars(fs *pflag.FlagSet, vars *[]string) {
	fs.StringArrayVar(vars, "var", nil, "A `variable` of the templated policy, NAME:VALUE; may be given several times.")
}

func (t *templateFlags) given() bool { return t.name != "" || t.file != "" }

// links reads what the flags name.
func (t *templateFlags) links(vars []string) (links []api.ACLTemplateLink, err error) {
	if len(vars) > 0 && t.name == "" {
		return nil, usagef("-var means nothing without the name of a templated policy")
	}
	if t.name != "" {
		link := api.ACLTemplateLink{TemplateName: t.name}
		for _, text := range vars {
			if link.TemplateVariables, err = templateVariable(text, ":"); err != nil {
				return nil, err
			}
		}
		links = append(links, link)
	}
	if t.file != "" {
		more, err := readTemplates(t.file)
		if err != nil {
			return nil, err
		}
		links = append(links, more...)
	}
	return links, nil
}

// templateVariable reads NAME:VALUE. There is one name that any template has.
func templateVariable(text, separator string) (*api.ACLTemplateVariables, error) {
	name, value, found := strings.Cut(text, separator)
	if !found || !strings.EqualFold(strings.TrimSpace(name), "name") {
		return nil, usagef("%q is not of the form name%svalue", text, separator)
	}
	return &api.ACLTemplateVariables{Name: strings.TrimSpace(value)}, nil
}

// readTemplates reads a file of templated policies, HCL or JSON.
func readTemplates(path string) (links []api.ACLTemplateLink, err error) {
	text, err := readFile(path, maxRulesBytes)
	if err != nil {
		return nil, err
	}
	var file struct {
		TemplatedPolicies map[string][]map[string]any
		TemplatedPolicy   map[string][]map[string]any
	}
	if err := hcl.Decode(&file, string(text)); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for _, blocks := range []map[string][]map[string]any{file.TemplatedPolicies, file.TemplatedPolicy} {
		for name, list := range blocks {
			for _, variables := range list {
				link := api.ACLTemplateLink{TemplateName: name}
				for variable, value := range variables {
					text, isText := value.(string)
					if !isText || !strings.EqualFold(variable, "name") {
						return nil, fmt.Errorf("read %s: %s has no variable %q that is a text", path, name, variable)
					}
					link.TemplateVariables = &api.ACLTemplateVariables{Name: text}
				}
				links = append(links, link)
			}
		}
	}
	if len(links) == 0 {
		return nil, fmt.Errorf("read %s: it names no templated policy", path)
	}
	slices.SortFunc(links, func(a, b api.ACLTemplateLink) int { // maps have no order
		return strings.Compare(a.TemplateName, b.TemplateName)
	})
	return links, nil
}

// mergeServices puts identities beside those that are there; one of the same service
// takes its place.
func mergeServices(have, more []api.ACLServiceIdentity) []api.ACLServiceIdentity {
	for _, one := range more {
		have = slices.DeleteFunc(have, func(h api.ACLServiceIdentity) bool { return h.ServiceName == one.ServiceName })
		have = append(have, one)
	}
	return have
}

// mergeNodes puts identities beside those that are there.
func mergeNodes(have, more []api.ACLNodeIdentity) []api.ACLNodeIdentity {
	for _, one := range more {
		if !slices.Contains(have, one) {
			have = append(have, one)
		}
	}
	return have
}
