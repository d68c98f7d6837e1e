package httpapi

// statusLeader answers GET /v1/status/leader: the leader's server address as this
// server believes it to be, an empty string when it knows none. It never waits.
//
// Source: contract, status, section 1.
func (c *call) statusLeader() error {
	if err := c.checkStatus(); err != nil {
		return err
	}
	return c.encode(c.s.opts.Cluster.LeaderAddress())
}

// statusPeers answers GET /v1/status/peers.
func (c *call) statusPeers() error {
	if err := c.checkStatus(); err != nil {
		return err
	}
	return c.encode(c.s.opts.Cluster.PeerAddresses())
}

func (c *call) checkStatus() error {
	if _, err := c.consistency(); err != nil {
		return err
	}
	return c.checkDatacenter()
}
