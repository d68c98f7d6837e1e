package target

import (
	"errors"
	"fmt"
	"net"
)

// freePorts finds n TCP ports of 127.0.0.1 that nobody listens on. All are held
// until the last is found, so they differ.
func freePorts(n int) ([]int, error) {
	var ports []int
	var held []net.Listener
	var err error
	for range n {
		l, errListen := net.Listen("tcp", "127.0.0.1:0")
		if errListen != nil {
			err = fmt.Errorf("free port: %w", errListen)
			break
		}
		held = append(held, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	for _, l := range held {
		err = errors.Join(err, l.Close())
	}
	return ports, err
}
