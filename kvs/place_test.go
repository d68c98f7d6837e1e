package kvs

import "testing"

// TestSessionName: a session that is made for a recipe is called after it, and no two
// recipes, nor anything else, have the same name for theirs.
func TestSessionName(t *testing.T) {
	for key, want := range map[string]string{
		LockPrefix + "jobs/nightly":     "lock jobs/nightly",
		ElectionPrefix + "jobs/nightly": "election jobs/nightly",
		MembersPrefix("web") + "7":      "member web/7",
		MembersPrefix("web/eu") + "7":   "member web/eu/7",
		GroupPrefix + "web":             "",
		memberDir + "7":                 "",
		"web" + memberDir + "7":         "",
		"app/motd":                      "",
		"":                              "",
	} {
		if got := SessionName(key); got != want {
			t.Errorf("for %q a session is called %q, want %q", key, got, want)
		}
	}
}
