package standin

import (
	"fmt"
	"os"

	"github.com/holdfast-kv/holdfast/internal/bench/limitserver"
)

// Dispatch lets a test binary be what the benchmark starts. Called first thing in
// a TestMain, it returns when the binary was started as a test; else it runs the
// stand-in or a limit and ends the process with it.
func Dispatch() {
	if len(os.Args) < 2 {
		return
	}
	var err error
	switch os.Args[1] {
	case limitserver.CommandName:
		err = limitserver.RunCommand(os.Args[2:], os.Stdin, os.Stdout)
	case "agent":
		err = Agent(os.Args[1:])
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
