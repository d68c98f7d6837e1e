//go:build linux

package http1

import (
	"net/http"
	"testing"
)

// TestWantsLane: when another lane is opened for what is in the queue.
func TestWantsLane(t *testing.T) {
	for _, tc := range []struct {
		name string
		q    *queue
		want bool
	}{
		{"nothing to do", &queue{most: 2}, false},
		{"no lane yet", &queue{most: 2, first: &conn{}, length: 1}, true},
		{"one of two", &queue{most: 2, lanes: 1, first: &conn{}, length: 1}, true},
		{"all", &queue{most: 2, lanes: 2, first: &conn{}, length: 1000}, false},
		{"few, and the lane looks for more", &queue{most: 2, lanes: 1, looks: true, first: &conn{}, length: perLane}, false},
		{"many, and the lane looks for more", &queue{most: 2, lanes: 1, looks: true, first: &conn{}, length: perLane + 1}, true},
		{"few, and the only lane waits for events", &queue{most: 1, lanes: 1, looks: true, waits: true, first: &conn{}, length: 1}, true},
		{"all, and one more that waits for events", &queue{most: 2, lanes: 3, looks: true, waits: true, first: &conn{}, length: 1000}, false},
	} {
		lanes := tc.q.lanes
		if tc.want {
			lanes++
		}
		if got := tc.q.wantsLaneLocked(); got != tc.want || tc.q.lanes != lanes {
			t.Errorf("%s: %v with %d lanes after it, want %v with %d", tc.name, got, tc.q.lanes, tc.want, lanes)
		}
	}
}

// TestGoesOn: lanes that look for events and are held up are relieved of that, and what waits behind
// one that is gets another.
func TestGoesOn(t *testing.T) {
	for _, tc := range []struct {
		name  string
		q     *queue
		want  bool
		lanes int // after it
	}{
		{"they have looked", &queue{most: 2, lanes: 1, looks: true, looked: 8}, true, 1},
		{"one waits for events", &queue{most: 2, lanes: 1, looks: true, looked: 7, waits: true}, true, 1},
		{"nobody has looked", &queue{most: 2, lanes: 2, looks: true, looked: 7, taken: 5}, false, 2},
		{"nobody has had the time to look", &queue{most: 2, lanes: 2, looks: true, looked: 7, taken: 900, first: &conn{}, length: 100}, true, 2},
		{"nor taken what little there is", &queue{most: 2, lanes: 1, looks: true, looked: 7, taken: 5, first: &conn{}, length: 1}, false, 2},
		{"they have looked, and taken nothing since", &queue{most: 2, lanes: 1, looks: true, looked: 8, taken: 5, first: &conn{}, length: 1}, true, 2},
		{"they have looked, and taken something", &queue{most: 2, lanes: 1, looks: true, looked: 8, taken: 6, first: &conn{}, length: 1}, true, 1},
		{"all are busy", &queue{most: 1, lanes: 1, looks: true, looked: 8, taken: 5, first: &conn{}, length: 1}, true, 1},
		{"they look no more", &queue{most: 2, lanes: 1, looked: 8}, false, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.q.crew = &crew{closed: true}
			opened := make(chan job, 2) // a goroutine that is idle takes the lane that is opened
			tc.q.crew.idle = []chan job{opened}
			since := progress{looked: 7, taken: 5}
			if got := tc.q.goesOn(&since); got != tc.want || tc.q.looks != tc.want || tc.q.lanes != tc.lanes {
				t.Errorf("%v, looks %v, %d lanes; want %v with %d", got, tc.q.looks, tc.q.lanes, tc.want, tc.lanes)
			}
			if since != (progress{tc.q.looked, tc.q.taken}) {
				t.Errorf("since %+v", since)
			}
		})
	}
}

// TestAfterACrowd: who comes alone after a crowd, when no lane looks for events any more, is heard by
// the poller; and the next crowd too.
func TestAfterACrowd(t *testing.T) {
	l := newLot()
	addr, s := serve(t, &http.Server{Handler: l}, true)
	var crowd []*client
	for range 100 {
		crowd = append(crowd, dial(t, addr))
	}
	for range 20 {
		for range 5 {
			for _, c := range crowd {
				c.send("/wait")
			}
			await(t, "all are parked", func() bool { return s.waiting() == len(crowd) })
			l.resume(&Share{})
			for _, c := range crowd {
				c.wants("woken")
			}
		}
		await(t, "no lane is left", func() bool {
			s.ready.mu.Lock()
			defer s.ready.mu.Unlock()
			return s.ready.lanes == 0 && !s.ready.looks
		})
		crowd[0].send("/alone")
		crowd[0].wants("/alone")
	}
}
