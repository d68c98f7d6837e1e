package audit

import (
	"encoding/json"
	"regexp"
)

// syslogTag is what lines in the system's log are known by.
const syslogTag = "holdfast-audit"

// syslogBefore is what daemons write in front of a line, in their usual formats: time,
// host and tag with the process, or the form of RFC 5424. Whatever else mentions the tag
// has no line behind it.
var syslogBefore = regexp.MustCompile(`^.{0,300}?\b` + syslogTag + `(?:\[\d+\]: ?| \d+ - - +)\{"n":`)

// fromSyslog returns the line that stands in a line of a file of the system's log; nil
// when it is another program's.
func fromSyslog(text []byte) []byte {
	at := syslogBefore.FindIndex(text)
	if at == nil {
		return nil
	}
	return text[at[1]-len(`{"n":`):]
}

// syslogServer is where a line names its server, also one that a daemon has cut off: that
// stands near its beginning, and within a value its quotes would be escaped.
var syslogServer = regexp.MustCompile(`^\{"n":[^{}]{0,300}?,"server":("(?:[^"\\]|\\.){0,300}")`)

// saysOther tells whether what is left of a line says that it is of another server.
func saysOther(text []byte, server string) bool {
	var named string
	at := syslogServer.FindSubmatch(text)
	return at != nil && json.Unmarshal(at[1], &named) == nil && named != server
}
