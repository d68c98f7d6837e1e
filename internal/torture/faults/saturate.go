//go:build unix

package faults

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// saturation is how many clients write without a pause, through all servers in turn.
const saturation = 64

// saturate has the servers take as many writes as they can, for the span of a fault.
func (r *run) saturate() {
	ctx, cancel := context.WithTimeout(r.tb.Context(), r.set.span)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: saturation}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	servers := r.cluster.Servers()
	value := bytes.Repeat([]byte("v"), 512)
	var written, failed atomic.Int64
	var clients sync.WaitGroup
	for i := range saturation {
		url := fmt.Sprintf("%s/v1/kv/saturate/%d-", servers[i%len(servers)].URL(), i)
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if put(ctx, client, url+strconv.Itoa(n%100), value) == nil {
					written.Add(1)
				} else if ctx.Err() == nil {
					failed.Add(1)
				}
			}
		})
	}
	clients.Wait()
	r.tb.Logf("%d clients wrote %d times in %s, %.0f a second; %d writes failed", saturation, written.Load(), r.set.span,
		float64(written.Load())/r.set.span.Seconds(), failed.Load())
	if written.Load() == 0 {
		r.tb.Error("nothing was written, so nothing was saturated")
	}
}

func put(ctx context.Context, client *http.Client, url string, value []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(value))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("put answered with status %d", resp.StatusCode)
	}
	return nil
}

// elections are what the servers' metrics say of them.
type elections struct {
	term   uint64 // the highest
	missed uint64 // how often a server has missed its leader, all servers together
}

// elections asks all servers.
func (r *run) elections() elections {
	r.tb.Helper()
	var sum elections
	for _, s := range r.cluster.Servers() {
		ctx, cancel := context.WithTimeout(r.tb.Context(), waking)
		page, err := s.TryDo(ctx, http.MethodGet, "/v1/agent/metrics?format=prometheus", nil)
		cancel()
		r.must(err)
		term, err := series(page.Body, "holdfast_raft_term")
		r.must(err)
		missed, err := series(page.Body, "holdfast_raft_heartbeat_timeout_total")
		r.must(err)
		sum.term = max(sum.term, term)
		sum.missed += missed
	}
	if sum.term == 0 {
		r.tb.Fatal("the metrics of the servers tell no term")
	}
	return sum
}

// series is the value of a series without labels on a page of metrics. One that is not
// there is an error: under a new name it would be 0 for ever, and nobody would notice.
func series(page []byte, name string) (uint64, error) {
	lines := bufio.NewScanner(bytes.NewReader(page))
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0, fmt.Errorf("read %s in the metrics: %w", name, err)
			}
			return uint64(n), nil
		}
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("look for %s in the metrics: %w", name, err)
	}
	return 0, fmt.Errorf("the metrics have no %s", name)
}
