package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// prefix is where the writers write.
const prefix = "crash/"

// record is what is known of a key.
type record struct {
	value string // "" is: deleted
	index uint64 // of the write that set it; 0 is not known
}

// writer is one client: it writes keys of its own, one request after another, and
// notes what was acknowledged. So at any time at most one of its requests, the
// pending one, has an unknown outcome.
type writer struct {
	id      int
	rand    *rand.Rand
	client  *http.Client
	seq     int // makes every value new
	acked   map[string]record
	pending map[string]record // the keys of the request in flight; all of it or none of it happens
}

func newWriters(n int) []*writer {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	var ws []*writer
	for id := range n {
		ws = append(ws, &writer{
			id: id, rand: rand.New(rand.NewPCG(2, uint64(id))), client: client,
			acked: map[string]record{}, pending: map[string]record{},
		})
	}
	return ws
}

// load runs the writers until so many of their requests have been acknowledged, calls
// then, and returns when all of them have stopped. A writer stops when a request
// fails, and only then must have called the reason down: an error before that is a
// fault of the server.
func load(t *testing.T, s *testcluster.Server, ws []*writer, acks int64, then func()) {
	t.Helper()
	var (
		acknowledged atomic.Int64
		enough       = make(chan struct{})
		once         sync.Once
		ended        atomic.Bool // then has been called
		wg           sync.WaitGroup
	)
	for _, w := range ws {
		wg.Go(func() {
			for {
				err := w.step(t.Context(), s.URL())
				if err != nil {
					if !ended.Load() {
						t.Errorf("writer %d: %v", w.id, err)
						once.Do(func() { close(enough) })
					}
					return
				}
				if acknowledged.Add(1) >= acks {
					once.Do(func() { close(enough) })
				}
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(2 * time.Minute):
		t.Errorf("only %d writes were acknowledged in two minutes", acknowledged.Load())
	}
	ended.Store(true)
	then()
	wg.Wait()
	ws[0].client.CloseIdleConnections()
}

// step sends the writer's next request and books its outcome.
func (w *writer) step(ctx context.Context, url string) error {
	w.seq++
	value := fmt.Sprintf("w%d-%d-%s", w.id, w.seq, strings.Repeat("x", w.rand.IntN(2000)))
	fresh := fmt.Sprintf("%s%d/%06d", prefix, w.id, w.seq)
	counter := fmt.Sprintf("%s%d/counter", prefix, w.id)
	switch n := w.rand.IntN(10); {
	case n < 5:
		return w.put(ctx, url, fresh, value)
	case n < 8:
		return w.put(ctx, url, counter, value)
	case n < 9:
		return w.remove(ctx, url, fmt.Sprintf("%s%d/%06d", prefix, w.id, 1+w.rand.IntN(w.seq)))
	default:
		return w.txn(ctx, url, value, fresh, counter)
	}
}

func (w *writer) put(ctx context.Context, url, key, value string) error {
	w.pending = map[string]record{key: {value: value}}
	header, body, err := w.do(ctx, http.MethodPut, url+"/v1/kv/"+key, []byte(value))
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(body)) != "true" {
		return fmt.Errorf("put %s: answered %q", key, body)
	}
	w.acknowledge(header)
	return nil
}

func (w *writer) remove(ctx context.Context, url, key string) error {
	w.pending = map[string]record{key: {}}
	header, body, err := w.do(ctx, http.MethodDelete, url+"/v1/kv/"+key, nil)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(body)) != "true" {
		return fmt.Errorf("delete %s: answered %q", key, body)
	}
	w.acknowledge(header)
	return nil
}

func (w *writer) txn(ctx context.Context, url, value string, keys ...string) error {
	type kv struct {
		Verb, Key string
		Value     []byte
	}
	var ops []map[string]kv
	w.pending = map[string]record{}
	for _, key := range keys {
		ops = append(ops, map[string]kv{"KV": {"set", key, []byte(value)}})
		w.pending[key] = record{value: value}
	}
	body, err := json.Marshal(ops)
	if err != nil {
		return err
	}
	header, _, err := w.do(ctx, http.MethodPut, url+"/v1/txn", body)
	if err != nil {
		return err
	}
	w.acknowledge(header)
	return nil
}

func (w *writer) do(ctx context.Context, method, url string, body []byte) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, answer)
	}
	return resp.Header, answer, nil
}

// acknowledge books the pending request as done, at the index that its answer names.
func (w *writer) acknowledge(header http.Header) {
	index, err := strconv.ParseUint(header.Get("X-Consul-Index"), 10, 64)
	if err != nil {
		index = 0 // not known; the value is compared all the same
	}
	for key, r := range w.pending {
		r.index = index
		w.acked[key] = r
	}
	clear(w.pending)
}

