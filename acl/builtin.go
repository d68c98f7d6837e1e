package acl

import (
	"slices"
	"strings"
)

// Names and descriptions of the policies that every cluster has.
//
// Source: contract, ACL rules, section 8.
const (
	ManagementName        = "global-management"
	ManagementDescription = "A policy that grants unlimited access"
	ReadOnlyName          = "builtin/global-read-only"
	ReadOnlyDescription   = "A policy that grants unlimited read-only access to all components"
)

// Rules of the policies that every cluster has: every resource, every name.
var (
	ManagementRules = everything(LevelWrite)
	ReadOnlyRules   = everything(LevelRead)
)

// everything is the text of a policy that gives a level on all there is.
func everything(level Level) string {
	var b strings.Builder
	names := kindNames
	slices.Sort(names[:])
	for _, name := range names {
		k := words[name].kind
		switch {
		case k >= labelledKinds:
			b.WriteString(name + ` = "` + level.String() + "\"\n")
		case k == kindService:
			b.WriteString(name + "_prefix \"\" {\n  policy = \"" + level.String() + "\"\n  intentions = \"" + level.String() + "\"\n}\n")
		default:
			b.WriteString(name + "_prefix \"\" {\n  policy = \"" + level.String() + "\"\n}\n")
		}
	}
	return b.String()
}
