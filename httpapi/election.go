package httpapi

import (
	"net/http"
	"strings"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// electionArg splits <name>/<action>.
func (c *call) electionArg(actions ...string) (name, action string, err error) {
	i := strings.LastIndexByte(c.arg, '/')
	action = c.arg[i+1:]
	for _, known := range actions {
		if action == known && i >= 0 {
			name = c.arg[:i]
			return name, action, checkName("election", name)
		}
	}
	return "", "", &statusError{http.StatusNotFound, "Invalid URL path: want /v1/election/<name>/" + strings.Join(actions, " or /") +
		" for the method " + c.r.Method}
}

// electionPost answers POST /v1/election/<name>/campaign, which is answered as a lock
// is, and .../resign.
func (c *call) electionPost() error {
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	name, action, err := c.electionArg("campaign", "resign")
	if err != nil {
		return err
	}
	queue := kvs.ElectionPrefix + name
	if action == "resign" {
		return c.giveBack(queue)
	}
	if c.q.has(pMode) || c.q.has(pSlots) {
		return badRequest("An election has one leader: ?mode and ?slots are for locks")
	}
	session, err := c.askedSession(kvs.SessionName(queue))
	if err != nil {
		return err
	}
	return c.contend(name, queue, 1, session, o)
}

// electionShown is what observers of an election see.
type electionShown struct {
	Name       string
	Leader     *placeShown // null when there is none
	Candidates int         // who stand in line, without the leader
}

// electionGet answers GET /v1/election/<name>/observe, blocking until another leads or
// the leader has changed its value.
func (c *call) electionGet() error {
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	name, _, err := c.electionArg("observe")
	if err != nil {
		return err
	}
	queue := kvs.ElectionPrefix + name
	q := question{key: kvs.LeaderKey(queue)}
	need := func() error { return c.need(acl.ResourceKey, acl.AccessRead, queue) }
	return c.readRecipe(&q, o, need, func(view *fsm.View) any {
		out := electionShown{Name: name}
		show := c.newPlaceShower(view)
		view.Places(queue, func(p *kvs.Place) bool {
			if p.Held {
				leader := show.place(p)
				out.Leader = &leader
			} else {
				out.Candidates++
			}
			return true
		})
		return out
	})
}
