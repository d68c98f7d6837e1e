package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// An ACLQuestion asks whether something may be done.
type ACLQuestion struct {
	Resource string // such as key, session, operator
	Segment  string `json:",omitzero"` // name of the key, node, event; "" for resources without names
	Access   string // read, write; for keys also list and write-prefix
}

// An ACLAnswer is a question with its answer.
type ACLAnswer struct {
	ACLQuestion
	Allow bool
}

// Authorize asks what the token that the client sends may do, at most 64 questions at
// once. It needs no right.
func (a ACL) Authorize(ctx context.Context, questions []ACLQuestion, opts ...CallOption) ([]ACLAnswer, error) {
	if questions == nil {
		questions = []ACLQuestion{}
	}
	var answers []ACLAnswer
	r := newRequest(http.MethodPost, "/v1/internal/acl/authorize").calls(opts)
	if err := a.send(ctx, r, questions, &answers); err != nil {
		return nil, fmt.Errorf("ask for rights: %w", err)
	}
	return answers, nil
}

// An ACLRule is a rule with where it comes from.
type ACLRule struct {
	Resource string   // as it is written, such as key_prefix
	Match    string   `json:",omitzero"` // how Label is compared, such as exact or prefix
	Label    string   // what it is about
	Level    string   // what it grants
	Line     int      `json:",omitzero"` // of the policy's text; 0 when it is not known
	Policy   ACLLink  // that it is written in
	Via      []string // how the policy reaches the token, such as: token, role:ops
}

// An ACLLostRule is a rule that matches too, and does not decide.
type ACLLostRule struct {
	ACLRule
	Why string
}

// An ACLExplanation is the answer to a question with its reason.
type ACLExplanation struct {
	ACLAnswer
	AccessorID string        // whom it is about
	DecidedBy  string        // rule or default_policy
	Rule       *ACLRule      // nil when no rule decides
	Lost       []ACLLostRule `json:",omitempty"`
}

// Explain is Authorize for one question with the reason of the answer. It is about the
// token that the client sends or, for who has acl:read, about the one with that
// accessor id. Only Holdfast servers know it.
func (a ACL) Explain(ctx context.Context, question ACLQuestion, accessor string, opts ...CallOption) (*ACLExplanation, error) {
	asked := struct {
		ACLQuestion
		Accessor string `json:",omitzero"`
	}{question, accessor}
	answer := &ACLExplanation{}
	r := newRequest(http.MethodPost, "/v1/acl/explain").calls(opts)
	if err := a.send(ctx, r, asked, answer); err != nil {
		return nil, fmt.Errorf("explain rights: %w", err)
	}
	return answer, nil
}

// An ACLHolder is a token or a role that has a right, with the rule that gives it.
type ACLHolder struct {
	AccessorID     string     `json:",omitzero"` // of a token
	ID             string     `json:",omitzero"` // of a role
	Name           string     `json:",omitzero"` // of a role
	Description    string     `json:",omitzero"`
	AuthMethod     string     `json:",omitzero"`
	ExpirationTime *time.Time `json:",omitzero"`
	DecidedBy      string
	Rule           *ACLRule
}

// ACLHolders are those who have a right.
type ACLHolders struct {
	ACLQuestion
	Tokens    []ACLHolder
	Roles     []ACLHolder
	Truncated bool // there are more
}

// WhoCan asks for the tokens and the roles that have a right. It needs acl:read. Only
// Holdfast servers know it, and one such question is answered at a time: ErrTooMany
// while there is another.
func (a ACL) WhoCan(ctx context.Context, question ACLQuestion, opts ...CallOption) (*ACLHolders, error) {
	holders := &ACLHolders{}
	r := newRequest(http.MethodPost, "/v1/acl/who-can").calls(opts)
	if err := a.send(ctx, r, question, holders); err != nil {
		return nil, fmt.Errorf("ask who has a right: %w", err)
	}
	return holders, nil
}

// A Denial is a request that was refused for lack of rights, with the reason. It never
// has a secret.
type Denial struct {
	Error     string      // what the client was told
	Accessor  string      `json:",omitzero"` // of the token; "" when the token is unknown
	Resource  string      `json:",omitzero"` // of the right that was missing
	Access    string      `json:",omitzero"` // likewise: read, list, write
	Name      string      `json:",omitzero"` // likewise, such as the key
	DecidedBy string      `json:",omitzero"` // rule or default_policy
	Rule      *DenialRule // nil when no rule decided

	RequestID string     // by which it is found again
	Time      *time.Time `json:",omitzero"` // in a list of denials
	Method    string     `json:",omitzero"` // likewise
	Path      string     `json:",omitzero"` // likewise, without parameters
	Address   string     `json:",omitzero"` // likewise: of the client
}

// A DenialRule is the rule by which something was refused.
type DenialRule struct {
	Resource string // as it is written, such as key_prefix
	Match    string
	Label    string
	Level    string
	PolicyID string   `json:",omitzero"`
	Policy   string   `json:",omitzero"`
	Via      []string `json:",omitempty"`
}

// DenialOf finds the reason in an error that is ErrDenied. It is nil when the server
// gave none, as servers of Consul do.
func DenialOf(err error) *Denial {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Denial
	}
	return nil
}

// A DenialFilter narrows a list of denials. Empty fields do not.
type DenialFilter struct {
	Accessor string // of the token
	Resource string // of the missing right
	Prefix   string // of the name that was asked for
	Limit    int    // how many, at most; 0 = all that the server has
}

// Denials asks one server which requests it refused last, the newest first. It needs
// acl:read. Only Holdfast servers know it.
func (a ACL) Denials(ctx context.Context, filter DenialFilter, opts ...ReadOption) ([]Denial, error) {
	r := newRequest(http.MethodGet, "/v1/acl/denials")
	for _, p := range [][2]string{{"accessor", filter.Accessor}, {"resource", filter.Resource}, {"prefix", filter.Prefix}} {
		if p[1] != "" {
			r.set(p[0], p[1])
		}
	}
	if filter.Limit > 0 {
		r.set("limit", strconv.Itoa(filter.Limit))
	}
	var list []Denial
	if _, err := a.read(ctx, r, &list, opts); err != nil {
		return nil, fmt.Errorf("list denials: %w", err)
	}
	return list, nil
}
