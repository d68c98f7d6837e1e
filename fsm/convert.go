package fsm

import (
	"time"

	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/event"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

func toBytes(texts []string) [][]byte {
	out := make([][]byte, len(texts))
	for i, t := range texts {
		out[i] = []byte(t)
	}
	return out
}

func toStrings(list [][]byte) []string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = string(b)
	}
	return out
}

func writeToProto(op *kvs.Op, t *Ties) *fsmpb.Write {
	return &fsmpb.Write{
		Op: opToProto(op), Owner: []byte(t.Owner), Ttl: int64(t.TTL), Persist: t.Persist, Touch: t.Touch,
		FenceKey: []byte(t.FenceKey), Fence: t.Fence, Sequential: t.Sequential, Width: uint32(t.Width),
	}
}

func expireToProto(keys []kvs.Expiring) *fsmpb.Expire {
	msg := &fsmpb.Expire{}
	for _, k := range keys {
		msg.Keys = append(msg.Keys, &fsmpb.Expire_Key{Key: []byte(k.Key), At: k.At})
	}
	return msg
}

func sessionToProto(s *session.Session) *fsmpb.Session {
	msg := &fsmpb.Session{
		Id: s.ID, Name: []byte(s.Name), Node: []byte(s.Node), LockDelay: int64(s.LockDelay),
		Behavior: uint32(s.Behavior), Ttl: s.TTL, Lifetime: int64(s.Lifetime), Grace: int64(s.Grace),
		HasNodeChecks: s.NodeChecks != nil, NodeChecks: toBytes(s.NodeChecks),
		HasServiceChecks: s.ServiceChecks != nil, Checks: toBytes(s.Checks),
		Implied: s.Implied, CreateIndex: s.CreateIndex, Due: s.Due,
	}
	for _, c := range s.ServiceChecks {
		msg.ServiceChecks = append(msg.ServiceChecks, []byte(c.ID))
		msg.ServiceNamespaces = append(msg.ServiceNamespaces, []byte(c.Namespace))
	}
	return msg
}

func sessionFromProto(m *fsmpb.Session) *session.Session {
	s := &session.Session{
		ID: m.GetId(), Name: string(m.GetName()), Node: string(m.GetNode()),
		LockDelay: time.Duration(m.GetLockDelay()), Behavior: session.Behavior(m.GetBehavior()),
		TTL: m.GetTtl(), Lifetime: time.Duration(m.GetLifetime()), Grace: time.Duration(m.GetGrace()),
		Implied: m.GetImplied(), CreateIndex: m.GetCreateIndex(), Due: m.GetDue(),
	}
	if m.GetHasNodeChecks() {
		s.NodeChecks = toStrings(m.GetNodeChecks())
	}
	if len(m.GetChecks()) > 0 {
		s.Checks = toStrings(m.GetChecks())
	}
	if m.GetHasServiceChecks() {
		s.ServiceChecks = []session.ServiceCheck{}
	}
	for i, id := range m.GetServiceChecks() {
		c := session.ServiceCheck{ID: string(id)}
		if i < len(m.GetServiceNamespaces()) {
			c.Namespace = string(m.GetServiceNamespaces()[i])
		}
		s.ServiceChecks = append(s.ServiceChecks, c)
	}
	return s
}

func sessionTimeToProto(t *SessionTime) *fsmpb.SessionTime {
	msg := &fsmpb.SessionTime{Begin: t.Begin, Renewed: t.Renewed}
	for _, l := range t.Left {
		msg.Left = append(msg.Left, &fsmpb.SessionTime_Left{Id: l.ID, Left: int64(l.Left)})
	}
	return msg
}

func registrationToProto(r *catalog.Registration) *fsmpb.Register {
	msg := &fsmpb.Register{Node: nodeToProto(&r.Node), SkipNode: r.SkipNode}
	if r.Service != nil {
		msg.Service = serviceToProto(r.Service)
	}
	for i := range r.Checks {
		msg.Checks = append(msg.Checks, checkToProto(&r.Checks[i]))
	}
	return msg
}

func registrationFromProto(m *fsmpb.Register) catalog.Registration {
	r := catalog.Registration{Node: *nodeFromProto(m.GetNode()), SkipNode: m.GetSkipNode()}
	if m.GetService() != nil {
		r.Service = serviceFromProto(m.GetService())
	}
	for _, c := range m.GetChecks() {
		r.Checks = append(r.Checks, *checkFromProto(c))
	}
	return r
}

