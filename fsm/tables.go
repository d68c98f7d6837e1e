package fsm

import (
	"fmt"

	"github.com/hashicorp/go-memdb"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/event"
	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
	"github.com/holdfast-kv/holdfast/session"
)

// writeTables writes the records of what is not a key, table by table in the order
// of ids.
func (s *Snapshot) writeTables(out *recordWriter) error {
	err := s.view.ExportDelays(func(d *kvs.Delay) error {
		return out.message(recordDelay, &fsmpb.Delay{Key: []byte(d.Key), Until: d.Until, Slots: d.Slots})
	})
	if err != nil {
		return err
	}
	err = s.view.ExportCounters(func(c *kvs.Counter) error {
		return out.message(recordCounter, &fsmpb.Counter{Dir: []byte(c.Dir), Last: c.Last})
	})
	if err != nil {
		return err
	}
	write := func(kind byte, m proto.Message) bool {
		err = out.message(kind, m)
		return err == nil
	}
	cat := s.view.Catalog()
	sessions, _ := s.view.Sessions()
	for _, walk := range []func(){
		func() { cat.Nodes(func(n *catalog.Node) bool { return write(recordNode, nodeToProto(n)) }) },
		func() {
			cat.Services("", func(x *catalog.Service) bool { return write(recordService, serviceToProto(x)) })
		},
		func() { cat.Checks("", func(c *catalog.Check) bool { return write(recordCheck, checkToProto(c)) }) },
		func() {
			sessions.List(func(x *session.Session) bool { return write(recordSession, sessionToProto(x)) })
		},
		func() { s.view.Events().List(func(e *event.Event) bool { return write(recordEvent, eventToProto(e)) }) },
	} {
		if walk(); err != nil {
			return err
		}
	}
	return s.writeACL(out)
}

// tableReader puts records of what is not a key into txn; with nil it only checks
// them.
type tableReader struct{ txn *memdb.Txn }

func (t *tableReader) add(im *kvs.Import, kind byte, data []byte) error {
	switch kind {
	case recordDelay:
		var m fsmpb.Delay
		if err := proto.Unmarshal(data, &m); err != nil {
			return err
		}
		im.AddDelay(&kvs.Delay{Key: string(m.GetKey()), Until: m.GetUntil(), Slots: m.GetSlots()})
	case recordCounter:
		var m fsmpb.Counter
		if err := proto.Unmarshal(data, &m); err != nil {
			return err
		}
		im.AddCounter(&kvs.Counter{Dir: string(m.GetDir()), Last: m.GetLast()})
	case recordNode:
		return read(t, data, &fsmpb.Node{}, func(m *fsmpb.Node) error { return catalog.ImportNode(t.txn, nodeFromProto(m)) })
	case recordService:
		return read(t, data, &fsmpb.Service{}, func(m *fsmpb.Service) error {
			return catalog.ImportService(t.txn, serviceFromProto(m))
		})
	case recordCheck:
		return read(t, data, &fsmpb.Check{}, func(m *fsmpb.Check) error { return catalog.ImportCheck(t.txn, checkFromProto(m)) })
	case recordSession:
		return read(t, data, &fsmpb.Session{}, func(m *fsmpb.Session) error { return session.Import(t.txn, sessionFromProto(m)) })
	case recordEvent:
		return read(t, data, &fsmpb.Event{}, func(m *fsmpb.Event) error { return event.Import(t.txn, eventFromProto(m)) })
	case recordACLMeta:
		return read(t, data, &fsmpb.AclMeta{}, func(m *fsmpb.AclMeta) error { return acl.Import(t.txn, aclMetaFromProto(m)) })
	case recordACLToken:
		return read(t, data, &fsmpb.AclToken{}, func(m *fsmpb.AclToken) error { return acl.Import(t.txn, tokenFromProto(m)) })
	case recordACLPolicy:
		return read(t, data, &fsmpb.AclPolicy{}, func(m *fsmpb.AclPolicy) error { return acl.Import(t.txn, policyFromProto(m)) })
	case recordACLRole:
		return read(t, data, &fsmpb.AclRole{}, func(m *fsmpb.AclRole) error { return acl.Import(t.txn, roleFromProto(m)) })
	case recordACLMethod:
		return read(t, data, &fsmpb.AclMethod{}, func(m *fsmpb.AclMethod) error { return acl.Import(t.txn, methodFromProto(m)) })
	case recordACLBinding:
		return read(t, data, &fsmpb.AclBinding{}, func(m *fsmpb.AclBinding) error { return acl.Import(t.txn, bindingFromProto(m)) })
	default:
		return fmt.Errorf("no table has it")
	}
	return nil
}

// read parses a record into m and, unless it is only checked, stores it.
func read[M proto.Message](t *tableReader, data []byte, m M, store func(M) error) error {
	if err := proto.Unmarshal(data, m); err != nil || t.txn == nil {
		return err
	}
	return store(m)
}
