package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/go-uuid"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// aclBytes bounds the body of a request about tokens, policies, roles, auth methods and
// binding rules.
const aclBytes = 512 << 10

// hidden stands for a secret that is not shown.
//
// Source: contract, ACL API, section 3.
const hidden = "<hidden>"

var errACLDisabled = &statusError{http.StatusUnauthorized, acl.ErrDisabled.Error()}

// onlyGuarded makes a handler answer 401 where rights are not checked.
//
// Source: contract, ACL enforcement, section 10.
func onlyGuarded(handle handler) handler {
	return func(c *call) error {
		if !c.guarded() {
			return errACLDisabled
		}
		return handle(c)
	}
}

// decodeACL reads a body that holds one JSON object: names of fields match without
// regard to case, unknown ones are refused, and what follows the object is not looked
// at. failed is how the error begins.
//
// Source: contract, ACL API, section 0.
func (c *call) decodeACL(into any, failed string) error {
	body, err := c.body(aclBytes, "body of an ACL request")
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		text := failed + err.Error()
		if strings.HasSuffix(text, `unknown field "Namespace"`) {
			text += " - Namespaces are a Consul Enterprise feature"
		}
		return badRequest(text)
	}
	return nil
}

// mayChange makes the checks between the shape of a request to change the tables and its
// content, and returns the state that the content is looked up in.
func (c *call) mayChange() (acl.View, error) {
	if err := c.mayAsk(acl.AccessWrite); err != nil {
		return acl.View{}, err
	}
	return c.s.node.Store().View().ACL(), nil
}

// mayAsk is mayChange for a request that changes nothing and does not block.
func (c *call) mayAsk(access acl.Access) error {
	if err := c.checkNamespace(); err != nil {
		return err
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if _, err := c.s.node.ReadIndex(c.r.Context(), Default); err != nil {
		return err
	}
	return c.need(acl.ResourceACL, access, "")
}

// changeACL puts a change of the tables through the log on behalf of whoever asks, and
// returns its index. When it returns, this server has it too: a token that was made can
// be used here at once.
func (c *call) changeACL(change *acl.Change) (uint64, error) {
	return c.changed(c.propose(&fsm.Command{ACL: change}))
}

// changeACLFreely is changeACL for what needs no right: what allows it was checked.
func (c *call) changeACLFreely(change *acl.Change) (uint64, error) {
	cmd := &fsm.Command{ACL: change, Origin: kvs.Origin{Address: c.address()}}
	if err := c.auditCommand(cmd); err != nil {
		return 0, err
	}
	res, err := c.s.node.Propose(c.r.Context(), cmd)
	c.auditOutcome(res, err)
	return c.changed(res, err)
}

func (c *call) changed(res fsm.Result, err error) (uint64, error) {
	switch {
	case err != nil:
		return 0, err
	case res.Denied != "":
		return 0, &statusError{http.StatusForbidden, res.Denied}
	case strings.HasPrefix(res.Invalid, "Permission denied"):
		return 0, &statusError{http.StatusForbidden, res.Invalid}
	case res.Invalid != "":
		return 0, serverError(res.Invalid)
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.s.settings.Load().HoldTime)
	defer cancel()
	if err := c.s.node.Store().WaitApplied(ctx, res.Index); err != nil && c.r.Context().Err() != nil {
		return 0, errClientGone // otherwise it is done all the same, and soon known here
	}
	setIndex(c.w.Header(), res.Index)
	return res.Index, nil
}

// readTables answers a read of the ACL tables, blocking if it is asked to. It needs
// acl:read. index is that of the table.
func (c *call) readTables(index func(acl.View) uint64, show func(acl.View) (any, error)) error {
	allowed := func() error { return c.need(acl.ResourceACL, acl.AccessRead, "") }
	return c.readTablesIf(allowed, index, show)
}

// readTablesIf is readTables for another right, or none.
func (c *call) readTablesIf(allowed func() error, index func(acl.View) uint64, show func(acl.View) (any, error)) error {
	q := tableQuestion{topic: fsm.TopicACL, need: allowed, index: func(v *fsm.View) uint64 { return index(v.ACL()) }}
	err := c.readTable(q, false, nil, func(v *fsm.View) (any, error) { return show(v.ACL()) })
	var denied *acl.PermissionError
	if errors.As(err, &denied) {
		// Source: contract, ACL enforcement, section 3.
		setIndex(c.w.Header(), 1)
		setContact(c.w.Header(), Contact{})
	}
	return err
}

func tokensIndex(v acl.View) uint64   { i, _, _, _, _ := v.Indexes(); return i }
func policiesIndex(v acl.View) uint64 { _, i, _, _, _ := v.Indexes(); return i }
func rolesIndex(v acl.View) uint64    { _, _, i, _, _ := v.Indexes(); return i }
func methodsIndex(v acl.View) uint64  { _, _, _, i, _ := v.Indexes(); return i }
func bindingsIndex(v acl.View) uint64 { _, _, _, _, i := v.Indexes(); return i }

// notThere is what reading something that is not there is answered with.
func notThere(what string) error {
	return &statusError{http.StatusNotFound, "Requested " + what + " does not exist: " + acl.ErrNotFound.Error()}
}

// noneToDelete is what deleting something that is not there is answered with.
func noneToDelete(what string) error {
	return &statusError{http.StatusNotFound, "Cannot find " + what + " to delete"}
}

// isUUID tells whether s has the form of an id, in upper or lower case.
func isUUID(s string) bool {
	_, err := uuid.ParseUUID(s)
	return err == nil
}

// warn says something that does not stop a request. Texts are shown in ASCII, on one
// line.
func (c *call) warn(texts ...string) {
	h := c.w.Header()
	for _, text := range texts {
		if len(h["X-Holdfast-Warning"]) == mostWarnings {
			return
		}
		h["X-Holdfast-Warning"] = append(h["X-Holdfast-Warning"], oneLine(text))
	}
}

// mostWarnings is how many warnings an answer carries, at most.
const mostWarnings = 20

// oneLine makes of a text what a header can hold.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, text)
}

