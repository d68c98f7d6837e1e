package httpapi

import (
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/kvs"
)

// memberShown is one member of a group.
type memberShown struct {
	Member  string
	Session string // with which its membership ends; empty for one that stays
	Name    string // of the session
	Node    string // of the session
	Since   time.Time
	Age     string
	Value   []byte
}

// groupShown is a group with all its members, in the order of their names.
type groupShown struct {
	Name    string
	Members []memberShown
}

// joinedShown is the answer to who joins a group.
type joinedShown struct {
	Name    string
	Member  string
	Key     string
	Session string
}

// groupGet answers GET /v1/group/<group>, blocking until somebody joins or leaves or
// has changed its value.
func (c *call) groupGet() error {
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	if err := checkName("group", c.arg); err != nil {
		return err
	}
	name := c.arg
	q := question{shape: names, key: kvs.MembersPrefix(name)}
	need := func() error { return c.needQuestion(&q) }
	return c.readRecipe(&q, o, need, func(view *fsm.View) any {
		out := groupShown{Name: name, Members: []memberShown{}}
		show := c.newPlaceShower(view)
		view.List(q.key, func(cur *kvs.Version) {
			if c.keeps(acl.ResourceKey, cur.Key) {
				out.Members = append(out.Members, show.member(cur, q.key))
			}
		})
		return out
	})
}

func (s *placeShower) member(cur *kvs.Version, prefix string) memberShown {
	shown := memberShown{Member: strings.TrimPrefix(cur.Key, prefix)}
	if extra := s.view.Item(cur.Key).Extra; extra != nil {
		shown.Session = extra.Owner
	}
	if owner := s.owner(shown.Session); owner != nil {
		shown.Name, shown.Node = owner.Name, owner.Node
	}
	if len(cur.Value) > 0 {
		shown.Value = cur.Value
	}
	_, since := s.view.Since(cur.Key)
	shown.Since, shown.Age = time.Unix(0, since).UTC(), s.age(since)
	return shown
}

// memberArg splits <group>/<member>.
func (c *call) memberArg() (group, member string, err error) {
	i := strings.LastIndexByte(c.arg, '/')
	if i < 0 {
		return "", "", badRequest("Missing member: want /v1/group/<group>/<member>")
	}
	group, member = c.arg[:i], c.arg[i+1:]
	if err := checkName("group", group); err != nil {
		return "", "", err
	}
	return group, member, checkName("member", member)
}

// groupPut answers PUT /v1/group/<group>/<member>: the member is there as long as the
// session. Who puts it last has it.
func (c *call) groupPut() error {
	if _, err := c.readOptions(); err != nil {
		return err
	}
	group, member, err := c.memberArg()
	if err != nil {
		return err
	}
	op := kvs.Op{Verb: kvs.Set, Key: kvs.MembersPrefix(group) + member}
	session, err := c.askedSession(kvs.SessionName(op.Key))
	if err != nil {
		return err
	}
	if session.make != nil {
		op.Flags = kvs.OwnSession
	}
	if op.Value, err = c.recipeValue(); err != nil {
		return err
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	ties := fsm.Ties{Owner: session.id}
	need := func() error {
		if err := fsm.NeedWrite(&op, &ties, c.behavior, c.need); err != nil {
			return err
		}
		return c.needMade(session)
	}
	if err := c.decide(need); err != nil {
		return err
	}
	if err := c.begin(session); err != nil {
		return err
	}
	res, err := c.propose(&fsm.Command{Write: &op, Ties: ties})
	if err == nil && res.Invalid != "" {
		err = noSuchSession(session.id)
	}
	if err != nil {
		c.abandon(session)
		return err
	}
	setIndex(c.w.Header(), res.Index)
	return c.encode(joinedShown{Name: group, Member: member, Key: op.Key, Session: session.id})
}

// groupDelete answers DELETE /v1/group/<group>/<member>: true, or false when with
// ?session the member is not that session's.
func (c *call) groupDelete() error {
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	group, member, err := c.memberArg()
	if err != nil {
		return err
	}
	if c.q.has(pSession) && c.q.get(pSession) == "" {
		return badRequest("?session wants the id of a session")
	}
	if _, err := c.fresh(o); err != nil {
		return err
	}
	op := kvs.Op{Verb: kvs.Delete, Key: kvs.MembersPrefix(group) + member}
	if err := c.need(acl.ResourceKey, acl.AccessDelete, op.Key); err != nil {
		return err
	}
	made := madeForMember(c.s.node.Store().View(), op.Key)
	res, err := c.propose(&fsm.Command{Write: &op, Ties: fsm.Ties{Owner: c.q.get(pSession)}})
	switch {
	case err != nil:
		return err
	case res.Invalid != "":
		return noSuchSession(c.q.get(pSession))
	}
	if res.Applied && made != "" { // made for this member: with it, it ends
		// It is not the client's to have the right to that.
		end := fsm.Command{EndSession: &fsm.EndSession{IDs: []string{made}}, Origin: kvs.Origin{Address: c.address()}}
		c.addAudited(&end)
		if res, err = c.s.node.Propose(c.r.Context(), &end); err != nil {
			return err
		}
		res.Applied = true
	}
	setIndex(c.w.Header(), res.Index)
	c.bool(res.Applied)
	return nil
}

// madeForMember is the session that was made for a member; "" for none. That there is one
// stands in the member's key, which its writer can make say so of any session. So only one
// counts that is called as those are that are made for the member.
func madeForMember(view *fsm.View, key string) string {
	it := view.Item(key)
	if it == nil || !it.Live() || it.Cur.Flags&kvs.OwnSession == 0 || it.Extra == nil {
		return ""
	}
	sessions, _ := view.Sessions()
	if s := sessions.Get(it.Extra.Owner); s == nil || s.Name != kvs.SessionName(key) {
		return ""
	}
	return it.Extra.Owner
}
