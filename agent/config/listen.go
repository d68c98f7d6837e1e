package config

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// Listener is one place to listen on, as net.Listen wants it.
type Listener struct {
	Network string // "tcp" or "unix"
	Address string // "127.0.0.1:8500", "[::1]:8500" or the path of the socket
}

// HTTPListeners returns where plain HTTP is served; none when ports.http is -1.
// A unix socket does not depend on the port's number, only on it being on.
func (c *Config) HTTPListeners() []Listener {
	return c.listeners(c.Addresses.HTTP, c.Ports.HTTP)
}

// HTTPSListeners returns where HTTPS is served; none when ports.https is -1. A unix
// socket of client_addr is not among them: it can serve one thing only, and that is
// plain HTTP.
func (c *Config) HTTPSListeners() []Listener {
	addrs := c.Addresses.HTTPS
	if len(addrs) == 0 {
		addrs = slices.DeleteFunc(slices.Clone(c.ClientAddrs), func(a string) bool { return strings.HasPrefix(a, unixScheme) })
	}
	if len(addrs) == 0 {
		return nil
	}
	return c.listeners(addrs, c.Ports.HTTPS)
}

// ServerListener returns where the server port listens.
func (c *Config) ServerListener() Listener {
	return Listener{Network: "tcp", Address: net.JoinHostPort(c.BindAddr, strconv.Itoa(c.Ports.Server))}
}

// listeners pairs addrs, or the client addresses if there are none, with port.
func (c *Config) listeners(addrs []string, port int) []Listener {
	if port < 0 {
		return nil
	}
	if len(addrs) == 0 {
		addrs = c.ClientAddrs
	}
	out := make([]Listener, 0, len(addrs))
	for _, a := range addrs {
		if path, ok := strings.CutPrefix(a, unixScheme); ok {
			out = append(out, Listener{Network: "unix", Address: path})
			continue
		}
		out = append(out, Listener{Network: "tcp", Address: net.JoinHostPort(a, strconv.Itoa(port))})
	}
	return out
}

// unixScheme marks the address of a unix socket, as Consul writes it.
const unixScheme = "unix://"
