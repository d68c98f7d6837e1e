package httpapi

import "github.com/holdfast-kv/holdfast/acl"

// raftConfiguration answers GET /v1/operator/raft/configuration.
//
// Source: contract, status and operator, section 2; the index is the real one by
// "Where Holdfast should differ" 7.
func (c *call) raftConfiguration() error {
	mode, err := c.consistency()
	if err != nil {
		return err
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if mode != Stale {
		if _, err := c.s.node.ReadIndex(c.r.Context(), mode); err != nil {
			return err
		}
	}
	if err := c.need(acl.ResourceOperator, acl.AccessRead, ""); err != nil {
		return err
	}
	servers, index, err := c.s.opts.Cluster.RaftConfiguration(c.r.Context(), mode)
	if err != nil {
		return err
	}
	return c.encode(struct {
		Servers []RaftServer
		Index   uint64
	}{servers, index})
}

// raftTransferLeader answers POST /v1/operator/raft/transfer-leader.
func (c *call) raftTransferLeader() error {
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if err := c.needFresh(acl.ResourceOperator, acl.AccessWrite, ""); err != nil {
		return err
	}
	if err := c.s.opts.Cluster.TransferLeader(c.r.Context(), c.q.get(pID), c.granted()); err != nil {
		return err
	}
	return c.encode(struct{ Success bool }{true})
}

// raftRemovePeer answers DELETE /v1/operator/raft/peer.
func (c *call) raftRemovePeer() error {
	byID, byAddress := c.q.has(pID), c.q.has(pAddress)
	switch {
	case byID && byAddress:
		return badRequest("Must specify only one of ?id or ?address")
	case !byID && !byAddress:
		return badRequest("Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if err := c.needFresh(acl.ResourceOperator, acl.AccessWrite, ""); err != nil {
		return err
	}
	if err := c.s.opts.Cluster.RemovePeer(c.r.Context(), c.q.get(pID), c.q.get(pAddress), c.granted()); err != nil {
		return err
	}
	c.empty()
	return nil
}
