package config

import (
	"time"
)

const ms = time.Millisecond

func httpGroup() group {
	return group{
		title: "HTTP",
		options: []Option{
			{
				Key: "http_config.response_headers", Aliases: []string{"http_api_response_headers"}, debug: "HTTPResponseHeaders", Reloadable: true,
				field: func(c *Config) any { return &c.HTTP.ResponseHeaders },
				rule:  rule{"header names and values", checkHeaderNames},
				Doc:   "Headers that every answer has, errors included, such as `Access-Control-Allow-Origin`.",
			},
			{
				Key: "http_config.block_endpoints", debug: "HTTPBlockEndpoints", Reloadable: true,
				field: func(c *Config) any { return &c.HTTP.BlockEndpoints },
				rule:  each("paths that begin with a slash", checkEndpointPrefix),
				Doc:   "Path prefixes, such as `/v1/snapshot`, that are answered with 403.",
			},
			{
				Key: "http_config.allow_write_http_from", Flag: "allow-write-http-from", debug: "AllowWriteHTTPFrom", Reloadable: true,
				field: func(c *Config) any { return &c.HTTP.AllowWriteFrom },
				Doc: "The networks that requests other than reads may come from, judged by the address of the connection; others are answered " +
					"with 403. Empty: every network.",
			},
			{
				Key: "http_config.max_header_bytes", debug: "HTTPMaxHeaderBytes",
				field: func(c *Config) any { return &c.HTTP.MaxHeaderBytes },
				rule:  between(4*KiB, 16*MiB),
				Doc:   "The largest request line and headers together, and so the longest key. A longer request is answered with 431.",
			},
			{
				Key: "http_config.server", debug: "HTTPServer",
				field: func(c *Config) any { return &c.HTTP.Server },
				rule:  oneOf(ServerHTTP1, ServerNetHTTP),
				Doc: "Who reads requests. `http1` is a reader of the server's own, with which a blocking query that waits takes no " +
					"goroutine and little memory; it is there on Linux and for HTTP/1.1, and leaves what is unusual to `net/http`. " +
					"`net/http` is Go's own library for everything. Clients see no difference.",
			},
			{
				Key: "default_query_time", Reloadable: true,
				field: func(c *Config) any { return &c.DefaultQueryTime },
				rule:  atLeast(1 * ms),
				Doc:   "How long a blocking query waits that does not say.",
			},
			{
				Key: "max_query_time", Reloadable: true,
				field: func(c *Config) any { return &c.MaxQueryTime },
				rule:  atLeast(1 * ms),
				Doc:   "The longest that a blocking query waits; what asks for more gets this much.",
			},
			{
				Key:   "performance.rpc_hold_timeout",
				field: func(c *Config) any { return &c.RPCHoldTimeout },
				rule:  between(0, 10*time.Minute),
				Doc: "How long a request is held while there is no leader, or while this server has not caught up, before it is " +
					"answered with 500.",
			},
			{
				Key: "allow_nonprintable_paths", Aliases: []string{"disable_http_unprintable_char_filter"}, Reloadable: true,
				debug: "DisableHTTPUnprintableCharFilter",
				field: func(c *Config) any { return &c.AllowNonprintablePaths },
				Doc: "Lets an escaped control character in a path through, such as `%0A`. Without it such a request is answered with " +
					"400, and keys that hold one can be reached by transactions only.",
			},
			{
				Key: "disable_root_recursive_delete", Reloadable: true,
				field: func(c *Config) any { return &c.DisableRootRecursiveDelete },
				Doc:   "Refuses `DELETE /v1/kv/?recurse`, which empties the whole store.",
			},
		},
	}
}

