package audit

import "regexp"

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
