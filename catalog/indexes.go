package catalog

import (
	"fmt"

	"github.com/hashicorp/go-memdb"
)

// Indexes beside that by id. Only a [View] reads through them: memdb keeps them when
// a batch is flushed.
const (
	indexName  = "name"  // of services and checks, by the name of the service
	indexOwner = "owner" // of checks, by node and service
)

// named is a row that belongs to a service with a name.
type named interface{ serviceName() string }

func (s *Service) serviceName() string { return s.Name }
func (c *Check) serviceName() string   { return c.ServiceName }

// nameIndexer orders rows by the name of the service, without regard to case. A row
// without one is not in the index.
type nameIndexer[R named] struct{ byText }

func (nameIndexer[R]) FromObject(obj any) (bool, []byte, error) {
	row, ok := obj.(R)
	if !ok {
		return false, nil, fmt.Errorf("row is a %T", obj)
	}
	name := row.serviceName()
	return name != "", []byte(folded(name)), nil
}

// ownerIndexer orders checks by node and service.
type ownerIndexer struct{ byText }

func (ownerIndexer) FromObject(obj any) (bool, []byte, error) {
	c, ok := obj.(*Check)
	if !ok {
		return false, nil, fmt.Errorf("row is a %T", obj)
	}
	return true, []byte(ownerID(c.Node, c.ServiceID)), nil
}

// byText is asked for the rows of one value, given as it stands in the index.
type byText struct{}

func (byText) FromArgs(args ...any) ([]byte, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("want one value, got %d arguments", len(args))
	}
	value, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("value is a %T", args[0])
	}
	return []byte(value), nil
}

// ownerID ends with a zero byte, so that no value of the index begins with another.
func ownerID(node, serviceID string) string { return childID(node, serviceID) + "\x00" }

// walkIndex calls visit for every row that has that value in the index, in the order
// of ids, until it returns false.
func walkIndex[R any](txn *memdb.Txn, table, index, value string, visit func(R) bool) {
	it, err := txn.Get(table, index, value)
	if err != nil {
		panic(fmt.Sprintf("catalog: schema is broken: %v", err))
	}
	for raw := it.Next(); raw != nil; raw = it.Next() {
		if !visit(raw.(R)) {
			return
		}
	}
}
