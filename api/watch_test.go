package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-kv/holdfast/api"
)

// turn is one poll of a script: what the server answers.
type turn struct {
	wants string // the index parameter that must have been sent; "" = none
	index uint64 // X-Consul-Index of the answer; 0 = none
	keys  string // "a=1 b=2"; "" = 404
	fail  int    // a status instead
	retry string // its Retry-After
	broke error  // a connection that breaks instead
	after time.Duration
}

// script is an http.RoundTripper that plays turns, and then waits for ever.
type script struct {
	t     *testing.T
	mu    sync.Mutex
	turns []turn      // guarded by mu
	asked []time.Time // guarded by mu
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Now())
	if len(s.turns) == 0 {
		s.mu.Unlock()
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	now := s.turns[0]
	s.turns = s.turns[1:]
	s.mu.Unlock()
	if got := r.FormValue("index"); got != now.wants {
		s.t.Errorf("polled with index %q, want %q", got, now.wants)
	}
	select {
	case <-time.After(now.after):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	res := &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: http.NoBody}
	if now.index > 0 {
		res.Header.Set("X-Consul-Index", strconv.FormatUint(now.index, 10))
	}
	switch {
	case now.broke != nil:
		return nil, now.broke
	case now.fail != 0:
		res.StatusCode = now.fail
		res.Header.Set("Retry-After", now.retry)
		res.Body = io.NopCloser(strings.NewReader("no"))
	case now.keys == "":
		res.StatusCode = 404
		res.Header.Set("X-Consul-Index", strconv.FormatUint(now.index, 10))
	default:
		res.Body = io.NopCloser(bytes.NewReader(entries(now.keys)))
	}
	return res, nil
}

// entries is the JSON of "key=value@ModifyIndex ...".
func entries(text string) []byte {
	var list []api.Entry
	for word := range strings.FieldsSeq(text) {
		key, rest, _ := strings.Cut(word, "=")
		value, index, _ := strings.Cut(rest, "@")
		n, _ := strconv.ParseUint(index, 10, 64)
		list = append(list, api.Entry{Key: key, Value: []byte(value), CreateIndex: 1, ModifyIndex: n})
	}
	data, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	return data
}

// play runs f against a script in a bubble of fake time, and checks that all of the
// script was played.
func play(t *testing.T, turns []turn, f func(ctx context.Context, client *api.Client, s *script)) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, turns: turns}
		client, err := api.New(api.WithoutEnvironment(), api.WithHTTPClient(&http.Client{Transport: s}))
		if err != nil {
			t.Fatal(err)
		}
		f(t.Context(), client, s)
		if len(s.turns) > 0 {
			t.Errorf("%d turns were not played", len(s.turns))
		}
	})
}

// told is an event as a line: "index: changed… -deleted…".
func told(ev api.Event) string {
	var b strings.Builder
	b.WriteString(strconv.FormatUint(ev.Index, 10) + ":")
	for _, e := range ev.Changed {
		b.WriteString(" " + e.Key + "=" + string(e.Value))
	}
	for _, k := range ev.Deleted {
		b.WriteString(" -" + k)
	}
	return b.String()
}

