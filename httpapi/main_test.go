package httpapi

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(bothWays{m}) }

// bothWays runs all tests twice: first blocking queries give up their goroutine, as with
// package http1, then they keep it, as with net/http. See canPark.
type bothWays struct{ m *testing.M }

func (b bothWays) Run() int {
	flag.Parse()
	if only("test.bench") || only("test.fuzz") || only("test.list") {
		return b.m.Run()
	}
	canPark.Store(true)
	if code := b.m.Run(); code != 0 {
		return code
	}
	canPark.Store(false)
	return b.m.Run()
}

// only tells whether a flag is given with which there is something else to do than tests.
func only(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != ""
}
