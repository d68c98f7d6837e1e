package rawhttp

import "strconv"

// Request renders one request. target is the path with its query, already
// escaped; host is the Host header. A nil body sends no Content-Length, as for
// a GET; an empty one sends a Content-Length of 0.
//
// No other header is sent: what a server does for Accept-Encoding or a user
// agent is not part of what is compared.
func Request(method, target, host string, body []byte) []byte {
	return RequestAs("", method, target, host, body)
}

// RequestAs is Request with a token, "" for none.
func RequestAs(token, method, target, host string, body []byte) []byte {
	if token == "" {
		return RequestWith(nil, method, target, host, body)
	}
	return RequestWith([]Field{{"X-Consul-Token", token}}, method, target, host, body)
}

// RequestWith is Request with further headers.
func RequestWith(fields []Field, method, target, host string, body []byte) []byte {
	size := len(method) + len(target) + len(host) + len(body) + 96
	for _, f := range fields {
		size += len(f.Name) + len(f.Value) + 4
	}
	b := make([]byte, 0, size)
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	for _, f := range fields {
		b = append(b, "\r\n"...)
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
	}
	if body != nil {
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
	}
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}
