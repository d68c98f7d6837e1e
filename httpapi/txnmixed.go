package httpapi

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// txnCatalogBody is an operation of a transaction on the catalog: Node is a name, or
// for operations on nodes the node itself.
//
// Source: contract, transactions, section 4.
type txnCatalogBody struct {
	Verb    string
	Node    json.RawMessage
	Service *serviceBody
	Check   *checkBody
}

// txnNodeBody is a node in a transaction, as it is shown too.
type txnNodeBody struct {
	ID, Node, Address, Datacenter, Partition, PeerName string
	TaggedAddresses, Meta                              map[string]string
	Locality                                           json.RawMessage
	CreateIndex, ModifyIndex                           uint64
}

// mixedTxn answers a transaction that touches the catalog.
func (c *call) mixedTxn(elements []txnElement, settings *Settings) error {
	var ops []fsm.MixedOp
	var refused []fsm.TxnError
	writes := false
	refuse := func(what string) { refused = append(refused, fsm.TxnError{OpIndex: len(ops), What: what}) }
	for i := range elements {
		e := &elements[i]
		switch {
		case !e.present:
			continue
		case e.kind == "":
			keys, no, err := checkTxn(elements[i:i+1], settings)
			if err != nil {
				return err
			}
			for _, r := range no {
				refuse(r.What)
			}
			if keys[0].Verb == kvs.DeleteTree && keys[0].Key == "" && settings.KeepRoot {
				refuse("deleting every key at once is switched off on this server (disable_root_recursive_delete)")
			}
			writes = writes || keys[0].Verb.Valid() && keys[0].Verb.Writes()
			ops = append(ops, fsm.MixedOp{KV: &keys[0]})
		default:
			op, why, err := c.catalogOp(e)
			if err != nil {
				return badRequest("Failed to parse body: " + err.Error())
			}
			if why != "" {
				refuse(why)
			}
			writes = writes || op.Verb.Valid() && op.Verb.Writes()
			ops = append(ops, fsm.MixedOp{Catalog: op})
		}
	}
	need := func(i int) error {
		return fsm.NeedMixedOp(c.s.node.Store().View().Catalog(), &ops[i], c.behavior, c.need)
	}
	if !writes {
		if c.s.opts.Audit != nil {
			if err := c.auditReads(mixedOps(ops)); err != nil {
				return err
			}
		}
		return c.answerReadTxn(func(v *fsm.View, b []byte) ([]byte, []fsm.TxnError, error) {
			refused, err := c.refuseOps(refused, len(ops), false, need)
			if err != nil {
				return b, nil, err
			}
			var shown []fsm.MixedShown
			if refused == nil {
				ops, at := hideMissing(c, ops, mixedKeyOp)
				shown, refused = v.ReadMixed(ops)
				refused = atFirst(refused, at)
			}
			b, err = c.appendMixed(b, c.keepMixed(shown), refused)
			return b, refused, err
		})
	}
	refused, err := c.refuseOps(refused, len(ops), true, need)
	if err != nil {
		return err
	}
	var res fsm.Result
	if refused == nil {
		ops, at := hideMissing(c, ops, mixedKeyOp)
		if res, err = c.propose(&fsm.Command{Mixed: ops}); err != nil {
			return err
		}
		refused = atFirst(res.Errors, at)
		setIndex(c.w.Header(), res.Index)
	}
	b, err := c.appendMixed(nil, c.keepMixed(res.Mixed), refused)
	if err != nil {
		return err
	}
	c.txnAnswer(append(b, '}'), refused)
	return nil
}

func mixedKeyOp(op *fsm.MixedOp) *kvs.Op { return op.KV }

// keepMixed leaves out what may not be read. The list is the caller's.
func (c *call) keepMixed(shown []fsm.MixedShown) []fsm.MixedShown {
	if !c.guarded() {
		return shown
	}
	return slices.DeleteFunc(shown, func(s fsm.MixedShown) bool {
		if s.KV != nil && c.may(acl.ResourceKey, acl.AccessRead, s.KV.Entry.Key) || s.KV == nil && c.keepsShown(s.Catalog) {
			return false
		}
		c.rights.cut = true // said in the body, not in a header
		return true
	})
}

