package kvs

import (
	"encoding/binary"
	"fmt"

	"github.com/hashicorp/go-memdb"

	"github.com/holdfast-kv/holdfast/internal/staging"
)

// The tables of this package.
const (
	tableItems = "kv" // one row, the tree of all items
	tableLog   = "kv-log"
	tableMeta  = "kv-meta"
)

// Schema returns the tables of the key/value state, to be merged into the
// schema of the store.
func Schema() map[string]*memdb.TableSchema {
	table := func(name string, indexer memdb.Indexer) *memdb.TableSchema {
		return &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{
			"id": {Name: "id", Unique: true, Indexer: indexer},
		}}
	}
	return map[string]*memdb.TableSchema{
		tableItems: table(tableItems, singleIndexer{}),
		tableLog:   table(tableLog, chunkIndexer{}),
		tableMeta:  table(tableMeta, singleIndexer{}),

		tableHeld:     staging.Schema[*held](tableHeld),
		tableDue:      staging.Schema[*due](tableDue),
		tableDelays:   staging.Schema[*Delay](tableDelays),
		tableCounters: staging.Schema[*Counter](tableCounters),
		tablePlaces:   staging.Schema[*Place](tablePlaces),
		tableLengths:  staging.Schema[*length](tableLengths),
	}
}

// chunkIndexer orders chunks of the log by the index of their first change.
type chunkIndexer struct{}

func (chunkIndexer) FromObject(obj any) (bool, []byte, error) {
	c, ok := obj.(*chunk)
	if !ok {
		return false, nil, fmt.Errorf("log row is a %T", obj)
	}
	return true, binary.BigEndian.AppendUint64(nil, c.first), nil
}

func (chunkIndexer) FromArgs(args ...any) ([]byte, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("want one index, got %d arguments", len(args))
	}
	index, ok := args[0].(uint64)
	if !ok {
		return nil, fmt.Errorf("index is a %T", args[0])
	}
	return binary.BigEndian.AppendUint64(nil, index), nil
}

// singleIndexer serves a table of one row.
type singleIndexer struct{}

func (singleIndexer) FromObject(any) (bool, []byte, error) { return true, []byte{0}, nil }
func (singleIndexer) FromArgs(...any) ([]byte, error)      { return []byte{0}, nil }

// must turns an error that only a broken schema can cause into a panic: the
// tables and the types of their rows are constants of this package.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("kvs: schema is broken: %v", err))
	}
}
