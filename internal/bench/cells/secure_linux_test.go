package cells

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWhoIsAnsweredEarlyWasNotParked: an answer that tells of no change breaks the cell.
func TestWhoIsAnsweredEarlyWasNotParked(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
	}))
	defer srv.Close()
	for _, tc := range []struct {
		rule  string
		after uint64
		want  string // in the error; "" is none
	}{
		{"a later index is a change", 6, ""},
		{"the same is none", 7, "although nothing had changed after 7"},
	} {
		c, err := gatherSecurely(t.Context(), strings.TrimPrefix(srv.URL, "https://"), vigil{n: 3, key: "a", index: tc.after})
		if err == nil {
			err = c.served(tc.after)
		}
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: error %v, want %q", tc.rule, err, tc.want)
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
}
