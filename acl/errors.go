package acl

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of resolution. Their texts are the wire's.
var (
	ErrNotFound = errors.New("ACL not found") // no such token, or it has expired

	ErrNotBootstrapped = errors.New("ACL system must be bootstrapped before making any requests that require authorization: ACL not found")

	//lint:ignore ST1005 the text is the wire's
	ErrRoot = errors.New("Cannot resolve root ACL") // a reserved word as a token

	ErrDisabled = errors.New("ACL support disabled")
)

// PermissionError says that a right is missing. It answers 403.
type PermissionError struct {
	Accessor string // of the token that lacks it
	Resource Resource
	Access   Access
	Name     string // "" for resources without a label

	// Bare leaves out everything but that the permission is denied, as the wire has
	// it for events and logins.
	Bare bool

	// Separate: a rule speaks of the access itself (delete, history), so that the
	// text names it and not the level that gives it otherwise.
	Separate bool
}

// Permission is what is missing in the words of the wire, such as key:read.
func (e *PermissionError) Permission() string {
	return e.Resource.String() + ":" + e.Access.onWire(e.Separate)
}

// Error is the text of the wire.
//
// Source: contract, ACL enforcement, section 3.
func (e *PermissionError) Error() string {
	if e.Bare {
		return "Permission denied"
	}
	var b strings.Builder
	b.WriteString("Permission denied: ")
	anonymous := e.Accessor == AnonymousAccessor
	if anonymous {
		b.WriteString("anonymous token")
	} else {
		fmt.Fprintf(&b, "token with AccessorID '%s'", e.Accessor)
	}
	fmt.Fprintf(&b, " lacks permission '%s'", e.Permission())
	if e.Name != "" {
		fmt.Fprintf(&b, " on %q", e.Name)
	}
	if anonymous {
		b.WriteString(". The anonymous token is used implicitly when a request does not specify a token.")
	}
	return b.String()
}
