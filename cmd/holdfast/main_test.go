package main

import (
	"flag"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets this test binary stand in for holdfast, so that the scripts run what
// the real one does.
func TestMain(m *testing.M) {
	// Scripts wait more than they work, so more of them run at a time than there are
	// processors; -parallel still says otherwise.
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		panic(err) // there is no such flag any more
	}
	testscript.Main(m, map[string]func(){"holdfast": main})
}

// TestScripts runs every user story in testdata/script against real processes. The
// commands that the scripts have beyond the usual ones are in script_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// A script sees only what it sets up itself.
			env.Setenv("NO_COLOR", "")
			env.Setenv("HOLDFAST_HTTP_ADDR", "127.0.0.1:1")
			// With the race detector a process lingers at its exit, so that races of
			// that moment show: by default for 1 s, which is most of the time of the
			// scripts, because they run some hundred commands.
			env.Setenv("GORACE", "atexit_sleep_ms=50")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"agent":     cmdAgent,
			"exits":     cmdExits,
			"await":     cmdAwait,
			"awaitfile": cmdAwaitFile,
			"blackhole": cmdBlackhole,
			"random":    cmdRandom,
			"damage":    cmdDamage,
			"servedat":  cmdServedAt,
			"expired":   cmdExpired,
			"field":     cmdField,
			"provider":  cmdProvider,
		},
	})
}
