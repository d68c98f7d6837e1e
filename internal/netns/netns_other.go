//go:build !linux

package netns

import (
	"errors"
	"net/netip"
)

// Net is a set of namespaces, which only Linux has.
type Net struct{}

// New says that there are none here.
func New() (*Net, error) { return nil, errors.New("only Linux has network namespaces") }

// Attach is of no use here, like all the others.
func (*Net) Attach(int) error { return nil }

// PeerAddr is of no use here.
func (*Net) PeerAddr(int) netip.Addr { return netip.Addr{} }

// ClientAddr is of no use here.
func (*Net) ClientAddr(int) netip.Addr { return netip.Addr{} }

// Command is of no use here.
func (*Net) Command(int) []string { return nil }

// Isolate is of no use here.
func (*Net) Isolate(int) error { return nil }

// Drop is of no use here.
func (*Net) Drop(int, int) error { return nil }

// Heal is of no use here.
func (*Net) Heal() error { return nil }

// Close is of no use here.
func (*Net) Close() error { return nil }
