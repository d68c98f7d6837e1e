package cmd

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/api"
)

// What follows writes the objects of access control for people, line by line as consul's
// command line does: scripts cut these lines.

// row writes one line of a field. Control characters cannot forge another line.
func row(b *strings.Builder, indent string, width int, name, value string) {
	fmt.Fprintf(b, "%s%-*s%s\n", indent, width, name+":", shown(value))
}

// writeIndexes writes the lines of -meta. A nil hash is left out.
func writeIndexes(b *strings.Builder, indent string, width int, hash []byte, create, modify uint64) {
	if hash != nil {
		fmt.Fprintf(b, "%s%-*s%x\n", indent, width, "Hash:", hash)
	}
	fmt.Fprintf(b, "%s%-*s%d\n", indent, width, "Create Index:", create)
	fmt.Fprintf(b, "%s%-*s%d\n", indent, width, "Modify Index:", modify)
}

// writeTokenHead writes the fields of a token.
func writeTokenHead(b *strings.Builder, t *api.ACLToken, meta bool) {
	const width = 18
	row(b, "", width, "AccessorID", t.AccessorID)
	row(b, "", width, "SecretID", t.SecretID)
	row(b, "", width, "Description", t.Description)
	fmt.Fprintf(b, "%-*s%t\n", width, "Local:", t.Local)
	if t.AuthMethod != "" {
		row(b, "", width, "Auth Method", t.AuthMethod+" (Namespace: )")
	}
	fmt.Fprintf(b, "%-*s%v\n", width, "Create Time:", t.CreateTime)
	if t.ExpirationTime != nil && !t.ExpirationTime.IsZero() {
		fmt.Fprintf(b, "%-*s%v\n", width, "Expiration Time:", *t.ExpirationTime)
	}
	if meta {
		writeIndexes(b, "", width, orNone(t.Hash), t.CreateIndex, t.ModifyIndex)
	}
}

// orNone is a hash that is shown even if it is empty.
func orNone(hash []byte) []byte {
	if hash == nil {
		return []byte{}
	}
	return hash
}

func writeToken(b *strings.Builder, t *api.ACLToken, meta bool) {
	writeTokenHead(b, t, meta)
	writeLinks(b, "", &t.ACLLinks)
}

func writeTokens(b *strings.Builder, tokens []*api.ACLToken, meta bool) {
	for i, t := range tokens {
		if i > 0 {
			b.WriteByte('\n')
		}
		writeToken(b, t, meta)
	}
}

// allOf names datacenters.
func allOf(datacenters []string) string {
	if len(datacenters) == 0 {
		return "all"
	}
	return strings.Join(datacenters, ", ")
}

// writeLinks writes what gives a token or a role its rights.
func writeLinks(b *strings.Builder, indent string, l *api.ACLLinks) {
	list := func(name string, n int, line func(i int) string) {
		if n > 0 {
			fmt.Fprintf(b, "%s%s:\n", indent, name)
		}
		for i := range n {
			fmt.Fprintf(b, "%s   %s\n", indent, line(i))
		}
	}
	list("Policies", len(l.Policies), func(i int) string { return l.Policies[i].ID + " - " + l.Policies[i].Name })
	list("Roles", len(l.Roles), func(i int) string { return l.Roles[i].ID + " - " + l.Roles[i].Name })
	list("Service Identities", len(l.ServiceIdentities), func(i int) string {
		return fmt.Sprintf("%s (Datacenters: %s)", l.ServiceIdentities[i].ServiceName, allOf(l.ServiceIdentities[i].Datacenters))
	})
	list("Node Identities", len(l.NodeIdentities), func(i int) string {
		return fmt.Sprintf("%s (Datacenter: %s)", l.NodeIdentities[i].NodeName, l.NodeIdentities[i].Datacenter)
	})
	list("Templated Policies", len(l.TemplatedPolicies), func(i int) string {
		t := l.TemplatedPolicies[i]
		text := t.TemplateName
		if t.TemplateVariables != nil && t.TemplateVariables.Name != "" {
			text += fmt.Sprintf("\n%s      Name: %s", indent, t.TemplateVariables.Name)
		}
		return text + fmt.Sprintf("\n%s      Datacenters: %s", indent, allOf(t.Datacenters))
	})
}

// writePolicy ends with the rules as they are, without a newline of its own.
func writePolicy(b *strings.Builder, p *api.ACLPolicy, meta bool) {
	const width = 14
	row(b, "", width, "ID", p.ID)
	row(b, "", width, "Name", p.Name)
	row(b, "", width, "Description", p.Description)
	row(b, "", width, "Datacenters", strings.Join(p.Datacenters, ", "))
	if meta {
		writeIndexes(b, "", width, orNone(p.Hash), p.CreateIndex, p.ModifyIndex)
	}
	b.WriteString("Rules:\n" + p.Rules)
}

func writePolicies(b *strings.Builder, policies []*api.ACLPolicy, meta bool) {
	const indent, width = "   ", 14
	for _, p := range policies {
		fmt.Fprintf(b, "%s:\n", shown(p.Name))
		row(b, indent, width, "ID", p.ID)
		row(b, indent, width, "Description", p.Description)
		row(b, indent, width, "Datacenters", strings.Join(p.Datacenters, ", "))
		if meta {
			writeIndexes(b, indent, width, orNone(p.Hash), p.CreateIndex, p.ModifyIndex)
		}
	}
}

