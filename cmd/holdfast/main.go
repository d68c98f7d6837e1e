// Holdfast runs the command line and nothing else.
package main

import (
	"os"

	"github.com/holdfast-kv/holdfast/cmd"
)

func main() {
	os.Exit(cmd.Main())
}
