package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-uuid"

	"github.com/holdfast-kv/holdfast/acl"
	"github.com/holdfast-kv/holdfast/acl/login"
)

// methodListed is an auth method in the list.
//
// Source: contract, ACL API, section 6.1.
type methodListed struct {
	Name          string
	Type          string
	DisplayName   string `json:",omitempty"`
	Description   string `json:",omitempty"`
	MaxTokenTTL   string `json:",omitempty"`
	TokenLocality string `json:",omitempty"`
	CreateIndex   uint64
	ModifyIndex   uint64
}

// methodShown is an auth method as other answers show it.
type methodShown struct {
	Name          string
	Type          string
	DisplayName   string `json:",omitempty"`
	Description   string `json:",omitempty"`
	MaxTokenTTL   string `json:",omitempty"`
	TokenLocality string `json:",omitempty"`
	Config        json.RawMessage
	CreateIndex   uint64
	ModifyIndex   uint64
}

func listMethod(m *acl.AuthMethod) methodListed {
	listed := methodListed{
		Name: m.Name, Type: m.Type, DisplayName: m.DisplayName, Description: m.Description,
		TokenLocality: m.Locality, CreateIndex: m.CreateIndex, ModifyIndex: m.ModifyIndex,
	}
	if m.MaxTokenTTL > 0 {
		listed.MaxTokenTTL = m.MaxTokenTTL.String()
	}
	return listed
}

func showMethod(m *acl.AuthMethod) methodShown {
	l := listMethod(m)
	return methodShown{
		l.Name, l.Type, l.DisplayName, l.Description, l.MaxTokenTTL, l.TokenLocality, json.RawMessage(m.Config), l.CreateIndex, l.ModifyIndex,
	}
}

// methodAsked is the body of a request that makes or replaces an auth method.
type methodAsked struct {
	Name, Type, DisplayName, Description, TokenLocality string
	MaxTokenTTL                                         wireDuration
	Config                                              json.RawMessage

	// Ignored: clients send back what they have read.
	CreateIndex, ModifyIndex uint64
}

const (
	methodFailed  = "AuthMethod decoding failed: "
	invalidMethod = "Invalid Auth Method: "
	methodName    = 128 // longest
	leastTokenTTL = time.Minute
)

var errNoMethodName = badRequest("Missing auth method Name")

// methodCreate answers PUT /v1/acl/auth-method.
func (c *call) methodCreate() error { return c.putMethod("") }

// methodPut answers PUT /v1/acl/auth-method/<name>.
func (c *call) methodPut() error { return c.putMethod(c.arg) }