// catalogOp reads an operation on the catalog. The error is that of a body that
// cannot be read; why is what is wrong with one that can.
func (c *call) catalogOp(e *txnElement) (op *catalog.Op, why string, err error) {
	var body txnCatalogBody
	if err := strictJSON(e.row, &body); err != nil {
		return nil, "", err
	}
	op = &catalog.Op{}
	known := false
	if op.Verb, known = catalog.ParseVerb(body.Verb); !known {
		why = fmt.Sprintf("unknown %s operation: %s", e.kind, body.Verb)
	}
	var wrong error
	switch e.kind {
	case "Node":
		op.Node, wrong, err = body.node()
	case "Service":
		op.Service, wrong, err = body.service()
	default:
		op.Check, wrong, err = body.check()
	}
	if why == "" && wrong != nil {
		why = wrong.Error()
	}
	return op, why, err
}

func (b *txnCatalogBody) node() (row *catalog.Node, wrong, err error) {
	var n txnNodeBody
	if len(b.Node) > 0 {
		if err := strictJSON(b.Node, &n); err != nil {
			return nil, nil, err
		}
	}
	if n.Node == "" {
		wrong = catalog.ErrNoNode
	}
	return &catalog.Node{
		ID: n.ID, Name: n.Node, Address: n.Address, TaggedAddresses: someOf(n.TaggedAddresses), Meta: someOf(n.Meta),
		Indexes: catalog.Indexes{ModifyIndex: n.ModifyIndex},
	}, wrong, nil
}

func (b *txnCatalogBody) service() (row *catalog.Service, wrong, err error) {
	body := b.Service
	if body == nil {
		body = &serviceBody{}
	}
	if row, wrong = body.row(); wrong != nil {
		return &catalog.Service{}, wrong, nil
	}
	if len(b.Node) > 0 {
		if err := json.Unmarshal(b.Node, &row.Node); err != nil {
			return nil, nil, err
		}
	}
	if row.Node == "" {
		wrong = catalog.ErrNoNode
	}
	row.ModifyIndex = body.ModifyIndex
	return row, wrong, nil
}

func (b *txnCatalogBody) check() (row *catalog.Check, wrong, err error) {
	body := b.Check
	if body == nil {
		body = &checkBody{}
	}
	check, wrong := body.row(body.Node)
	check.Node = body.Node
	if wrong == nil && check.Node == "" {
		wrong = catalog.ErrNoNode
	}
	check.ModifyIndex = body.ModifyIndex
	return &check, wrong, nil
}

// appendMixed is appendOutcome for a transaction that touches the catalog.
func (c *call) appendMixed(b []byte, shown []fsm.MixedShown, refused []fsm.TxnError) ([]byte, error) {
	if refused != nil {
		return appendOutcome(b, nil, refused), nil
	}
	b = append(b, `{"Results":[`...)
	for i, s := range shown {
		if i > 0 {
			b = append(b, ',')
		}
		if s.KV != nil {
			b = append(b, `{"KV":`...)
			b = append(appendEntry(b, s.KV.Entry, s.KV.Value), '}')
			continue
		}
		var row any
		switch x := s.Catalog; {
		case x.Node != nil:
			row = struct{ Node CatalogNode }{c.node(x.Node)}
		case x.Service != nil:
			row = struct{ Service nodeService }{serviceOf(x.Service)}
		default:
			row = struct{ Check healthCheck }{checkOf(x.Check)}
		}
		text, err := json.Marshal(row)
		if err != nil {
			return nil, fmt.Errorf("encode a row of the catalog: %w", err)
		}
		b = append(b, text...)
	}
	return append(b, `],"Errors":null`...), nil
}