// settle compares the writer's ledger with what the server holds, and books what
// became of the pending request. Each error is one broken promise.
func (w *writer) settle(held map[string]record) error {
	var faults []error
	happened := 0
	for key, want := range w.pending {
		if held[key].value == want.value && w.acked[key].value != want.value {
			happened++
		}
	}
	changes := 0 // pending changes that can be seen; deleting what was not there cannot
	for key, want := range w.pending {
		if w.acked[key].value != want.value {
			changes++
		}
	}
	if happened != 0 && happened != changes {
		faults = append(faults, fmt.Errorf("writer %d: half of an unacknowledged request happened: %d of %d keys", w.id, happened, changes))
	}
	if happened != 0 {
		for key := range w.pending {
			w.acked[key] = held[key]
		}
	}
	clear(w.pending)

	for key, want := range w.acked {
		got := held[key]
		switch {
		case got.value != want.value:
			faults = append(faults, fmt.Errorf("%s: holds %.20q, acknowledged was %.20q", key, got.value, want.value))
		case want.value != "" && want.index != 0 && got.index != want.index:
			faults = append(faults, fmt.Errorf("%s: ModifyIndex is %d, acknowledged was %d", key, got.index, want.index))
		}
		delete(held, key)
	}
	return errors.Join(faults...)
}

// settleAll compares all the ledgers with what the server holds, the other way round
// too: nothing may be there that nobody wrote.
func settleAll(t *testing.T, ws []*writer, held map[string]record) {
	t.Helper()
	for _, w := range ws {
		if err := w.settle(held); err != nil {
			t.Error(err)
		}
	}
	for key, r := range held {
		t.Errorf("%s holds %.20q, which nobody wrote", key, r.value)
	}
}

// held reads everything below prefix from a server that may not be ready yet: it asks
// in the default mode until there is an answer, and the first answer counts.
func held(t *testing.T, s *testcluster.Server) map[string]record {
	t.Helper()
	entries := map[string]record{}
	err := testcluster.Eventually(t.Context(), time.Minute, func() error {
		resp, err := s.TryDo(t.Context(), http.MethodGet, "/v1/kv/"+prefix+"?recurse", nil)
		if err != nil {
			return err
		}
		switch resp.Status {
		case http.StatusOK:
			return parseEntries(resp.Body, entries)
		case http.StatusNotFound:
			return nil // an answer, and perhaps a wrong one
		}
		return fmt.Errorf("list: %d %s", resp.Status, resp.Body)
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	return entries
}

func parseEntries(body []byte, entries map[string]record) error {
	var listed []struct {
		Key         string
		Value       []byte
		ModifyIndex uint64
	}
	if err := json.Unmarshal(body, &listed); err != nil {
		return fmt.Errorf("decode the list: %w", err)
	}
	for _, e := range listed {
		entries[e.Key] = record{string(e.Value), e.ModifyIndex}
	}
	return nil
}

func TestSettleFindsBrokenPromises(t *testing.T) {
	for _, tc := range []struct {
		rule           string
		acked, pending map[string]record
		held           map[string]record
		faults         int
	}{
		{"all is there", map[string]record{"a": {"1", 7}}, nil, map[string]record{"a": {"1", 7}}, 0},
		{"an acknowledged write is gone", map[string]record{"a": {"1", 7}}, nil, nil, 1},
		{"an acknowledged write was undone", map[string]record{"a": {"2", 9}}, nil, map[string]record{"a": {"1", 7}}, 1},
		{"an acknowledged write moved", map[string]record{"a": {"1", 7}}, nil, map[string]record{"a": {"1", 8}}, 1},
		{"an acknowledged delete was undone", map[string]record{"a": {"", 9}}, nil, map[string]record{"a": {"1", 7}}, 1},
		{"a pending write may have happened", nil, map[string]record{"a": {"1", 0}}, map[string]record{"a": {"1", 7}}, 0},
		{"or not", nil, map[string]record{"a": {"1", 0}}, nil, 0},
		{"a pending overwrite may have happened", map[string]record{"a": {"1", 7}}, map[string]record{"a": {"2", 0}}, map[string]record{"a": {"2", 8}}, 0},
		{"a pending delete may have happened", map[string]record{"a": {"1", 7}}, map[string]record{"a": {}}, nil, 0},
		{"half a transaction", nil, map[string]record{"a": {"1", 0}, "b": {"1", 0}}, map[string]record{"a": {"1", 7}}, 1},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := &writer{acked: map[string]record{}, pending: map[string]record{}}
			for k, v := range tc.acked {
				w.acked[k] = v
			}
			for k, v := range tc.pending {
				w.pending[k] = v
			}
			err := w.settle(tc.held)
			var faults int
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				faults = len(joined.Unwrap())
			}
			if faults != tc.faults {
				t.Errorf("%d faults, want %d: %v", faults, tc.faults, err)
			}
		})
	}
}
