package httpapi

import (
	"fmt"
	"net/http"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
)

// Slots that the API itself looks at.
const (
	slotDefault  = "default"
	slotRecovery = "agent_recovery"
)

// slots are the names of slots that clients use, the older ones too.
//
// Source: contract, ACL enforcement, section 8.
var slots = map[string]string{
	"default": slotDefault, "acl_token": slotDefault,
	"agent": "agent", "acl_agent_token": "agent",
	"agent_recovery": slotRecovery, "agent_master": slotRecovery, "acl_agent_master_token": slotRecovery,
	"replication": "replication", "acl_replication_token": "replication",
	"config_file_service_registration": "config_file_service_registration",
	"dns":                              "dns", "dns_token": "dns",
}

// agentToken answers PUT /v1/agent/token/<slot>. Rights are looked at first, and the
// secret is not verified.
func (c *call) agentToken() error {
	if err := c.needFresh(acl.ResourceAgent, acl.AccessWrite, c.s.opts.NodeName); err != nil {
		return err
	}
	if err := c.checkNamespace(); err != nil {
		return err
	}
	var asked struct{ Token string }
	if err := c.decodeACL(&asked, "Request decode failed: "); err != nil {
		return err
	}
	slot, known := slots[c.arg]
	if !known {
		return &statusError{http.StatusNotFound, fmt.Sprintf("Token %q is unknown", c.arg)}
	}
	if err := c.s.opts.Tokens.SetToken(slot, asked.Token); err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	c.s.TokensChanged()
	if asked.Token != "" && slot != slotRecovery { // which is in no table
		if _, err := c.s.opts.ACL.Resolve(asked.Token); err != nil {
			c.warn("no token has this secret now: " + err.Error())
			c.s.log.Warn("a token of this server was set that nobody has issued", "slot", slot, "error", err)
		}
	}
	c.s.log.Info("a token of this server was changed", "slot", slot, "set", asked.Token != "")
	c.empty()
	return nil
}

// TokensChanged makes whatever waits look at its rights again, because this server has
// other tokens of its own: who waits with one that was taken away ends.
func (s *Server) TokensChanged() {
	if s.opts.ACL != nil {
		s.opts.ACL.Forget() // the secret of the recovery token may have been in use as another's
	}
	s.node.Store().Topics().Notify([]string{fsm.TopicRules})
}
