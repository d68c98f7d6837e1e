//go:build unix

package testcluster

import (
	"fmt"
	"net"
	"sync"
	"testing"
)

// Ports come from below the range that systems take for outgoing connections (Linux
// begins at 32768), so that a server which is stopped for a while finds its port
// free when it starts again. They are handed out in blocks: a test process owns a
// block as long as it listens on the block's first port, which is how two test
// processes keep out of each other's way without knowing of each other.
const (
	firstPort = 14000
	lastPort  = 31999
	blockSize = 60
)

var ports struct {
	mu    sync.Mutex
	owned []net.Listener // one per block, open until the process ends; guarded by mu
	next  int            // the port to look at next; guarded by mu
	end   int            // one past the last port of the current block; guarded by mu
}

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on and that no other
// test, in this process or another, will be given.
func FreePort(tb testing.TB) int {
	tb.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for {
		if ports.next == ports.end {
			if err := takeBlockLocked(); err != nil {
				tb.Fatal(err)
			}
		}
		port := ports.next
		ports.next++
		if l, err := listen(port); err == nil {
			_ = l.Close() // it was only a question
			return port
		}
	}
}

func takeBlockLocked() error {
	for first := firstPort; first+blockSize-1 <= lastPort; first += blockSize {
		l, err := listen(first)
		if err != nil {
			continue
		}
		ports.owned = append(ports.owned, l)
		ports.next, ports.end = first+1, first+blockSize
		return nil
	}
	return fmt.Errorf("no block of %d free ports between %d and %d", blockSize, firstPort, lastPort)
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}
