package httpapi

import (
	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
)

// What belongs to a node needs the right to the node, and what belongs to a service that
// to the service. Which service a check or an id belongs to is what the state says, not
// what the request says.
//
// Source: contract, ACL enforcement, sections 4, 5.2 and 5.5.

// serviceOfCheck is the name of the service that a check belongs to; "" for one of a node.
// A service that is not there has no name to go by but the one in the row.
func serviceOfCheck(view catalog.View, row *catalog.Check) string {
	if row.ServiceID == "" {
		return ""
	}
	if s := view.Service(row.Node, row.ServiceID); s != nil {
		return s.Name
	}
	return row.ServiceName
}

// needCheck is need for a check.
func (c *call) needCheck(view catalog.View, a acl.Access, row *catalog.Check) error {
	if name := serviceOfCheck(view, row); name != "" {
		return c.need(acl.ResourceService, a, name)
	}
	return c.need(acl.ResourceNode, a, fsm.NodeName(view, row.Node))
}

// keepsCheck tells whether a check of this server may be shown.
func (c *call) keepsCheck(row *catalog.Check) bool {
	if row.ServiceName != "" {
		return c.keeps(acl.ResourceService, row.ServiceName)
	}
	return c.keeps(acl.ResourceNode, row.Node)
}

// keepsRow tells whether what belongs to a node, and to a service unless it has no name,
// may be shown in a list of the catalog.
func (c *call) keepsRow(node, service string) bool {
	return c.keeps(acl.ResourceNode, node) && (service == "" || c.keeps(acl.ResourceService, service))
}

// keepsShown tells whether a transaction may show a row.
func (c *call) keepsShown(x *catalog.Shown) bool {
	switch {
	case x.Node != nil:
		return c.may(acl.ResourceNode, acl.AccessRead, x.Node.Name)
	case x.Service != nil:
		return c.may(acl.ResourceService, acl.AccessRead, x.Service.Name)
	case x.Check != nil && x.Check.ServiceName != "":
		return c.may(acl.ResourceService, acl.AccessRead, x.Check.ServiceName)
	case x.Check != nil:
		return c.may(acl.ResourceNode, acl.AccessRead, x.Check.Node)
	}
	return true
}