func limitGroup() group {
	rate := rule{"-1 for no limit, or at least 0", func(v any) error {
		if v.(float64) < 0 && v.(float64) != -1 {
			return rangeError(v, "-1 for no limit, or at least 0")
		}
		return nil
	}}
	return group{
		title: "Limits",
		intro: "What clients may cost. Each limit has a clear answer of its own.",
		options: []Option{
			{
				Key: "limits.http_max_conns_per_client", Reloadable: true,
				field: func(c *Config) any { return &c.Limits.HTTPMaxConnsPerClient },
				rule:  atLeast(-1),
				Doc: "How many connections one client address may have open; one more is answered with 429 and closed. 0 and -1: no limit. " +
					"Every blocking query holds a connection.",
			},
			{
				Key: "limits.parked_queries_per_client", Reloadable: true,
				field: func(c *Config) any { return &c.Limits.ParkedPerClient },
				rule:  atLeast(-1),
				Doc: "How many blocking queries of one client address may wait at a time; one more is answered with 429. 0 and -1: no limit. " +
					"Raise `limits.http_max_conns_per_client` with it.",
			},
			{
				Key: "limits.parked_queries_total", Reloadable: true,
				field: func(c *Config) any { return &c.Limits.ParkedTotal },
				rule:  atLeast(-1),
				Doc: "How many blocking queries may wait altogether; one more is answered with 429. 0 and -1: no limit. The default stays " +
					"below the 65,536 open files that services are usually given, so that clients hear a clear answer before the system " +
					"refuses their connections.",
			},
			{
				Key: "limits.auth_failures_per_client", Reloadable: true,
				field: func(c *Config) any { return &c.Limits.AuthFailuresPerClient },
				rule:  atLeast(-1),
				Doc: "How many requests with unknown tokens, and logins that fail, one client address may make at once; one more is answered " +
					"with 429 and `Retry-After`. Good tokens and good logins from there are not held up. Of IPv6 the first 64 bits are one " +
					"address. 0 and -1: no limit.",
			},
			{
				Key: "limits.auth_failures_time", Reloadable: true,
				field: func(c *Config) any { return &c.Limits.AuthFailuresTime },
				rule:  between(100*ms, 24*time.Hour),
				Doc:   "How long it takes until as many may fail again as `limits.auth_failures_per_client` says; they come back at an even pace.",
			},
			{
				Key: "limits.kv_max_value_size", Aliases: []string{"kv_max_value_size"}, Reloadable: true,
				field: func(c *Config) any { return &c.Limits.KVMaxValueSize },
				rule:  between[Bytes](1, 32*MiB),
				Doc: "The largest value of a key; a larger one is answered with 413. Large values hold up everything behind them in the log, " +
					"heartbeats included.",
			},
			{
				Key: "limits.txn_max_req_len", Aliases: []string{"txn_max_req_len"}, Reloadable: true,
				field: func(c *Config) any { return &c.Limits.TxnMaxReqLen },
				rule:  between[Bytes](1, 32*MiB),
				Doc: "The largest body of a transaction, as sent; a larger one is answered with 413. Where `limits.kv_max_value_size` " +
					"is larger, that counts.",
			},
			{
				Key: "limits.txn_max_ops", Reloadable: true,
				field: func(c *Config) any { return &c.Limits.TxnMaxOps },
				rule:  between(1, 65_536),
				Doc:   "How many operations a transaction may have; one more is answered with 413.",
			},
			{
				Key:   "limits.read_header_timeout",
				field: func(c *Config) any { return &c.Limits.ReadHeaderTimeout },
				rule:  atLeast(100 * ms),
				Doc:   "How long the headers of a request may take to arrive.",
			},
			{
				Key:   "limits.body_read_timeout",
				field: func(c *Config) any { return &c.Limits.BodyReadTimeout },
				rule:  atLeast(100 * ms),
				Doc:   "How long the server waits for the next bytes of a request's body.",
			},
			{
				Key:   "limits.idle_timeout",
				field: func(c *Config) any { return &c.Limits.IdleTimeout },
				rule:  atLeast(time.Second),
				Doc: "How long a connection is kept that has no request. Keep it longer than clients keep theirs (90 seconds in many), so " +
					"that it is the client who closes.",
			},
			{
				Key:   "limits.https_handshake_timeout",
				field: func(c *Config) any { return &c.Limits.HTTPSHandshakeTimeout },
				rule:  atLeast(100 * ms),
				Doc:   "How long the TLS handshake of a client may take.",
			},
			{
				Key:   "limits.rpc_handshake_timeout",
				field: func(c *Config) any { return &c.Limits.RPCHandshakeTimeout },
				rule:  atLeast(100 * ms),
				Doc:   "How long another server may take to open a connection, TLS handshake included.",
			},
			{
				Key:   "limits.rpc_max_conns_per_client",
				field: func(c *Config) any { return &c.Limits.RPCMaxConnsPerClient },
				rule:  atLeast(-1),
				Doc:   "How many connections to the server port one address may have open. 0 and -1: no limit.",
			},
			{
				Key: "limits.request_limits.mode", debug: "RequestLimitsMode", Unused: rateUnused,
				field: func(c *Config) any { return &c.Limits.RequestMode },
				rule:  oneOf("disabled", "permissive", "enforcing"),
				Doc:   "Whether the request rates are ignored, only logged when exceeded, or enforced.",
			},
			{
				Key: "limits.request_limits.read_rate", debug: "RequestLimitsReadRate", Unused: rateUnused,
				field: func(c *Config) any { return &c.Limits.RequestReadRate }, rule: rate,
				Doc: "Read requests a second that this server answers; -1: no limit.",
			},
			{
				Key: "limits.request_limits.write_rate", debug: "RequestLimitsWriteRate", Unused: rateUnused,
				field: func(c *Config) any { return &c.Limits.RequestWriteRate }, rule: rate,
				Doc: "Write requests a second that this server takes as the leader; -1: no limit.",
			},
		},
	}
}

const rateUnused = "request rates are not limited yet"
