package httpapi

import (
	"fmt"
	"net/http"

	"github.com/holdfast-kv/holdfast/acl"
)

// templateShown is a template as answers show it.
//
// Source: contract, ACL API, section 5.
type templateShown struct {
	TemplateName string
	Schema       string
	Template     string
	Description  string
}

func showTemplate(t acl.Template) templateShown {
	return templateShown{t.Name, t.Schema, t.Text, t.Description}
}

// templateList answers GET /v1/acl/templated-policies.
func (c *call) templateList() error {
	if err := c.mayAsk(acl.AccessRead); err != nil {
		return err
	}
	shown := map[string]templateShown{}
	for _, t := range acl.Templates() {
		shown[t.Name] = showTemplate(t)
	}
	return c.encode(shown)
}

// templateRead answers GET /v1/acl/templated-policy/name/<name>.
func (c *call) templateRead() error {
	if c.arg == "" {
		return badRequest("Missing templated policy Name")
	}
	if err := c.mayAsk(acl.AccessRead); err != nil {
		return err
	}
	t, known := acl.TemplateByName(c.arg)
	if !known {
		return badRequest("Invalid templated policy Name: " + c.arg)
	}
	return c.encode(showTemplate(t))
}

// templatePreview answers POST /v1/acl/templated-policy/preview/<name>: the policy that
// a link to the template stands for.
func (c *call) templatePreview() error {
	if c.arg == "" {
		return badRequest("Missing templated policy Name")
	}
	var asked templateVariables
	if c.r.ContentLength != 0 {
		if err := c.decodeACL(&asked, "Failed to decode request body: "); err != nil {
			return err
		}
	}
	if err := c.mayAsk(acl.AccessRead); err != nil {
		return err
	}
	t, known := acl.TemplateByName(c.arg)
	if !known {
		return badRequest(fmt.Sprintf("templated policy %q does not exist", c.arg))
	}
	p, err := t.Policy(asked.Name, nil)
	if err != nil {
		return &statusError{http.StatusBadRequest, err.Error()}
	}
	return c.encode(showPolicy(p))
}
