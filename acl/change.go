package acl

import (
	"fmt"
	"io"
	"time"
)

// Change is one change of the tables, as a command carries it. Exactly one field is
// set. What is random or of the clock (ids, secrets, times) is in it already; what
// depends on the state (whether a name is taken, an id exists) is found out where it is
// applied, and refused there with the wire's text.
type Change struct {
	Init         *Init
	Bootstrap    *Bootstrap
	SetToken     *SetToken
	DeleteTokens *DeleteTokens
	Rotate       *Rotate
	SetPolicy    *Policy // replaces the one with its id; CreateIndex 0 in the row: must not exist, else must
	DeletePolicy string  // id
	SetRole      *Role   // as SetPolicy
	DeleteRole   string
	SetMethod    *AuthMethod // creates or replaces
	DeleteMethod string      // its rules and tokens go with it
	SetBinding   *BindingRule
	DelBinding   string
	Convert      *Convert
}

// Init makes the tables ready: the key, the policies that every cluster has, the
// anonymous token, and the initial management token when there is one. Doing it again
// adds what is missing and changes nothing else.
type Init struct {
	Key        []byte // used unless the state has one
	Anonymous  *Token // used unless there is one
	Management *Token // nil: none is configured
}

// Bootstrap makes the first management token.
type Bootstrap struct {
	Token *Token
	// Reset is the index from the reset file; 0: none.
	Reset uint64
}

// SetToken creates or replaces a token.
type SetToken struct {
	Token  *Token
	Create bool
	Login  bool // by an auth method

	AccessorHash string // keyed hash of an accessor that the client chose; else ""
}

// DeleteTokens deletes tokens; unknown ones are passed over.
type DeleteTokens struct {
	Accessors []string
	// Expired deletes only those that have expired at that time.
	Expired time.Time
}

// Rotate gives a token a new secret.
type Rotate struct {
	Accessor     string
	Hash, Secret string // Secret is "" when only the hash is kept
	FormerUntil  time.Time
}

// Convert changes how secrets are kept.
type Convert struct {
	// Hashed drops every secret and keeps the hashes.
	Hashed bool
}

// Format prints the accessor alone, as that of a [Token] does.
func (r Rotate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "rotate "+r.Accessor) }
