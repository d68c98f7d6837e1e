package rawhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Client is one keep-alive connection with one request at a time on it. It is
// meant for setting up and checking, not for load. Not safe for concurrent use.
type Client struct {
	host   string
	conn   net.Conn
	parser Parser
	buf    []byte // what was read and not parsed yet is buf[start:end]
	start  int
	end    int
}

// Dial connects to host, "address:port", which is also sent as the Host header.
func Dial(ctx context.Context, host string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &Client{host: host, conn: conn, parser: Parser{Keep: true}, buf: make([]byte, 64<<10)}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Do sends one request and waits for its complete answer. The end of ctx breaks
// the connection. After an error the Client is of no further use.
//
// Whatever the status is, an answer is not an error.
func (c *Client) Do(ctx context.Context, method, target string, body []byte) (Response, error) {
	r, err := c.Send(ctx, Request(method, target, c.host, body))
	if err != nil {
		return Response{}, fmt.Errorf("%s %s: %w", method, target, err)
	}
	return r, nil
}

// Send is Do for a request that has been rendered already.
func (c *Client) Send(ctx context.Context, request []byte) (Response, error) {
	stop := context.AfterFunc(ctx, func() {
		// A deadline in the past makes the blocked read or write return.
		_ = c.conn.SetDeadline(time.Unix(1, 0))
	})
	defer stop()
	r, err := c.exchange(request)
	if err != nil {
		return Response{}, errors.Join(ctx.Err(), err)
	}
	return r, nil
}

func (c *Client) exchange(request []byte) (Response, error) {
	if _, err := c.conn.Write(request); err != nil {
		return Response{}, err
	}
	for {
		r, n, done, err := c.parser.Feed(c.buf[c.start:c.end])
		c.start += n
		if err != nil || done {
			return r, err
		}
		n, err = c.conn.Read(c.buf)
		c.start, c.end = 0, n
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Response{}, err
		}
	}
}
