package cmd

import (
	"os"

	"github.com/mattn/go-isatty"
)

// isTerminal says whether a stream of the process is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// style writes emphasis, or leaves it out.
type style struct{ color bool }

// styleFor decides about colour for a stream, as users of other tools know it:
// CLICOLOR_FORCE forces it (any value but "" and 0), NO_COLOR (any value but "")
// and CLICOLOR=0 forbid it, and else a terminal that is not dumb has it.
func styleFor(stream any, getenv func(string) string) style {
	force := getenv("CLICOLOR_FORCE")
	switch {
	case getenv("NO_COLOR") != "":
		return style{}
	case force != "" && force != "0":
		return style{color: true}
	case getenv("CLICOLOR") == "0", getenv("TERM") == "dumb":
		return style{}
	}
	return style{color: isTerminal(stream)}
}

// bad marks what went wrong, strong a headline.
func (s style) bad(text string) string    { return s.wrap("1;31", text) }
func (s style) strong(text string) string { return s.wrap("1", text) }

func (s style) wrap(code, text string) string {
	if !s.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
