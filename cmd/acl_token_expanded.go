package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-kv/holdfast/api"
)

// printExpanded shows a token with all rules that reach it, in the layout of consul.
func (v *aclVerb) printExpanded(ctx context.Context, client *api.Client, id string) error {
	token, _, err := client.ACL().TokenExpanded(ctx, id, v.conn.reads()...)
	if err != nil {
		return aclError(err, "Error reading token %q", id)
	}
	e := &expansion{policies: map[string]*api.ACLPolicy{}, rules: func(link api.ACLTemplateLink) (*api.ACLPolicy, error) {
		return client.ACL().PreviewTemplate(ctx, link)
	}}
	for i := range token.ExpandedPolicies {
		e.policies[token.ExpandedPolicies[i].ID] = &token.ExpandedPolicies[i]
	}
	writeTokenHead(&e.b, &token.ACLToken, v.meta)
	e.links("", &token.ACLLinks)
	if len(token.ExpandedRoles) > 0 {
		e.line("", "Roles:")
	}
	for i := range token.ExpandedRoles {
		r := &token.ExpandedRoles[i]
		e.line("\t", "Role Name: "+shown(r.Name))
		e.line("\t\t", "ID: "+r.ID)
		e.line("\t\t", "Description: "+shown(r.Description))
		e.links("\t\t", &r.ACLLinks)
	}
	e.line("", "=== End of Authorizer Layer 0: Token ===")
	e.line("", "=== Start of Authorizer Layer 2: Agent Configuration Defaults (Inherited) ===")
	e.line("", "Description: Defined at request-time by the agent that resolves the ACL token; other agents may have different configuration defaults")
	e.line("", fmt.Sprintf("Resolved By Agent: %q\n", token.ResolvedByAgent))
	e.line("", "Default Policy: "+token.AgentACLDefaultPolicy)
	e.line("\t", "Description: Backstop rule used if no preceding layer has a matching rule (refer to default_policy option in agent configuration)\n")
	e.line("", "Down Policy: "+token.AgentACLDownPolicy)
	e.line("\t", "Description: Defines what to do if this Token's information cannot be read from the primary_datacenter (refer to down_policy option in agent configuration)\n")
	if e.err != nil {
		return aclError(e.err, "Error expanding token %q", id)
	}
	return v.print(token, func(b *strings.Builder) { b.WriteString(e.b.String()) })
}

// An expansion writes links with the rules that they stand for.
type expansion struct {
	b        strings.Builder
	policies map[string]*api.ACLPolicy                         // by id
	rules    func(api.ACLTemplateLink) (*api.ACLPolicy, error) // of a templated policy
	err      error                                             // the first that rules met
}

func (e *expansion) line(indent, text string) { e.b.WriteString(indent + text + "\n") }

// links writes all links but those to roles.
func (e *expansion) links(indent string, l *api.ACLLinks) {
	in := indent + "\t"
	if len(l.Policies) > 0 {
		e.line(indent, "Policies:")
	}
	for _, link := range l.Policies {
		e.line(in, "Policy Name: "+shown(link.Name))
		e.line(in+"\t", "ID: "+link.ID)
		if p := e.policies[link.ID]; p != nil {
			e.policy(in+"\t", p)
		}
	}
	if len(l.ServiceIdentities) > 0 {
		e.line(indent, "Service Identities:")
	}
	for _, s := range l.ServiceIdentities {
		e.line(in, fmt.Sprintf("Name: %s (Datacenters: %s)", s.ServiceName, allOf(s.Datacenters)))
		e.template(in+"\t", "builtin/service", s.ServiceName)
	}
	if len(l.NodeIdentities) > 0 {
		e.line(indent, "Node Identities:")
	}
	for _, n := range l.NodeIdentities {
		e.line(in, fmt.Sprintf("Name: %s (Datacenter: %s)", n.NodeName, n.Datacenter))
		e.template(in+"\t", "builtin/node", n.NodeName)
	}
	if len(l.TemplatedPolicies) > 0 {
		e.line(indent, "Templated Policies:")
	}
	for _, t := range l.TemplatedPolicies {
		e.line(in, t.TemplateName)
		name := ""
		if t.TemplateVariables != nil && t.TemplateVariables.Name != "" {
			name = t.TemplateVariables.Name
			e.line(in+"\t", "Name: "+name)
		}
		e.line(in+"\t", "Datacenters: "+allOf(t.Datacenters))
		e.template(in+"\t", t.TemplateName, name)
	}
}

// template writes what a templated policy stands for.
func (e *expansion) template(indent, template, name string) {
	link := api.ACLTemplateLink{TemplateName: template}
	if name != "" {
		link.TemplateVariables = &api.ACLTemplateVariables{Name: name}
	}
	p, err := e.rules(link)
	if err != nil {
		if e.err == nil {
			e.err = err
		}
		return
	}
	e.policy(indent, p)
}

// policy writes the description and the rules.
func (e *expansion) policy(indent string, p *api.ACLPolicy) {
	e.line(indent, "Description: "+shown(p.Description))
	e.line(indent, "Rules:")
	for line := range strings.SplitSeq(strings.TrimRight(p.Rules, "\n"), "\n") {
		e.line(indent+"\t", line)
	}
	e.b.WriteByte('\n')
}
