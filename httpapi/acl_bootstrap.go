package httpapi

import (
	"fmt"
	"net/http"

	"github.com/holdfast-kv/holdfast/acl"
)

// Resets is how whoever owns the files of this server allows another bootstrap.
type Resets interface {
	// Reset returns the index that is in the reset file; 0 when there is no such file.
	Reset() (uint64, error)

	// Used removes the file.
	Used() error
}

// bootstrapShown is the answer to a bootstrap.
//
// Source: contract, ACL API, section 1.
type bootstrapShown struct {
	ID string
	tokenShown
}

// aclBootstrap answers PUT /v1/acl/bootstrap: the first token with all rights. It needs
// no right, and so happens once; or again when the files of the server that was asked
// say so, with the index of the bootstrap before. Whoever can write those files has the
// whole state of the cluster anyway.
func (c *call) aclBootstrap() error {
	var asked struct{ BootstrapSecret string }
	if c.r.ContentLength != 0 {
		if err := c.decodeACL(&asked, "Request decoding failed: "); err != nil {
			return err
		}
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if asked.BootstrapSecret != "" && !isUUID(asked.BootstrapSecret) {
		return serverError("BootstrapSecret is not a valid uuid")
	}
	if _, err := c.s.node.ReadIndex(c.r.Context(), Default); err != nil {
		return err
	}
	var reset uint64
	if c.s.opts.Resets != nil {
		var err error
		if reset, err = c.s.opts.Resets.Reset(); err != nil {
			return err
		}
	}
	v := c.s.node.Store().View().ACL()
	if at := v.BootstrapIndex(); at != 0 && reset == 0 { // anybody may ask, so it does not get into the log
		return &statusError{http.StatusForbidden, fmt.Sprintf("Permission denied: ACL bootstrap no longer allowed (reset index: %d)", at)}
	}
	t, secret, err := c.newToken(v, "", asked.BootstrapSecret)
	if err != nil {
		return err
	}
	t.Description = "Bootstrap Token (Global Management)"
	t.Policies = []string{acl.ManagementID}
	change := &acl.Bootstrap{Token: t, Reset: reset}
	index, err := c.changeACLFreely(&acl.Change{Bootstrap: change})
	if err != nil {
		return err
	}
	if change.Reset != 0 {
		if err := c.s.opts.Resets.Used(); err != nil {
			c.s.log.Warn("the file that allowed another bootstrap was used and cannot be removed", "error", err)
		}
	}
	c.s.log.Warn("the first token with all rights was made", "accessor", t.Accessor, "client", c.r.RemoteAddr, "reset", change.Reset != 0)
	return c.encode(bootstrapShown{secret, showToken(c.s.node.Store().View().ACL(), madeAt(t, index), secret)})
}

// replicationShown is all zero, with one datacenter.
//
// Source: contract, ACL API, section 8.
type replicationShown struct {
	Enabled              bool
	Running              bool
	SourceDatacenter     string
	ReplicationType      string
	ReplicatedIndex      uint64
	ReplicatedRoleIndex  uint64
	ReplicatedTokenIndex uint64
	LastSuccess          string
	LastError            string
	LastErrorMessage     string
}

// aclReplication answers GET /v1/acl/replication. It needs no right.
func (c *call) aclReplication() error {
	if _, err := c.readOptions(); err != nil {
		return err
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	const never = "0001-01-01T00:00:00Z"
	return c.encode(replicationShown{LastSuccess: never, LastError: never})
}
