package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-kv/holdfast/acl"
)

// mostQuestions is how many questions one request may ask.
//
// Source: contract, ACL API, section 7.
const mostQuestions = 64

// aclQuestion asks whether somebody may do something.
type aclQuestion struct {
	Resource string
	Segment  string `json:",omitempty"`
	Access   string
}

// parse reads the words of the question.
func (q *aclQuestion) parse() (r acl.Resource, a acl.Access, err error) {
	if r, err = acl.ParseResource(q.Resource); err != nil {
		return 0, 0, badRequest(err.Error())
	}
	if a, err = acl.ParseAccess(r, q.Access); err != nil {
		return 0, 0, badRequest(err.Error())
	}
	return r, a, nil
}

// aclAnswer is a question with its answer.
type aclAnswer struct {
	aclQuestion
	Allow bool
}

// aclAuthorize answers POST /v1/internal/acl/authorize: what the token of the request
// may do. It needs no right.
func (c *call) aclAuthorize() error {
	body, err := c.body(aclBytes, "body of an ACL request")
	if err != nil {
		return err
	}
	var asked []aclQuestion
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&asked); err != nil {
		return badRequest("Failed to decode request body: " + err.Error())
	}
	if len(asked) > mostQuestions {
		return badRequest(fmt.Sprintf("Refusing to process more than %d authorizations at once", mostQuestions))
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if err := c.freshRights(); err != nil {
		return err
	}
	who, err := c.identity()
	if err != nil {
		return err
	}
	answers := []aclAnswer{}
	for _, q := range asked {
		r, a, err := q.parse()
		if err != nil {
			return err
		}
		answers = append(answers, aclAnswer{q, who.Auth.Allow(r, a, q.Segment)})
	}
	return c.encode(answers)
}

// explainAsked is a question about oneself or, with Accessor or Token, about somebody
// else.
type explainAsked struct {
	aclQuestion
	Accessor string `json:",omitempty"`
	Token    string `json:",omitempty"` // never shown again
}

// explainShown is the answer to a question with its reason.
//
// Source: contract, ACL, section 6.2.
type explainShown struct {
	aclAnswer
	AccessorID string
	DecidedBy  string // rule or default_policy
	Rule       *whyShown
	Lost       []lostShown `json:",omitempty"`
}

type whyShown struct {
	Resource string
	Match    string `json:",omitempty"`
	Label    string
	Level    string
	Line     int `json:",omitempty"`
	Policy   linkShown
	Via      []string
}

type lostShown struct {
	whyShown
	Why string
}

func showRule(r acl.ExplainRule) whyShown {
	return whyShown{
		Resource: r.Resource, Match: r.Match, Label: r.Label, Level: r.Level, Line: r.Line,
		Policy: linkShown{r.PolicyID, r.Policy}, Via: r.Via,
	}
}

func showExplanation(e acl.Explanation) (shown explainShown) {
	shown.Allow, shown.DecidedBy = e.Allow, e.DecidedBy
	if e.Rule != nil {
		rule := showRule(*e.Rule)
		shown.Rule = &rule
	}
	for _, l := range e.Lost {
		shown.Lost = append(shown.Lost, lostShown{showRule(l.ExplainRule), l.Why})
	}
	return shown
}

// aclExplain answers POST /v1/acl/explain: one question, or a list of them, each
// answered with the rule that decides. Whoever asks about another token needs acl:read,
// or that token's secret.
func (c *call) aclExplain() error {
	body, err := c.body(aclBytes, "body of an ACL request")
	if err != nil {
		return err
	}
	var asked []explainAsked
	body = bytes.TrimSpace(body)
	single := !bytes.HasPrefix(body, []byte("["))
	if single {
		body = slices.Concat([]byte("["), body, []byte("]"))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&asked); err != nil {
		return badRequest("Failed to decode request body: " + err.Error())
	}
	switch {
	case len(asked) > mostQuestions:
		return badRequest(fmt.Sprintf("Refusing to process more than %d authorizations at once", mostQuestions))
	case single && len(asked) != 1:
		return badRequest("Failed to decode request body: there is no question")
	}
	if err := c.checkDatacenter(); err != nil {
		return err
	}
	if err := c.freshRights(); err != nil {
		return err
	}
	answers := []explainShown{}
	for _, q := range asked {
		r, a, err := q.parse()
		if err != nil {
			return err
		}
		about, err := c.about(&q)
		if err != nil {
			return err
		}
		shown := showExplanation(about.Auth.Explain(r, a, q.Segment))
		shown.aclQuestion, shown.AccessorID = q.aclQuestion, about.Accessor
		answers = append(answers, shown)
	}
	if single {
		return c.encode(answers[0])
	}
	return c.encode(answers)
}