func TestWatch(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		opts  []api.WatchOption
		turns []turn
		want  []string
	}{
		{
			"the first event is the present state", nil,
			[]turn{{wants: "", index: 5, keys: "a=1@5"}},
			[]string{"5: a=1"},
		},
		{
			"a state of nothing is a first event too", nil,
			[]turn{{wants: "", index: 5}},
			[]string{"5:"},
		},
		{
			"the next poll waits on the index of the last", nil,
			[]turn{{wants: "", index: 5, keys: "a=1@5"}, {wants: "5", index: 8, keys: "a=2@8 b=1@7"}},
			[]string{"5: a=1", "8: a=2 b=1"},
		},
		{
			"a wait that is over is no event", nil,
			[]turn{
				{wants: "", index: 5, keys: "a=1@5"},
				{wants: "5", index: 5, keys: "a=1@5", after: 5 * time.Minute},
				{wants: "5", index: 6, keys: "a=2@6"},
			},
			[]string{"5: a=1", "6: a=2"},
		},
		{
			"an index that moved without the content is no event", nil,
			[]turn{
				{wants: "", index: 5, keys: "a=1@5"},
				{wants: "5", index: 7, keys: "a=1@5"},
				{wants: "7", index: 8, keys: "a=2@8"},
			},
			[]string{"5: a=1", "8: a=2"},
		},
		{
			"a deletion is an event", nil,
			[]turn{{wants: "", index: 5, keys: "a=1@5 b=1@3"}, {wants: "5", index: 6, keys: "b=1@3"}, {wants: "6", index: 7}},
			[]string{"5: a=1 b=1", "6: -a", "7: -b"},
		},
		{
			"a key that was written with the same value and another index changed", nil,
			[]turn{{wants: "", index: 5, keys: "a=1@5"}, {wants: "5", index: 9, keys: "a=1@9"}},
			[]string{"5: a=1", "9: a=1"},
		},
		{
			"an index that falls starts over, and only content counts", nil,
			[]turn{
				{wants: "", index: 50, keys: "a=1@5"},
				{wants: "50", index: 20, keys: "a=1@5"}, // tombstones were dropped
				{wants: "", index: 20, keys: "a=1@5"},
				{wants: "20", index: 30, keys: "a=2@30"},
			},
			[]string{"50: a=1", "30: a=2"},
		},
		{
			"after a restore the older state is an event", nil,
			[]turn{
				{wants: "", index: 50, keys: "a=2@50"},
				{wants: "50", index: 20, keys: "a=1@20"},
				{wants: "", index: 20, keys: "a=1@20"},
			},
			[]string{"50: a=2", "20: a=1"},
		},
		{
			"an index of 0 counts as 1", nil,
			[]turn{{wants: "", keys: "a=1@5"}, {wants: "1", index: 6, keys: "a=2@6"}},
			[]string{"1: a=1", "6: a=2"},
		},
		{
			"SkipInitial leaves out the state at the start",
			[]api.WatchOption{api.SkipInitial()},
			[]turn{{wants: "", index: 5, keys: "a=1@5"}, {wants: "5", index: 6, keys: "a=2@6"}},
			[]string{"6: a=2"},
		},
		{
			"FromIndex goes on where another ended",
			[]api.WatchOption{api.FromIndex(5)},
			[]turn{{wants: "5", index: 5, keys: "a=1@5"}, {wants: "5", index: 6, keys: "a=2@6 b=1@2"}, {wants: "6", index: 7, keys: "a=3@7 b=1@2"}},
			[]string{"6: a=2 b=1", "7: a=3"},
		},
		{
			"FromIndex notices that the store was restored",
			[]api.WatchOption{api.FromIndex(50), api.SkipInitial()},
			[]turn{{wants: "50", index: 20, keys: "a=1@20"}, {wants: "", index: 20, keys: "a=1@20"}},
			[]string{"20: a=1"},
		},
		{
			"errors that may pass are tried again", nil,
			[]turn{
				{wants: "", fail: 500},
				{wants: "", broke: errors.New("reset")},
				{wants: "", index: 5, keys: "a=1@5"},
				{wants: "5", fail: 429},
				{wants: "5", fail: 503},
				{wants: "5", index: 6, keys: "a=2@6"},
			},
			[]string{"5: a=1", "6: a=2"},
		},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			play(t, tc.turns, func(ctx context.Context, client *api.Client, s *script) {
				ctx, cancel := context.WithTimeout(ctx, time.Hour)
				defer cancel()
				var got []string
				for ev, err := range client.WatchPrefix("", tc.opts...).Events(ctx) {
					if err != nil {
						if !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("ended with %v", err)
						}
						break
					}
					got = append(got, told(ev))
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("events\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tc.want, "\n  "))
				}
			})
		})
	}
}

func TestWatchKeySeesItComeAndGo(t *testing.T) {
	turns := []turn{{wants: "", index: 5}, {wants: "5", index: 6, keys: "a=1@6"}, {wants: "6", index: 7}}
	play(t, turns, func(ctx context.Context, client *api.Client, _ *script) {
		w := client.WatchKey("a")
		for _, want := range []string{"5:", "6: a=1", "7: -a"} {
			ev, err := w.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if told(ev) != want {
				t.Errorf("event %q, want %q", told(ev), want)
			}
		}
	})
}

