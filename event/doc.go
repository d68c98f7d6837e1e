// Package event holds the user events: short messages that clients fire and list.
//
// It owns their table, a ring of the newest [Kept]. Who may see an event is decided
// when it is listed, by the filters it was fired with.
package event