func (c *call) putMethod(name string) error {
	var asked methodAsked
	if err := c.decodeACL(&asked, methodFailed); err != nil {
		return err
	}
	if name != "" && asked.Name != "" && asked.Name != name {
		return badRequest("AuthMethod Name in URL and payload do not match")
	}
	if name != "" {
		asked.Name = name
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	next, err := methodRow(v, &asked)
	if err != nil {
		return err
	}
	index, err := c.changeACL(&acl.Change{SetMethod: next})
	if err != nil {
		return err
	}
	shown := *next
	shown.ModifyIndex = index
	if shown.CreateIndex == 0 {
		shown.CreateIndex = index
	}
	return c.encode(showMethod(&shown))
}

// methodRow checks what is asked for and makes the row of the table.
func methodRow(v acl.View, asked *methodAsked) (*acl.AuthMethod, error) {
	next := &acl.AuthMethod{
		Name: asked.Name, Type: asked.Type, DisplayName: asked.DisplayName, Description: asked.Description,
		MaxTokenTTL: time.Duration(asked.MaxTokenTTL), Locality: asked.TokenLocality,
	}
	switch {
	case next.Name == "":
		return nil, serverError(invalidMethod + "no Name is set")
	case len(next.Name) > methodName:
		return nil, serverError(fmt.Sprintf("%sinvalid Name. Length must be greater than 0 and less than or equal to %d", invalidMethod, methodName))
	case !roleWord.MatchString(next.Name):
		return nil, serverError(invalidMethod + "invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
	}
	if old := v.Method(next.Name); old != nil {
		if next.Type != "" && next.Type != old.Type {
			return nil, serverError("the Type field of an Auth Method is immutable")
		}
		next.Type, next.CreateIndex = old.Type, old.CreateIndex
	}
	switch next.Locality {
	case "", "local", "global":
	default:
		return nil, serverError(invalidMethod + "TokenLocality should be one of 'local' or 'global'")
	}
	if next.MaxTokenTTL != 0 && next.MaxTokenTTL < leastTokenTTL {
		return nil, serverError(fmt.Sprintf("MaxTokenTTL %s cannot be less than %s", next.MaxTokenTTL, leastTokenTTL))
	}
	var err error
	if next.Config, err = login.Normalize(next.Type, asked.Config); err != nil {
		return nil, serverError(invalidMethod + err.Error())
	}
	return next, nil
}

// methodRead answers GET /v1/acl/auth-method/<name>.
func (c *call) methodRead() error {
	if c.arg == "" {
		return errNoMethodName
	}
	return c.readTables(methodsIndex, func(v acl.View) (any, error) {
		m := v.Method(c.arg)
		if m == nil {
			return nil, notThere("auth method")
		}
		return showMethod(m), nil
	})
}

// methodDelete answers DELETE /v1/acl/auth-method/<name>. Its rules and its tokens go
// with it.
func (c *call) methodDelete() error {
	if c.arg == "" {
		return errNoMethodName
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	m := v.Method(c.arg)
	if m == nil {
		return noneToDelete("auth method")
	}
	if _, err := c.changeACL(&acl.Change{DeleteMethod: m.Name}); err != nil {
		return err
	}
	c.bool(true)
	return nil
}

// methodList answers GET /v1/acl/auth-methods.
func (c *call) methodList() error {
	return c.readTables(methodsIndex, func(v acl.View) (any, error) {
		shown := []methodListed{}
		v.Methods(func(m *acl.AuthMethod) bool {
			shown = append(shown, listMethod(m))
			return true
		})
		return shown, nil
	})
}

// bindingShown is a binding rule as answers show it.
//
// Source: contract, ACL API, section 6.2.
type bindingShown struct {
	ID          string
	Description string
	AuthMethod  string
	Selector    string
	BindType    string
	BindName    string
	BindVars    *bindVars `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

type bindVars struct {
	Name string `json:",omitempty"`
}

func showBinding(r *acl.BindingRule) bindingShown {
	shown := bindingShown{
		ID: r.ID, Description: r.Description, AuthMethod: r.Method, Selector: r.Selector,
		BindType: r.BindType, BindName: r.BindName, CreateIndex: r.CreateIndex, ModifyIndex: r.ModifyIndex,
	}
	if name := r.BindVars["name"]; name != "" {
		shown.BindVars = &bindVars{name}
	}
	return shown
}

const (
	bindingFailed  = "BindingRule decoding failed: "
	invalidBinding = "Invalid Binding Rule: "
)

var errNoBindingID = badRequest("Missing binding rule ID")

// bindingCreate answers PUT /v1/acl/binding-rule.
func (c *call) bindingCreate() error { return c.putBinding("") }

// bindingPut answers PUT /v1/acl/binding-rule/<id>.
func (c *call) bindingPut() error { return c.putBinding(strings.ToLower(c.arg)) }

func (c *call) putBinding(id string) error {
	var asked bindingShown
	if err := c.decodeACL(&asked, bindingFailed); err != nil {
		return err
	}
	switch {
	case id == "" && asked.ID != "":
		return badRequest("Cannot specify the ID when creating a new binding rule")
	case asked.ID != "" && !strings.EqualFold(asked.ID, id):
		return badRequest("BindingRule ID in URL and payload do not match")
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	next, err := bindingRow(v, id, &asked)
	if err != nil {
		return err
	}
	index, err := c.changeACL(&acl.Change{SetBinding: next})
	if err != nil {
		return err
	}
	shown := *next
	shown.ModifyIndex = index
	if shown.CreateIndex == 0 {
		shown.CreateIndex = index
	}
	return c.encode(showBinding(&shown))
}

// bindingRow checks what is asked for and makes the row of the table.
func bindingRow(v acl.View, id string, asked *bindingShown) (*acl.BindingRule, error) {
	next := &acl.BindingRule{
		ID: id, Description: asked.Description, Method: asked.AuthMethod, Selector: asked.Selector,
		BindType: asked.BindType, BindName: asked.BindName,
	}
	if asked.BindVars != nil && asked.BindVars.Name != "" {
		next.BindVars = map[string]string{"name": asked.BindVars.Name}
	}
	if id != "" {
		if !isUUID(id) {
			return nil, serverError("Binding Rule ID invalid UUID")
		}
		old := v.Binding(id)
		if old == nil {
			return nil, serverError("cannot find binding rule " + id)
		}
		if next.Method != "" && next.Method != old.Method {
			return nil, serverError("the AuthMethod field of an Binding Rule is immutable")
		}
		next.Method, next.CreateIndex = old.Method, old.CreateIndex
	}
	if next.Method == "" {
		return nil, serverError(invalidBinding + "no AuthMethod is set")
	}
	method := v.Method(next.Method)
	if method == nil {
		return nil, serverError(fmt.Sprintf("cannot find auth method with name %q", next.Method))
	}
	if err := login.CheckRule(next, method); err != nil {
		return nil, serverError(invalidBinding + err.Error())
	}
	if id == "" {
		var err error
		if next.ID, err = uuid.GenerateUUID(); err != nil {
			return nil, fmt.Errorf("make the id of a binding rule: %w", err)
		}
	}
	return next, nil
}

// bindingRead answers GET /v1/acl/binding-rule/<id>.
func (c *call) bindingRead() error {
	if c.arg == "" {
		return errNoBindingID
	}
	return c.readTables(bindingsIndex, func(v acl.View) (any, error) {
		r := v.Binding(strings.ToLower(c.arg))
		if r == nil {
			return nil, notThere("binding rule")
		}
		return showBinding(r), nil
	})
}

// bindingDelete answers DELETE /v1/acl/binding-rule/<id>.
func (c *call) bindingDelete() error {
	if c.arg == "" {
		return errNoBindingID
	}
	v, err := c.mayChange()
	if err != nil {
		return err
	}
	r := v.Binding(strings.ToLower(c.arg))
	if r == nil {
		return noneToDelete("binding rule")
	}
	if _, err := c.changeACL(&acl.Change{DelBinding: r.ID}); err != nil {
		return err
	}
	c.bool(true)
	return nil
}

// bindingList answers GET /v1/acl/binding-rules.
func (c *call) bindingList() error {
	method := c.q.get(pAuthMethod)
	return c.readTables(bindingsIndex, func(v acl.View) (any, error) {
		shown := []bindingShown{}
		v.Bindings(method, func(r *acl.BindingRule) bool {
			shown = append(shown, showBinding(r))
			return true
		})
		return shown, nil
	})
}
