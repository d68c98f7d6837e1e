package httpapi

import (
	"fmt"
	"strconv"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/catalog"
)

// agentMaintenance answers PUT /v1/agent/maintenance.
//
// Source: contract, agent, section 4, for this and the next.
func (c *call) agentMaintenance() error {
	enable, err := c.enabling()
	if err != nil {
		return err
	}
	if _, err := c.localView(); err != nil {
		return err
	}
	if err := c.needToWrite(acl.ResourceNode, acl.AccessWrite, c.s.opts.NodeName); err != nil {
		return err
	}
	return c.maintain(enable, catalog.Check{ID: nodeMaintenance, Name: "Node Maintenance Mode"})
}

// agentServiceMaintenance answers PUT /v1/agent/service/maintenance/ID.
func (c *call) agentServiceMaintenance() error {
	if c.arg == "" {
		return errMissingServiceID
	}
	enable, err := c.enabling()
	if err != nil {
		return err
	}
	view, err := c.localView()
	if err != nil {
		return err
	}
	if err := c.needLocalService(view, c.arg); err != nil {
		return err
	}
	return c.maintain(enable, catalog.Check{
		ID: serviceMaintenance + c.arg, Name: "Service Maintenance Mode", ServiceID: c.arg,
	})
}

func (c *call) enabling() (bool, error) {
	value, _ := c.given("enable")
	if value == "" {
		return false, badRequest("Missing value for enable")
	}
	enable, err := strconv.ParseBool(value)
	if err != nil {
		return false, badRequest(fmt.Sprintf("Invalid value for enable: %q", value))
	}
	return enable, nil
}

// maintain adds or removes the check of a maintenance mode. Both may be done again.
func (c *call) maintain(enable bool, check catalog.Check) error {
	check.Status, check.Type = catalog.Critical, "maintenance"
	if check.Notes, _ = c.given("reason"); check.Notes == "" {
		check.Notes = "Maintenance mode was switched on without a reason."
	}
	check.Notes = cutOutput(check.Notes)
	var err error
	if enable {
		err = c.registerLocal(nil, check)
	} else {
		err = c.deregisterLocal("", check.ID)
	}
	if err != nil {
		return err
	}
	c.empty()
	return nil
}