func writeRole(b *strings.Builder, r *api.ACLRole, meta bool) {
	const width = 14
	row(b, "", width, "ID", r.ID)
	row(b, "", width, "Name", r.Name)
	row(b, "", width, "Description", r.Description)
	if meta {
		writeIndexes(b, "", width, orNone(r.Hash), r.CreateIndex, r.ModifyIndex)
	}
	writeLinks(b, "", &r.ACLLinks)
}

func writeRoles(b *strings.Builder, roles []*api.ACLRole, meta bool) {
	const indent, width = "   ", 14
	for _, r := range roles {
		fmt.Fprintf(b, "%s:\n", shown(r.Name))
		row(b, indent, width, "ID", r.ID)
		row(b, indent, width, "Description", r.Description)
		if meta {
			writeIndexes(b, indent, width, orNone(r.Hash), r.CreateIndex, r.ModifyIndex)
		}
		writeLinks(b, indent, &r.ACLLinks)
	}
}

func writeMethod(b *strings.Builder, m *api.ACLAuthMethod, meta bool) {
	const width = 15
	row(b, "", width, "Name", m.Name)
	row(b, "", width, "Type", m.Type)
	if m.DisplayName != "" {
		row(b, "", width, "DisplayName", m.DisplayName)
	}
	row(b, "", width, "Description", m.Description)
	if m.MaxTokenTTL > 0 {
		row(b, "", width, "MaxTokenTTL", m.MaxTokenTTL.String())
	}
	if m.TokenLocality != "" {
		row(b, "", width, "TokenLocality", m.TokenLocality)
	}
	if meta {
		writeIndexes(b, "", width, nil, m.CreateIndex, m.ModifyIndex)
	}
	config, err := json.MarshalIndent(m.Config, "", "  ")
	if err != nil { // it came as JSON
		config = []byte(err.Error())
	}
	b.WriteString("Config:\n" + string(config))
}

func writeMethods(b *strings.Builder, methods []*api.ACLAuthMethod, meta bool) {
	const indent, width = "   ", 14
	for _, m := range methods {
		fmt.Fprintf(b, "%s:\n", shown(m.Name))
		row(b, indent, width, "Type", m.Type)
		if m.DisplayName != "" {
			row(b, indent, width, "DisplayName", m.DisplayName)
		}
		row(b, indent, width, "Description", m.Description)
		if meta {
			writeIndexes(b, indent, width, nil, m.CreateIndex, m.ModifyIndex)
		}
	}
}

// writeBinding writes the fields of a binding rule.
func writeBinding(b *strings.Builder, indent string, r *api.ACLBindingRule, meta bool) {
	const width = 14
	row(b, indent, width, "AuthMethod", r.AuthMethod)
	row(b, indent, width, "Description", r.Description)
	row(b, indent, width, "BindType", r.BindType)
	row(b, indent, width, "BindName", r.BindName)
	if r.BindVars != nil && r.BindVars.Name != "" {
		fmt.Fprintf(b, "%sBindVars:     \n%s     - Name: %s\n", indent, indent, r.BindVars.Name)
	}
	row(b, indent, width, "Selector", r.Selector)
	if meta {
		writeIndexes(b, indent, width, nil, r.CreateIndex, r.ModifyIndex)
	}
}

// writeTemplate tells what a templated policy needs, and with meta its text.
func writeTemplate(b *strings.Builder, t *api.ACLTemplate, meta bool) {
	fmt.Fprintf(b, "Name:            %s\n", t.TemplateName)
	usage := "\tholdfast acl token create -templated-policy " + t.TemplateName
	if t.Schema == "" {
		fmt.Fprintf(b, "Input variables: None\nExample usage:\n%s\n", usage)
	} else {
		what := "name of the " + strings.TrimPrefix(t.TemplateName, "builtin/")
		fmt.Fprintf(b, "Input variables:\n\tName: String - Required - The %s.\nExample usage:\n%s -var name:api\n", what, usage)
	}
	if !meta {
		return
	}
	if t.Schema != "" {
		fmt.Fprintf(b, "Schema:\n%s\n\n", t.Schema)
	}
	fmt.Fprintf(b, "Raw Template:\n%s\n", t.Template)
}

// ruleText names a rule and where it comes from, on one line.
func ruleText(r api.ACLRule) string {
	var b strings.Builder
	b.WriteString(r.Resource)
	if r.Match != "" || r.Label != "" {
		fmt.Fprintf(&b, " %q", r.Label)
	}
	fmt.Fprintf(&b, " = %q", r.Level)
	if name := firstOf(r.Policy.Name, r.Policy.ID); name != "" {
		fmt.Fprintf(&b, " of the policy %q", name)
		if r.Line > 0 {
			fmt.Fprintf(&b, ", line %d", r.Line)
		}
	}
	if len(r.Via) > 0 {
		b.WriteString(", via " + strings.Join(r.Via, ", "))
	}
	return b.String()
}

// when shows a time in a table; "-" for none.
func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
