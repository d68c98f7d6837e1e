package cmd

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-kv/holdfast/api"
)

func TestColour(t *testing.T) {
	for _, tc := range []struct {
		rule string
		env  map[string]string
		want bool
	}{
		{"a pipe has none", nil, false},
		{"unless it is forced", map[string]string{"CLICOLOR_FORCE": "1"}, true},
		{"0 forces nothing", map[string]string{"CLICOLOR_FORCE": "0"}, false},
		{"NO_COLOR is stronger", map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, false},
		{"an empty NO_COLOR says nothing", map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": ""}, true},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			st := styleFor(&bytes.Buffer{}, func(name string) string { return tc.env[name] })
			if st.color != tc.want {
				t.Errorf("colour = %v, want %v", st.color, tc.want)
			}
			if got := st.bad("x"); strings.Contains(got, "\x1b") != tc.want {
				t.Errorf("bad = %q", got)
			}
		})
	}
}

func TestShowError(t *testing.T) {
	for _, tc := range []struct {
		rule string
		err  error
		want string
	}{
		{"an error alone", errors.New("x"), "Error: x\n"},
		{"a text for scripts is first and whole", &plainError{text: "Error! y", err: api.ErrNotFound}, "Error! y\n"},
		{"the command line", usagef("no"), "Error: no\n  Try: holdfast kv get -h\n"},
		{"a hint", &hintError{err: errors.New("x"), why: "w", try: "t"}, "Error: x\n  Why: w\n  Try: t\n"},
		{
			"a broken connection", &api.ConnectionError{Address: "http://h", Sent: true, Write: true, Err: errors.New("EOF")},
			"Error: no answer from http://h, the outcome is unknown: EOF\n" +
				"  Why: the connection broke before the answer came\n  Try: read the state back before you write again\n",
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var b bytes.Buffer
			showError(&b, tc.err, "holdfast kv get", style{})
			if b.String() != tc.want {
				t.Errorf("shown\n%swant\n%s", b.String(), tc.want)
			}
		})
	}
}
