package fsm

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
)

// checkedToProto leaves out what the header says already: accessor is its own.
func checkedToProto(c *acl.Checked, accessor string) *fsmpb.Checked {
	if c == nil {
		return nil
	}
	m := &fsmpb.Checked{
		Index: c.Index, DefaultAllow: bool(c.Default), Expires: c.Expires, Trusted: c.Trusted,
		Vars: pairsToProto(c.Vars), Datacenter: []byte(c.Datacenter), Secret: c.Secret,
	}
	if c.Accessor != accessor {
		m.Accessor = c.Accessor
	}
	if c.Links != nil {
		m.Links = linksToProto(c.Links)
	}
	return m
}

func checkedFromProto(m *fsmpb.Checked, accessor string) *acl.Checked {
	if m == nil {
		return nil
	}
	c := &acl.Checked{
		Index: m.GetIndex(), Accessor: accessor, Default: acl.Default(m.GetDefaultAllow()), Expires: m.GetExpires(),
		Trusted: m.GetTrusted(), Vars: pairsFromProto(m.GetVars()), Datacenter: string(m.GetDatacenter()), Secret: m.GetSecret(),
	}
	if m.GetAccessor() != "" {
		c.Accessor = m.GetAccessor()
	}
	if m.GetLinks() != nil {
		links := linksFromProto(m.GetLinks())
		c.Links = &links
	}
	return c
}

func changeToProto(c *acl.Change) (*fsmpb.AclChange, error) {
	m := &fsmpb.AclChange{}
	switch {
	case c.Init != nil:
		m.Kind = &fsmpb.AclChange_Init{Init: &fsmpb.AclInit{
			Key: c.Init.Key, Management: tokenToProto(c.Init.Management), Anonymous: tokenToProto(c.Init.Anonymous),
		}}
	case c.Bootstrap != nil:
		m.Kind = &fsmpb.AclChange_Bootstrap{Bootstrap: &fsmpb.AclBootstrap{
			Token: tokenToProto(c.Bootstrap.Token), Reset_: c.Bootstrap.Reset,
		}}
	case c.SetToken != nil:
		m.Kind = &fsmpb.AclChange_SetToken{SetToken: &fsmpb.AclSetToken{
			Token: tokenToProto(c.SetToken.Token), Create: c.SetToken.Create, Login: c.SetToken.Login,
			AccessorHash: []byte(c.SetToken.AccessorHash),
		}}
	case c.DeleteTokens != nil:
		m.Kind = &fsmpb.AclChange_DeleteTokens{DeleteTokens: &fsmpb.AclDeleteTokens{
			Accessors: toBytes(c.DeleteTokens.Accessors), Expired: timeToProto(c.DeleteTokens.Expired),
		}}
	case c.Rotate != nil:
		m.Kind = &fsmpb.AclChange_Rotate{Rotate: &fsmpb.AclRotate{
			Accessor: []byte(c.Rotate.Accessor), Hash: []byte(c.Rotate.Hash), Secret: []byte(c.Rotate.Secret),
			FormerUntil: timeToProto(c.Rotate.FormerUntil),
		}}
	case c.SetPolicy != nil:
		m.Kind = &fsmpb.AclChange_SetPolicy{SetPolicy: policyToProto(c.SetPolicy)}
	case c.DeletePolicy != "":
		m.Kind = &fsmpb.AclChange_DeletePolicy{DeletePolicy: []byte(c.DeletePolicy)}
	case c.SetRole != nil:
		m.Kind = &fsmpb.AclChange_SetRole{SetRole: roleToProto(c.SetRole)}
	case c.DeleteRole != "":
		m.Kind = &fsmpb.AclChange_DeleteRole{DeleteRole: []byte(c.DeleteRole)}
	case c.SetMethod != nil:
		m.Kind = &fsmpb.AclChange_SetMethod{SetMethod: methodToProto(c.SetMethod)}
	case c.DeleteMethod != "":
		m.Kind = &fsmpb.AclChange_DeleteMethod{DeleteMethod: []byte(c.DeleteMethod)}
	case c.SetBinding != nil:
		m.Kind = &fsmpb.AclChange_SetBinding{SetBinding: bindingToProto(c.SetBinding)}
	case c.DelBinding != "":
		m.Kind = &fsmpb.AclChange_DeleteBinding{DeleteBinding: []byte(c.DelBinding)}
	case c.Convert != nil:
		m.Kind = &fsmpb.AclChange_Convert{Convert: &fsmpb.AclConvert{Hashed: c.Convert.Hashed}}
	default:
		return nil, fmt.Errorf("encode command: the change of ACLs says nothing")
	}
	return m, nil
}