func nodeToProto(n *catalog.Node) *fsmpb.Node {
	return &fsmpb.Node{
		Id: n.ID, Name: []byte(n.Name), Address: []byte(n.Address), TaggedAddresses: n.TaggedAddresses,
		Meta: n.Meta, CreateIndex: n.CreateIndex, ModifyIndex: n.ModifyIndex,
	}
}

func nodeFromProto(m *fsmpb.Node) *catalog.Node {
	return &catalog.Node{
		ID: m.GetId(), Name: string(m.GetName()), Address: string(m.GetAddress()),
		TaggedAddresses: m.GetTaggedAddresses(), Meta: m.GetMeta(),
		Indexes: catalog.Indexes{CreateIndex: m.GetCreateIndex(), ModifyIndex: m.GetModifyIndex()},
	}
}

func serviceToProto(s *catalog.Service) *fsmpb.Service {
	return &fsmpb.Service{
		Node: []byte(s.Node), Id: []byte(s.ID), Name: []byte(s.Name), Tags: toBytes(s.Tags), Address: []byte(s.Address),
		TaggedAddresses: s.TaggedAddresses, Meta: s.Meta, Port: int64(s.Port),
		PassingWeight: int64(s.PassingWeight), WarningWeight: int64(s.WarningWeight),
		EnableTagOverride: s.EnableTagOverride, CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex,
	}
}

func serviceFromProto(m *fsmpb.Service) *catalog.Service {
	return &catalog.Service{
		Node: string(m.GetNode()), ID: string(m.GetId()), Name: string(m.GetName()), Tags: toStrings(m.GetTags()),
		Address: string(m.GetAddress()), TaggedAddresses: m.GetTaggedAddresses(), Meta: m.GetMeta(),
		Port: int(m.GetPort()), PassingWeight: int(m.GetPassingWeight()), WarningWeight: int(m.GetWarningWeight()),
		EnableTagOverride: m.GetEnableTagOverride(),
		Indexes:           catalog.Indexes{CreateIndex: m.GetCreateIndex(), ModifyIndex: m.GetModifyIndex()},
	}
}

func checkToProto(c *catalog.Check) *fsmpb.Check {
	return &fsmpb.Check{
		Node: []byte(c.Node), Id: []byte(c.ID), Name: []byte(c.Name), Status: c.Status, Notes: []byte(c.Notes),
		Output: []byte(c.Output), ServiceId: []byte(c.ServiceID), ServiceName: []byte(c.ServiceName),
		ServiceTags: toBytes(c.ServiceTags), Type: c.Type, Interval: c.Interval, Timeout: c.Timeout,
		Ttl: int64(c.TTL), ReapAfter: int64(c.Reap), Definition: []byte(c.Definition),
		CreateIndex: c.CreateIndex, ModifyIndex: c.ModifyIndex,
	}
}

func checkFromProto(m *fsmpb.Check) *catalog.Check {
	c := &catalog.Check{
		Node: string(m.GetNode()), ID: string(m.GetId()), Name: string(m.GetName()), Status: m.GetStatus(),
		Notes: string(m.GetNotes()), Output: string(m.GetOutput()), ServiceID: string(m.GetServiceId()),
		ServiceName: string(m.GetServiceName()), ServiceTags: toStrings(m.GetServiceTags()),
		Type: m.GetType(), Interval: m.GetInterval(), Timeout: m.GetTimeout(), TTL: time.Duration(m.GetTtl()),
		Reap: time.Duration(m.GetReapAfter()), Definition: string(m.GetDefinition()),
		Indexes: catalog.Indexes{CreateIndex: m.GetCreateIndex(), ModifyIndex: m.GetModifyIndex()},
	}
	if c.TTL > 0 && c.Timeout != "" { // as it once stood there; such a check has no timeout
		if d, err := time.ParseDuration(c.Timeout); err == nil {
			c.Reap = d
		}
		c.Timeout = ""
	}
	return c
}

func eventToProto(e *event.Event) *fsmpb.Event {
	return &fsmpb.Event{
		Id: e.ID, Name: []byte(e.Name), Payload: e.Payload, NodeFilter: e.NodeFilter,
		ServiceFilter: e.ServiceFilter, TagFilter: e.TagFilter, Index: e.Index,
	}
}

func eventFromProto(m *fsmpb.Event) *event.Event {
	return &event.Event{
		ID: m.GetId(), Name: string(m.GetName()), Payload: m.GetPayload(), NodeFilter: m.GetNodeFilter(),
		ServiceFilter: m.GetServiceFilter(), TagFilter: m.GetTagFilter(), Index: m.GetIndex(),
	}
}
