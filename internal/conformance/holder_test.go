package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// The environment of a process that holds a lock until it is killed: where the server
// is, and the options of what it holds, as JSON; one of the two.
const (
	holderEnv          = "CONFORMANCE_HOLDER_OF"
	holderLockEnv      = "CONFORMANCE_HOLDER_LOCK"
	holderSemaphoreEnv = "CONFORMANCE_HOLDER_SEMAPHORE"
)

// hold is the life of such a process. When it holds it prints a line with the time, in
// Unix nanoseconds, before it began.
func hold(addr string) {
	began := time.Now()
	lost, err := acquireAsTold(addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(began.UnixNano())
	<-lost
	os.Exit(0)
}

func acquireAsTold(addr string) (<-chan struct{}, error) {
	c, err := newClient(addr)
	if err != nil {
		return nil, err
	}
	if text := os.Getenv(holderLockEnv); text != "" {
		var opts api.LockOptions
		if err := json.Unmarshal([]byte(text), &opts); err != nil {
			return nil, err
		}
		l, err := c.LockOpts(&opts)
		if err != nil {
			return nil, err
		}
		return l.Lock(nil)
	}
	var opts api.SemaphoreOptions
	if err := json.Unmarshal([]byte(os.Getenv(holderSemaphoreEnv)), &opts); err != nil {
		return nil, err
	}
	s, err := c.SemaphoreOpts(&opts)
	if err != nil {
		return nil, err
	}
	return s.Acquire(nil)
}

// killedHolder starts a process that acquires what the options say, and kills it when
// it has. The session was made after the time that is returned.
func killedHolder(t *testing.T, s *testcluster.Server, env string, opts any) (before time.Time) {
	t.Helper()
	text, err := json.Marshal(opts)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), holderEnv+"="+s.Addr(), env+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var began int64
	_, err = fmt.Fscanln(out, &began)
	if killed := cmd.Process.Kill(); err != nil || killed != nil {
		t.Fatalf("the holder did not come to hold: %v, %v", err, killed)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the holder ended in good order, but it was to be killed")
	}
	return time.Unix(0, began)
}