func changeFromProto(m *fsmpb.AclChange) (*acl.Change, error) {
	switch kind := m.GetKind().(type) {
	case *fsmpb.AclChange_Init:
		return &acl.Change{Init: &acl.Init{
			Key: kind.Init.GetKey(), Management: tokenFromProto(kind.Init.GetManagement()),
			Anonymous: tokenFromProto(kind.Init.GetAnonymous()),
		}}, nil
	case *fsmpb.AclChange_Bootstrap:
		return &acl.Change{Bootstrap: &acl.Bootstrap{
			Token: someToken(kind.Bootstrap.GetToken()), Reset: kind.Bootstrap.GetReset_(),
		}}, nil
	case *fsmpb.AclChange_SetToken:
		return &acl.Change{SetToken: &acl.SetToken{
			Token: someToken(kind.SetToken.GetToken()), Create: kind.SetToken.GetCreate(), Login: kind.SetToken.GetLogin(),
			AccessorHash: string(kind.SetToken.GetAccessorHash()),
		}}, nil
	case *fsmpb.AclChange_DeleteTokens:
		return &acl.Change{DeleteTokens: &acl.DeleteTokens{
			Accessors: toStrings(kind.DeleteTokens.GetAccessors()), Expired: timeFromProto(kind.DeleteTokens.GetExpired()),
		}}, nil
	case *fsmpb.AclChange_Rotate:
		return &acl.Change{Rotate: &acl.Rotate{
			Accessor: string(kind.Rotate.GetAccessor()), Hash: string(kind.Rotate.GetHash()), Secret: string(kind.Rotate.GetSecret()),
			FormerUntil: timeFromProto(kind.Rotate.GetFormerUntil()),
		}}, nil
	case *fsmpb.AclChange_SetPolicy:
		return &acl.Change{SetPolicy: policyFromProto(kind.SetPolicy)}, nil
	case *fsmpb.AclChange_DeletePolicy:
		return &acl.Change{DeletePolicy: string(kind.DeletePolicy)}, nil
	case *fsmpb.AclChange_SetRole:
		return &acl.Change{SetRole: roleFromProto(kind.SetRole)}, nil
	case *fsmpb.AclChange_DeleteRole:
		return &acl.Change{DeleteRole: string(kind.DeleteRole)}, nil
	case *fsmpb.AclChange_SetMethod:
		return &acl.Change{SetMethod: methodFromProto(kind.SetMethod)}, nil
	case *fsmpb.AclChange_DeleteMethod:
		return &acl.Change{DeleteMethod: string(kind.DeleteMethod)}, nil
	case *fsmpb.AclChange_SetBinding:
		return &acl.Change{SetBinding: bindingFromProto(kind.SetBinding)}, nil
	case *fsmpb.AclChange_DeleteBinding:
		return &acl.Change{DelBinding: string(kind.DeleteBinding)}, nil
	case *fsmpb.AclChange_Convert:
		return &acl.Change{Convert: &acl.Convert{Hashed: kind.Convert.GetHashed()}}, nil
	}
	return nil, fmt.Errorf("%w (change of ACLs)", ErrUnknownCommand)
}

// timeToProto is nil for the zero time.
func timeToProto(t time.Time) *fsmpb.AclTime {
	if t.IsZero() {
		return nil
	}
	return &fsmpb.AclTime{Seconds: t.Unix(), Nanos: uint32(t.Nanosecond())}
}

func timeFromProto(m *fsmpb.AclTime) time.Time {
	if m == nil {
		return time.Time{}
	}
	return time.Unix(m.GetSeconds(), int64(m.GetNanos())).UTC()
}

// pairsToProto sorts, so that the same map is the same bytes.
func pairsToProto(vars map[string]string) []*fsmpb.AclPair {
	pairs := make([]*fsmpb.AclPair, 0, len(vars))
	for name, value := range vars {
		pairs = append(pairs, &fsmpb.AclPair{Name: []byte(name), Value: []byte(value)})
	}
	slices.SortFunc(pairs, func(a, b *fsmpb.AclPair) int { return slices.Compare(a.GetName(), b.GetName()) })
	return pairs
}

func pairsFromProto(pairs []*fsmpb.AclPair) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	vars := make(map[string]string, len(pairs))
	for _, p := range pairs {
		vars[string(p.GetName())] = string(p.GetValue())
	}
	return vars
}

// texts is nil where toStrings makes an empty list.
func texts(list [][]byte) []string {
	if len(list) == 0 {
		return nil
	}
	return toStrings(list)
}