// linkShown is a link to a policy or a role: the id as it is stored, and the present
// name.
type linkShown struct {
	ID   string
	Name string
}

type serviceIdentityShown struct {
	ServiceName string
	Datacenters []string `json:",omitempty"`
}

type nodeIdentityShown struct {
	NodeName   string
	Datacenter string
}

type templateLinkShown struct {
	TemplateID        string             `json:",omitempty"`
	TemplateName      string             `json:",omitempty"`
	TemplateVariables *templateVariables `json:",omitempty"`
	Datacenters       []string           `json:",omitempty"`
}

type templateVariables struct {
	Name string `json:"name,omitempty"`
}

// linksShown are the links of a token or a role, each list left out when it is empty.
type linksShown struct {
	Policies          []linkShown            `json:",omitempty"`
	Roles             []linkShown            `json:",omitempty"`
	ServiceIdentities []serviceIdentityShown `json:",omitempty"`
	NodeIdentities    []nodeIdentityShown    `json:",omitempty"`
	TemplatedPolicies []templateLinkShown    `json:",omitempty"`
}

func showLinks(v acl.View, l acl.Links) (shown linksShown) {
	for _, id := range l.Policies {
		if p := v.Policy(id); p != nil {
			shown.Policies = append(shown.Policies, linkShown{p.ID, p.Name})
		}
	}
	for _, id := range l.Roles {
		if r := v.Role(id); r != nil {
			shown.Roles = append(shown.Roles, linkShown{r.ID, r.Name})
		}
	}
	for _, s := range l.ServiceIdentities {
		shown.ServiceIdentities = append(shown.ServiceIdentities, serviceIdentityShown{s.Service, s.Datacenters})
	}
	for _, n := range l.NodeIdentities {
		shown.NodeIdentities = append(shown.NodeIdentities, nodeIdentityShown{n.Node, n.Datacenter})
	}
	for _, t := range l.Templates {
		link := templateLinkShown{TemplateID: t.ID, TemplateName: t.Template, Datacenters: t.Datacenters}
		if t.Name != "" {
			link.TemplateVariables = &templateVariables{t.Name}
		}
		shown.TemplatedPolicies = append(shown.TemplatedPolicies, link)
	}
	return shown
}

// linksAsked are the links in the body of a token or a role.
type linksAsked struct {
	Policies, Roles   []linkShown
	ServiceIdentities []serviceIdentityShown
	NodeIdentities    []nodeIdentityShown
	TemplatedPolicies []templateLinkShown
}

