package httpapi

import (
	"fmt"
	"strconv"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/internal/limit"
	"github.com/holdfast-kv/holdfast/kvs"
)

// lockPost answers POST /v1/lock/<name>: 200 when the session holds the lock, 202 when
// it stands in the queue and shall ask again, 409 when it does not want to wait.
func (c *call) lockPost() error {
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	if err := checkName("lock", c.arg); err != nil {
		return err
	}
	slots, err := c.slots()
	if err != nil {
		return err
	}
	session, err := c.askedSession(kvs.SessionName(kvs.LockPrefix + c.arg))
	if err != nil {
		return err
	}
	return c.contend(c.arg, kvs.LockPrefix+c.arg, slots, session, o)
}

// slots reads ?mode and ?slots: how many may hold beside each other, 0 to share.
func (c *call) slots() (uint64, error) {
	switch mode := c.q.get(pMode); mode {
	case "", "exclusive":
	case "shared":
		if c.q.has(pSlots) {
			return 0, badRequest("?slots counts those who hold, and goes with mode=exclusive only")
		}
		return 0, nil
	default:
		return 0, badRequest(fmt.Sprintf("Invalid mode %q, want exclusive or shared", mode))
	}
	if !c.q.has(pSlots) {
		return 1, nil
	}
	n, err := strconv.ParseUint(c.q.get(pSlots), 10, 64)
	if err != nil || n < 1 || n > limit.LockSlots {
		return 0, badRequest(fmt.Sprintf("Invalid slots %q, want a number from 1 to %d", c.q.get(pSlots), limit.LockSlots))
	}
	return n, nil
}

// lockDelete answers DELETE /v1/lock/<name>.
func (c *call) lockDelete() error {
	if _, err := c.readOptions(); err != nil {
		return err
	}
	if err := checkName("lock", c.arg); err != nil {
		return err
	}
	return c.giveBack(kvs.LockPrefix + c.arg)
}

// lockShown is a lock with all who have a place there.
type lockShown struct {
	Name          string
	Key           string
	Slots         uint64 // as all agree on; 0 when nobody is there
	HolderCount   int
	WaiterCount   int
	Holders       []placeShown
	Waiters       []placeShown
	LockDelayLeft string `json:",omitempty"`
}

// lockGet answers GET /v1/lock/<name>. Of many it lists the first.
func (c *call) lockGet() error {
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	if err := checkName("lock", c.arg); err != nil {
		return err
	}
	most := uint64(mostShown)
	if c.q.has(pLimit) {
		if most, err = c.number(pLimit); err != nil {
			return err
		}
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	contact, err := c.fresh(o)
	if err != nil {
		return err
	}
	view := c.s.node.Store().View()
	if err := c.need(acl.ResourceKey, acl.AccessRead, kvs.LockPrefix+c.arg); err != nil {
		return err
	}
	setQuery(c.w.Header(), view.Applied(), contact)
	return c.encode(c.showLock(view, c.arg, int(min(most, limit.QueuePlaces))))
}

func (c *call) showLock(view *fsm.View, name string, most int) lockShown {
	out := lockShown{Name: name, Key: kvs.LockPrefix + name, Holders: []placeShown{}, Waiters: []placeShown{}}
	show := c.newPlaceShower(view)
	view.Places(out.Key, func(p *kvs.Place) bool {
		out.Slots = max(p.Slots, 1)
		count, list := &out.WaiterCount, &out.Waiters
		if p.Held {
			count, list = &out.HolderCount, &out.Holders
		}
		*count++
		if len(*list) < most {
			*list = append(*list, show.place(p))
		}
		return true
	})
	out.LockDelayLeft = show.delayLeft(out.Key)
	return out
}
