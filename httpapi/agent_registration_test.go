package httpapi

import (
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/catalog"
)

// FuzzLocalService: whatever is sent as a service with checks is refused with a 4xx,
// or becomes rows that the catalog takes.
func FuzzLocalService(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"Name":"web","Check":{"TTL":"30s"}}`, `{"name":"a","checks":[{"ttl":1},{"check_id":"","TTL":"1s"}]}`,
		`{"Name":"a","TaggedAddresses":{"lan":{"Address":"::1","Port":-1}},"Weights":{"Passing":1}}`, `{"Name":"\u0000"}`,
		`{"Name":"a","_":1,"enable__tag_override":true,"EnableTagOverride":false}`, `{"Name":"a","Check":{"DeregisterCriticalServiceAfter":"-1h","TTL":"1s"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var body localServiceBody
		if strictJSON(text, &body) != nil {
			return
		}
		s, err := body.service()
		if err != nil {
			checkRefusal(t, err)
			return
		}
		checks, err := body.checks(s, func(string) *catalog.Check { return nil })
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if s.ID == "" || s.Name == "" || s.ID == SelfService || s.PassingWeight < 1 {
			t.Errorf("%s becomes service %+v", text, s)
		}
		for i := range checks {
			c := &checks[i]
			if c.ID == "" || c.Name == "" || c.ID == SelfCheck || c.ServiceID != s.ID || c.TTL <= 0 || !catalog.ValidStatus(c.Status) {
				t.Errorf("%s becomes check %+v", text, c)
			}
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	if status := statusOf(err); status < 400 || status >= 500 || strings.TrimSpace(err.Error()) == "" {
		t.Errorf("refused with %d %q", status, err)
	}
}