// about finds whom a question is about.
func (c *call) about(q *explainAsked) (*acl.Identity, error) {
	who, err := c.identity()
	switch {
	case err != nil:
		return nil, err
	case q.Token != "" && q.Accessor != "":
		return nil, badRequest("Give Token or Accessor, not both")
	case q.Token != "":
		about, err := c.s.opts.ACL.Resolve(q.Token)
		if err != nil {
			c.forget() // it counts as a guess, like an unknown token in its usual place
		}
		return about, err
	case q.Accessor == "" || strings.EqualFold(q.Accessor, who.Accessor):
		return who, nil
	}
	if err := c.need(acl.ResourceACL, acl.AccessRead, ""); err != nil {
		return nil, err
	}
	about, err := c.s.opts.ACL.ResolveAccessor(strings.ToLower(q.Accessor))
	if err != nil {
		return nil, errTokenGone
	}
	return about, nil
}

// mostHolders is how many tokens and how many roles one answer lists.
const mostHolders = 1000

// whoShown are those who may do something.
type whoShown struct {
	aclQuestion
	Tokens    []holderShown
	Roles     []holderShown
	Truncated bool // there are more
}

// holderShown is a token or a role with the rule that gives the right.
type holderShown struct {
	AccessorID     string     `json:",omitempty"` // of a token
	ID             string     `json:",omitempty"` // of a role
	Name           string     `json:",omitempty"` // of a role
	Description    string     `json:",omitempty"`
	AuthMethod     string     `json:",omitempty"`
	ExpirationTime *time.Time `json:",omitempty"`
	DecidedBy      string
	Rule           *whyShown
}

// whoCan answers GET and POST /v1/acl/who-can: the tokens and the roles that have a
// right. It looks at all of them, so one such request runs at a time.
func (c *call) whoCan() error {
	q := aclQuestion{Resource: c.q.get(pResource), Access: c.q.get(pAccess), Segment: c.q.get(pName)}
	if c.r.Method == "POST" {
		if err := c.decodeACL(&q, "Failed to decode request body: "); err != nil {
			return err
		}
	}
	r, a, err := q.parse()
	if err != nil {
		return err
	}
	if err := c.mayAsk(acl.AccessRead); err != nil {
		return err
	}
	if !c.s.whoCan.TryLock() {
		return tooMany(causeWhoCan, "Another request for who has a right is under way on this server, try again")
	}
	defer c.s.whoCan.Unlock()
	shown := whoShown{aclQuestion: q, Tokens: []holderShown{}, Roles: []holderShown{}}
	if err := c.held(func(ctx context.Context) error { return c.findHolders(ctx, r, a, &shown) }); err != nil {
		return err
	}
	return c.encode(shown)
}

// findHolders looks at all tokens and roles, for whoever has a right. The error is
// errClientGone when ctx ends before.
func (c *call) findHolders(ctx context.Context, r acl.Resource, a acl.Access, shown *whoShown) error {
	v, now := c.s.node.Store().View().ACL(), c.s.opts.ACL.Now()
	v.Tokens(func(t *acl.Token) bool {
		if t.ExpiredAt(now) || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		id, err := c.s.opts.ACL.ResolveAccessor(t.Accessor)
		if err != nil || !id.Auth.Allow(r, a, shown.Segment) { // gone since
			return true
		}
		if shown.Truncated = len(shown.Tokens) == mostHolders; shown.Truncated {
			return false
		}
		h := holder(id.Auth.Explain(r, a, shown.Segment))
		h.AccessorID, h.Description, h.AuthMethod = t.Accessor, t.Description, t.Method
		if !t.Expires.IsZero() {
			expires := t.Expires.UTC()
			h.ExpirationTime = &expires
		}
		shown.Tokens = append(shown.Tokens, h)
		return true
	})
	v.Roles(func(role *acl.Role) bool {
		if ctx.Err() != nil {
			return false
		}
		id, err := c.s.opts.ACL.ResolveLinks("role:"+role.Name, acl.Links{Roles: []string{role.ID}}, nil, time.Time{})
		if err != nil || !id.Auth.Allow(r, a, shown.Segment) {
			return true
		}
		if len(shown.Roles) == mostHolders {
			shown.Truncated = true
			return false
		}
		h := holder(id.Auth.Explain(r, a, shown.Segment))
		h.ID, h.Name, h.Description = role.ID, role.Name, role.Description
		shown.Roles = append(shown.Roles, h)
		return true
	})
	if ctx.Err() != nil {
		return errClientGone
	}
	return nil
}

func holder(e acl.Explanation) holderShown {
	shown := showExplanation(e)
	return holderShown{DecidedBy: shown.DecidedBy, Rule: shown.Rule}
}