func linksToProto(l *acl.Links) *fsmpb.AclLinks {
	m := &fsmpb.AclLinks{Policies: toBytes(l.Policies), Roles: toBytes(l.Roles)}
	for _, s := range l.ServiceIdentities {
		m.Services = append(m.Services, &fsmpb.AclLinks_Service{Service: []byte(s.Service), Datacenters: toBytes(s.Datacenters)})
	}
	for _, n := range l.NodeIdentities {
		m.Nodes = append(m.Nodes, &fsmpb.AclLinks_Node{Node: []byte(n.Node), Datacenter: []byte(n.Datacenter)})
	}
	for _, t := range l.Templates {
		m.Templates = append(m.Templates, &fsmpb.AclLinks_Template{
			Id: []byte(t.ID), Template: []byte(t.Template), Name: []byte(t.Name), Datacenters: toBytes(t.Datacenters),
		})
	}
	return m
}

func linksFromProto(m *fsmpb.AclLinks) acl.Links {
	l := acl.Links{Policies: texts(m.GetPolicies()), Roles: texts(m.GetRoles())}
	for _, s := range m.GetServices() {
		l.ServiceIdentities = append(l.ServiceIdentities, acl.ServiceIdentity{
			Service: string(s.GetService()), Datacenters: texts(s.GetDatacenters()),
		})
	}
	for _, n := range m.GetNodes() {
		l.NodeIdentities = append(l.NodeIdentities, acl.NodeIdentity{Node: string(n.GetNode()), Datacenter: string(n.GetDatacenter())})
	}
	for _, t := range m.GetTemplates() {
		l.Templates = append(l.Templates, acl.TemplateLink{
			ID: string(t.GetId()), Template: string(t.GetTemplate()), Name: string(t.GetName()), Datacenters: texts(t.GetDatacenters()),
		})
	}
	return l
}

func tokenToProto(t *acl.Token) *fsmpb.AclToken {
	if t == nil {
		return nil
	}
	return &fsmpb.AclToken{
		Accessor: []byte(t.Accessor), Hash: []byte(t.Hash), Secret: []byte(t.Secret), Description: []byte(t.Description),
		Links: linksToProto(&t.Links), Vars: pairsToProto(t.Vars), Local: t.Local, Method: []byte(t.Method),
		Expires: timeToProto(t.Expires), Created: timeToProto(t.Created),
		FormerHash: []byte(t.FormerHash), FormerUntil: timeToProto(t.FormerUntil),
		ContentHash: t.ContentHash, CreateIndex: t.CreateIndex, ModifyIndex: t.ModifyIndex,
	}
}

// tokenFromProto is nil for no token.
func tokenFromProto(m *fsmpb.AclToken) *acl.Token {
	if m == nil {
		return nil
	}
	return someToken(m)
}

func someToken(m *fsmpb.AclToken) *acl.Token {
	return &acl.Token{
		Accessor: string(m.GetAccessor()), Hash: string(m.GetHash()), Secret: string(m.GetSecret()), Description: string(m.GetDescription()),
		Links: linksFromProto(m.GetLinks()), Vars: pairsFromProto(m.GetVars()), Local: m.GetLocal(), Method: string(m.GetMethod()),
		Expires: timeFromProto(m.GetExpires()), Created: timeFromProto(m.GetCreated()),
		FormerHash: string(m.GetFormerHash()), FormerUntil: timeFromProto(m.GetFormerUntil()),
		ContentHash: m.GetContentHash(), CreateIndex: m.GetCreateIndex(), ModifyIndex: m.GetModifyIndex(),
	}
}

func policyToProto(p *acl.Policy) *fsmpb.AclPolicy {
	return &fsmpb.AclPolicy{
		Id: []byte(p.ID), Name: []byte(p.Name), Description: []byte(p.Description), Rules: []byte(p.Rules),
		Datacenters: toBytes(p.Datacenters), ContentHash: p.ContentHash, CreateIndex: p.CreateIndex, ModifyIndex: p.ModifyIndex,
	}
}

func policyFromProto(m *fsmpb.AclPolicy) *acl.Policy {
	return &acl.Policy{
		ID: string(m.GetId()), Name: string(m.GetName()), Description: string(m.GetDescription()), Rules: string(m.GetRules()),
		Datacenters: texts(m.GetDatacenters()), ContentHash: m.GetContentHash(), CreateIndex: m.GetCreateIndex(), ModifyIndex: m.GetModifyIndex(),
	}
}