// owner is what has links.
type owner struct {
	kind  string // token or role, as errors say it
	local bool   // a token of this datacenter only
}

// links checks the links that are asked for and finds the ids.
//
// Source: contract, ACL API, section 3.1.
func (a *linksAsked) links(v acl.View, of owner) (l acl.Links, err error) {
	if l.Policies, err = a.policyIDs(v, of); err != nil {
		return l, err
	}
	if l.Roles, err = a.roleIDs(v); err != nil {
		return l, err
	}
	a.identities(&l)
	if err := l.CheckIdentities(of.kind, of.local); err != nil {
		return l, serverError(err.Error())
	}
	l.ServiceIdentities = mergeServices(l.ServiceIdentities)
	return l, nil
}

func (a *linksAsked) policyIDs(v acl.View, of owner) (ids []string, err error) {
	for _, link := range a.Policies {
		var p *acl.Policy
		if link.ID != "" {
			if p = v.Policy(strings.ToLower(link.ID)); p == nil {
				if of.kind == "role" {
					return nil, serverError("No such policy with ID: " + link.ID)
				}
				return nil, serverError(`No such ACL policy with ID "` + link.ID + `"`)
			}
		} else if p = v.PolicyByName(link.Name); p == nil {
			return nil, serverError(`No such ACL policy with name "` + link.Name + `"`)
		}
		if !slices.Contains(ids, p.ID) {
			ids = append(ids, p.ID)
		}
	}
	return ids, nil
}

func (a *linksAsked) roleIDs(v acl.View) (ids []string, err error) {
	for _, link := range a.Roles {
		var r *acl.Role
		if link.ID != "" {
			if r = v.Role(strings.ToLower(link.ID)); r == nil {
				return nil, serverError(`No such ACL role with ID "` + link.ID + `"`)
			}
		} else if r = v.RoleByName(link.Name); r == nil {
			return nil, serverError(`No such ACL role with name "` + link.Name + `"`)
		}
		if !slices.Contains(ids, r.ID) {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

// identities takes over identities and templates as they are, without doubles.
func (a *linksAsked) identities(l *acl.Links) {
	for _, s := range a.ServiceIdentities {
		l.ServiceIdentities = append(l.ServiceIdentities, acl.ServiceIdentity{Service: s.ServiceName, Datacenters: sortedSet(s.Datacenters)})
	}
	for _, n := range a.NodeIdentities {
		identity := acl.NodeIdentity{Node: n.NodeName, Datacenter: n.Datacenter}
		if !slices.Contains(l.NodeIdentities, identity) {
			l.NodeIdentities = append(l.NodeIdentities, identity)
		}
	}
	for _, t := range a.TemplatedPolicies {
		link := acl.TemplateLink{Template: t.TemplateName, Datacenters: sortedSet(t.Datacenters)}
		for _, known := range acl.Templates() {
			if link.Template == known.Name || link.Template == "" && t.TemplateID == known.ID {
				link.ID, link.Template = known.ID, known.Name
			}
		}
		if t.TemplateVariables != nil {
			link.Name = t.TemplateVariables.Name
		}
		same := func(have acl.TemplateLink) bool {
			return have.Template == link.Template && have.Name == link.Name && slices.Equal(have.Datacenters, link.Datacenters)
		}
		if !slices.ContainsFunc(l.Templates, same) {
			l.Templates = append(l.Templates, link)
		}
	}
}

// mergeServices merges the identities of one service. One that holds in all datacenters
// covers those that name some.
//
// Source: contract, ACL API, section 3.1.
func mergeServices(list []acl.ServiceIdentity) (out []acl.ServiceIdentity) {
	for _, s := range list {
		at := slices.IndexFunc(out, func(have acl.ServiceIdentity) bool { return have.Service == s.Service })
		switch {
		case at < 0:
			out = append(out, s)
		case len(out[at].Datacenters) == 0 || len(s.Datacenters) == 0:
			out[at].Datacenters = nil
		default:
			out[at].Datacenters = sortedSet(slices.Concat(out[at].Datacenters, s.Datacenters))
		}
	}
	return out
}

// sortedSet returns a sorted copy without duplicates; nil when there is nothing.
func sortedSet(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}
