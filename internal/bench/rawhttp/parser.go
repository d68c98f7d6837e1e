package rawhttp

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Bounds of what a Parser takes in. They are far above what a server under test
// sends and exist so that a broken one ends the run instead of filling memory.
const (
	maxHeadBytes = 64 << 10
	maxLineBytes = 1 << 10  // a chunk-size or trailer line
	maxKeptBytes = 64 << 20 // a body kept in memory
)

// ErrNoLength reports an answer whose body would end with the connection.
var ErrNoLength = errors.New("answer has neither Content-Length nor chunks")

// state is where in an answer a Parser stands.
type state int

const (
	inHead state = iota
	inBody
	inChunkSize
	inChunk
	afterChunk
	inTrailer
	complete
)

// Parser takes one answer after the other apart, from bytes that may be cut
// anywhere. The zero value is ready. After an error it is of no further use.
type Parser struct {
	Keep       bool // keep head and body of each answer in its Response
	KeepErrors bool // keep those of answers with a status from 400 on

	state   state
	keep    bool   // Keep or KeepErrors asks for the current answer
	partial []byte // a head or line that has not arrived completely
	left    int64  // bytes missing from the body or the current chunk
	r       Response
}

// Feed parses b up to the end of the current answer and returns how many bytes
// that took. done means that an answer is complete: it is returned, and the
// next call starts a new one with whatever follows b[:n].
func (p *Parser) Feed(b []byte) (r Response, n int, done bool, err error) {
	for {
		if p.state == complete {
			r := p.r
			p.r, p.state = Response{}, inHead
			return r, n, true, nil
		}
		if n == len(b) {
			return Response{}, n, false, nil
		}
		m, err := p.step(b[n:])
		if err != nil {
			return Response{}, n, false, err
		}
		n += m
	}
}

// Busy says whether an answer has been started but not finished.
func (p *Parser) Busy() bool { return p.state != inHead || len(p.partial) > 0 }

func (p *Parser) step(b []byte) (int, error) {
	switch p.state {
	case inHead:
		return p.stepHead(b)
	case inBody, inChunk:
		return p.stepData(b)
	default:
		return p.stepLine(b)
	}
}

var headEnd = []byte("\r\n\r\n")

func (p *Parser) stepHead(b []byte) (int, error) {
	if len(p.partial) == 0 {
		if i := bytes.Index(b, headEnd); i >= 0 {
			return i + len(headEnd), p.head(b[:i])
		}
	}
	had := len(p.partial)
	p.partial = append(p.partial, b[:min(len(b), maxHeadBytes)]...)
	// The end may straddle the old and the new bytes.
	from := max(0, had-len(headEnd)+1)
	i := bytes.Index(p.partial[from:], headEnd)
	if i < 0 {
		if len(p.partial) >= maxHeadBytes {
			return 0, fmt.Errorf("answer's head is longer than %d bytes", maxHeadBytes)
		}
		return len(b), nil
	}
	end := from + i
	err := p.head(p.partial[:end])
	p.partial = p.partial[:0]
	return end + len(headEnd) - had, err
}

// head parses a status line with its headers and decides how the body is
// framed.
func (p *Parser) head(h []byte) error {
	line, rest := cutLine(h)
	status, err := parseStatus(line)
	if err != nil {
		return err
	}
	p.r.Status = status
	p.keep = p.Keep || p.KeepErrors && status >= 400
	if p.keep {
		p.r.Head = bytes.Clone(h)
	}
	length, chunked := int64(-1), false
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			return fmt.Errorf("header line %q has no colon", line)
		}
		name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
		switch {
		case equalFold(name, "content-length"):
			length, err = strconv.ParseInt(string(value), 10, 64)
			if err != nil || length < 0 {
				return fmt.Errorf("Content-Length %q is not a length", value)
			}
		case equalFold(name, "transfer-encoding"):
			if !equalFold(value, "chunked") {
				return fmt.Errorf("Transfer-Encoding %q is not supported", value)
			}
			chunked = true
		case equalFold(name, "x-consul-index"):
			// An index that is no number is for the caller to notice: it sees 0.
			p.r.Index, _ = strconv.ParseUint(string(value), 10, 64)
		case equalFold(name, "connection"):
			p.r.Close = equalFold(value, "close")
		}
	}
	return p.frame(length, chunked)
}

// frame sets the state that follows a head.
func (p *Parser) frame(length int64, chunked bool) error {
	switch {
	case p.r.Status < 200: // interim: the real answer follows
		p.r = Response{}
	case p.r.Status == 204 || p.r.Status == 304:
		p.state = complete
	case chunked:
		p.state = inChunkSize
	case length < 0:
		return fmt.Errorf("status %d: %w", p.r.Status, ErrNoLength)
	case length == 0:
		p.state = complete
	default:
		p.state, p.left = inBody, length
	}
	return nil
}

func (p *Parser) stepData(b []byte) (int, error) {
	n := min(int64(len(b)), p.left)
	if p.keep {
		if p.r.Length+n > maxKeptBytes {
			return 0, fmt.Errorf("answer's body is longer than %d bytes", maxKeptBytes)
		}
		p.r.Body = append(p.r.Body, b[:n]...)
	}
	p.r.Length += n
	p.left -= n
	if p.left == 0 {
		if p.state == inBody {
			p.state = complete
		} else {
			p.state = afterChunk
		}
	}
	return int(n), nil
}

// stepLine handles the states in which a short line must be read to its end.
func (p *Parser) stepLine(b []byte) (int, error) {
	i := bytes.IndexByte(b, '\n')
	n := i + 1
	if i < 0 {
		n = len(b)
	}
	if len(p.partial)+n > maxLineBytes {
		return 0, fmt.Errorf("chunk framing line is longer than %d bytes", maxLineBytes)
	}
	if i < 0 {
		p.partial = append(p.partial, b...)
		return n, nil
	}
	line := b[:n]
	if len(p.partial) > 0 {
		p.partial = append(p.partial, line...)
		line = p.partial
	}
	err := p.line(bytes.TrimRight(line, "\r\n"))
	p.partial = p.partial[:0]
	return n, err
}

// line takes one complete framing line, without its end.
func (p *Parser) line(line []byte) error {
	switch p.state {
	case inChunkSize:
		size, _, _ := bytes.Cut(line, []byte(";")) // extensions mean nothing here
		n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("chunk size %q is not a hexadecimal number", line)
		}
		p.left, p.state = n, inChunk
		if n == 0 {
			p.state = inTrailer
		}
	case afterChunk:
		if len(line) != 0 {
			return fmt.Errorf("chunk is followed by %q", line)
		}
		p.state = inChunkSize
	case inTrailer:
		if len(line) == 0 {
			p.state = complete
		}
	}
	return nil
}

// parseStatus reads "HTTP/1.1 200 OK".
func parseStatus(line []byte) (int, error) {
	const version = "HTTP/1."
	if len(line) < 12 || string(line[:len(version)]) != version || line[8] != ' ' {
		return 0, fmt.Errorf("status line %q is not HTTP/1", line)
	}
	n := 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("status line %q has no status code", line)
		}
		n = n*10 + int(c-'0')
	}
	if n < 100 || len(line) > 12 && line[12] != ' ' {
		return 0, fmt.Errorf("status line %q has no status code", line)
	}
	return n, nil
}

func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil
	}
	return bytes.TrimSuffix(b[:i], []byte("\r")), b[i+1:]
}

// equalFold compares without regard to the case of ASCII letters; lower must be
// lower case already. It exists because bytes.EqualFold wants two slices and
// folds all of Unicode, which shows in a profile of the generator.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