func TestWatchEndsWhenTryingAgainCannotHelp(t *testing.T) {
	for _, status := range []int{400, 403, 405} {
		play(t, []turn{{wants: "", fail: status}}, func(ctx context.Context, client *api.Client, _ *script) {
			_, err := client.WatchKey("a").Next(ctx)
			var refused *api.StatusError
			if !errors.As(err, &refused) || refused.Code != status {
				t.Errorf("error = %v, want status %d", err, status)
			}
		})
	}
	play(t, nil, func(ctx context.Context, client *api.Client, _ *script) {
		for _, w := range []*api.Watch{client.WatchKey(""), client.WatchKey("a\nb"), client.WatchPrefix("a\n")} {
			if _, err := w.Next(ctx); !errors.Is(err, api.ErrKey) {
				t.Errorf("error = %v, want ErrKey", err)
			}
		}
	})
}

func TestWatchPausesGrowAndAreBounded(t *testing.T) {
	var turns []turn
	for range 12 {
		turns = append(turns, turn{wants: "", fail: 500})
	}
	turns = append(turns, turn{wants: "", index: 5, keys: "a=1@5"})
	play(t, turns, func(ctx context.Context, client *api.Client, s *script) {
		var pauses []time.Duration
		w := client.WatchKey("a", api.OnRetry(func(err error, pause time.Duration) {
			if !strings.Contains(err.Error(), `watch key "a"`) {
				t.Errorf("retry told %v", err)
			}
			pauses = append(pauses, pause)
		}))
		if _, err := w.Next(ctx); err != nil {
			t.Fatal(err)
		}
		full := 250 * time.Millisecond
		for i, p := range pauses {
			if p < full/2 || p > full {
				t.Errorf("pause %d = %s, want between %s and %s", i, p, full/2, full)
			}
			if waited := s.asked[i+1].Sub(s.asked[i]); waited != p {
				t.Errorf("pause %d was told as %s and took %s", i, p, waited)
			}
			full = min(2*full, 30*time.Second)
		}
		if len(pauses) != 12 {
			t.Errorf("%d retries were told, want 12", len(pauses))
		}
	})
}

func TestWatchWaitsAsLongAsTheServerAsks(t *testing.T) {
	turns := []turn{{wants: "", fail: 429, retry: "7"}, {wants: "", fail: 429, retry: "86400"}, {wants: "", index: 5, keys: "a=1@5"}}
	play(t, turns, func(ctx context.Context, client *api.Client, s *script) {
		if _, err := client.WatchKey("a").Next(ctx); err != nil {
			t.Fatal(err)
		}
		if first, second := s.asked[1].Sub(s.asked[0]), s.asked[2].Sub(s.asked[1]); first != 7*time.Second || second != 30*time.Second {
			t.Errorf("paused for %s and %s, want 7s and, at most, 30s", first, second)
		}
	})
}

func TestWatchDoesNotSpinOnAServerThatAnswersAtOnce(t *testing.T) {
	turns := []turn{{wants: "", index: 5, keys: "a=1@5"}}
	for range 100 {
		turns = append(turns, turn{wants: "5", index: 5, keys: "a=1@5"})
	}
	turns = append(turns, turn{wants: "5", index: 6, keys: "a=2@6"})
	play(t, turns, func(ctx context.Context, client *api.Client, _ *script) {
		w := client.WatchKey("a", api.SkipInitial())
		start := time.Now()
		if _, err := w.Next(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 5*time.Second {
			t.Errorf("100 polls without news took %s, want at least 50 ms each", took)
		}
	})
}

func TestWatchGivesUpADeadConnection(t *testing.T) {
	turns := []turn{{wants: "", index: 5, keys: "a=1@5", after: time.Hour}, {wants: "", index: 5, keys: "a=1@5"}}
	play(t, turns, func(ctx context.Context, client *api.Client, _ *script) {
		start := time.Now()
		if _, err := client.WatchKey("a", api.WatchWait(time.Minute)).Next(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("the silent connection was given up after %s", took)
		}
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	play(t, []turn{{wants: "", index: 5, keys: "a=1@5"}}, func(ctx context.Context, client *api.Client, _ *script) {
		ctx, cancel := context.WithCancel(ctx)
		w := client.WatchKey("a")
		if _, err := w.Next(ctx); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, cancel)
		if _, err := w.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want context.Canceled", err)
		}
	})
}