func roleToProto(r *acl.Role) *fsmpb.AclRole {
	return &fsmpb.AclRole{
		Id: []byte(r.ID), Name: []byte(r.Name), Description: []byte(r.Description), Links: linksToProto(&r.Links),
		ContentHash: r.ContentHash, CreateIndex: r.CreateIndex, ModifyIndex: r.ModifyIndex,
	}
}

func roleFromProto(m *fsmpb.AclRole) *acl.Role {
	return &acl.Role{
		ID: string(m.GetId()), Name: string(m.GetName()), Description: string(m.GetDescription()), Links: linksFromProto(m.GetLinks()),
		ContentHash: m.GetContentHash(), CreateIndex: m.GetCreateIndex(), ModifyIndex: m.GetModifyIndex(),
	}
}

func methodToProto(a *acl.AuthMethod) *fsmpb.AclMethod {
	return &fsmpb.AclMethod{
		Name: []byte(a.Name), Type: []byte(a.Type), DisplayName: []byte(a.DisplayName), Description: []byte(a.Description),
		MaxTokenTtl: int64(a.MaxTokenTTL), Locality: []byte(a.Locality), Config: a.Config,
		CreateIndex: a.CreateIndex, ModifyIndex: a.ModifyIndex,
	}
}

func methodFromProto(m *fsmpb.AclMethod) *acl.AuthMethod {
	return &acl.AuthMethod{
		Name: string(m.GetName()), Type: string(m.GetType()), DisplayName: string(m.GetDisplayName()), Description: string(m.GetDescription()),
		MaxTokenTTL: time.Duration(m.GetMaxTokenTtl()), Locality: string(m.GetLocality()), Config: m.GetConfig(),
		CreateIndex: m.GetCreateIndex(), ModifyIndex: m.GetModifyIndex(),
	}
}

func bindingToProto(r *acl.BindingRule) *fsmpb.AclBinding {
	return &fsmpb.AclBinding{
		Id: []byte(r.ID), Description: []byte(r.Description), Method: []byte(r.Method), Selector: []byte(r.Selector),
		BindType: []byte(r.BindType), BindName: []byte(r.BindName), BindVars: pairsToProto(r.BindVars),
		CreateIndex: r.CreateIndex, ModifyIndex: r.ModifyIndex,
	}
}

func bindingFromProto(m *fsmpb.AclBinding) *acl.BindingRule {
	return &acl.BindingRule{
		ID: string(m.GetId()), Description: string(m.GetDescription()), Method: string(m.GetMethod()), Selector: string(m.GetSelector()),
		BindType: string(m.GetBindType()), BindName: string(m.GetBindName()), BindVars: pairsFromProto(m.GetBindVars()),
		CreateIndex: m.GetCreateIndex(), ModifyIndex: m.GetModifyIndex(),
	}
}

func aclMetaToProto(x *acl.Meta) *fsmpb.AclMeta {
	return &fsmpb.AclMeta{
		Key: x.Key, Hashed: x.Hashed, HashedIndex: x.HashedAt, Bootstrap: x.Bootstrap, Index: x.Index,
		Tokens: x.Tokens, Policies: x.Policies, Roles: x.Roles, Methods: x.Methods, Bindings: x.Bindings,
	}
}

func aclMetaFromProto(m *fsmpb.AclMeta) *acl.Meta {
	return &acl.Meta{
		Key: m.GetKey(), Hashed: m.GetHashed(), HashedAt: m.GetHashedIndex(), Bootstrap: m.GetBootstrap(), Index: m.GetIndex(),
		Tokens: m.GetTokens(), Policies: m.GetPolicies(), Roles: m.GetRoles(), Methods: m.GetMethods(), Bindings: m.GetBindings(),
	}
}

// writeACL writes the ACL tables of a snapshot: nothing where ACLs were never in use.
func (s *Snapshot) writeACL(out *recordWriter) error {
	view := s.view.ACL()
	if view.Index() == 0 {
		return nil
	}
	err := out.message(recordACLMeta, aclMetaToProto(view.Meta()))
	write := func(kind byte, m proto.Message) bool {
		if err == nil {
			err = out.message(kind, m)
		}
		return err == nil
	}
	view.Policies(func(p *acl.Policy) bool { return write(recordACLPolicy, policyToProto(p)) })
	view.Roles(func(r *acl.Role) bool { return write(recordACLRole, roleToProto(r)) })
	view.Tokens(func(t *acl.Token) bool { return write(recordACLToken, tokenToProto(t)) })
	view.Methods(func(m *acl.AuthMethod) bool { return write(recordACLMethod, methodToProto(m)) })
	view.Bindings("", func(r *acl.BindingRule) bool { return write(recordACLBinding, bindingToProto(r)) })
	return err
}
