package target

import (
	"context"
	"time"

	"github.com/holdfast-kv/holdfast/internal/bench/procfs"
	"github.com/holdfast-kv/holdfast/internal/bench/rawhttp"
)

// Target is a running server as the cells see it.
type Target struct {
	Addr string // "host:port"
	PID  int    // 0 if it is not known; then nothing can be said of CPU and memory
}

// CPU reads the CPU time the server has used; nil if its process is not known.
func (t Target) CPU() func() (time.Duration, error) {
	if t.PID == 0 {
		return nil
	}
	return func() (time.Duration, error) { return procfs.CPU(t.PID) }
}

// CPUOfAll reads the CPU time that all of them have used together; nil if the process of
// any is not known.
func CPUOfAll(all []Target) func() (time.Duration, error) {
	for _, t := range all {
		if t.PID == 0 {
			return nil
		}
	}
	return func() (time.Duration, error) {
		var sum time.Duration
		for _, t := range all {
			used, err := procfs.CPU(t.PID)
			if err != nil {
				return 0, err
			}
			sum += used
		}
		return sum, nil
	}
}

// Do sends one request on a connection of its own.
func (t Target) Do(ctx context.Context, method, path string, body []byte) (rawhttp.Response, error) {
	c, err := rawhttp.Dial(ctx, t.Addr)
	if err != nil {
		return rawhttp.Response{}, err
	}
	defer c.Close()
	return c.Do(ctx, method, path, body)
}
