//go:build linux

package http1

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dates makes the value of Date headers, once a second.
type dates struct{ last atomic.Pointer[date] }

type date struct {
	second int64
	text   string
}

func (d *dates) append(out []byte) []byte {
	now := time.Now()
	last := d.last.Load()
	if last == nil || last.second != now.Unix() {
		last = &date{second: now.Unix(), text: now.UTC().Format(http.TimeFormat)}
		d.last.Store(last)
	}
	return append(out, last.text...)
}
