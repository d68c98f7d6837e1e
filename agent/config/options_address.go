package config

// templateDoc is the sentence about templates under every address.
const templateDoc = " May be a go-sockaddr template such as `{{ GetPrivateIP }}`."

// socketUnused is why the settings about socket files have no effect.
const socketUnused = "socket files get the permissions that the umask leaves"

func addressGroup() group {
	port := between(-1, 65535)
	return group{
		title: "Addresses and ports",
		intro: "A port of -1 is off; 0 lets the system choose a free one, which the log names at the start.",
		options: []Option{
			{
				Key: "bind_addr", Flag: "bind", Common: true,
				field: func(c *Config) any { return &c.BindAddr },
				rule:  rule{"an IP address", func(v any) error { return checkIP(v.(string)) }},
				Doc:   "The address that other servers reach this one on." + templateDoc,
			},
			{
				Key: "advertise_addr", Flag: "advertise", Common: true, debug: "AdvertiseAddrLAN",
				derived: "`bind_addr` or, if that means every address, the first private address of the host, else its first public one, else 127.0.0.1",
				field:   func(c *Config) any { return &c.AdvertiseAddr },
				rule:    text("an IP address that does not mean every address", checkReachableIP),
				Doc:     "The address that others are told to reach this server by." + templateDoc,
			},
			{
				Key: "client_addr", Flag: "client", Common: true, words: true, debug: "ClientAddrs",
				field: func(c *Config) any { return &c.ClientAddrs },
				rule:  each("IP addresses or `unix:///path`, separated by spaces", checkListenAddr),
				Doc:   "Where clients are served; several addresses are separated by spaces." + templateDoc,
			},
			{
				Key: "addresses.http", words: true, debug: "HTTPAddresses", derived: "`client_addr`",
				field: func(c *Config) any { return &c.Addresses.HTTP },
				rule:  each("IP addresses or `unix:///path`, separated by spaces", checkListenAddr),
				Doc:   "Where HTTP is served, instead of at `client_addr`." + templateDoc,
			},
			{
				Key: "addresses.https", words: true, debug: "HTTPSAddresses", derived: "`client_addr`",
				field: func(c *Config) any { return &c.Addresses.HTTPS },
				rule:  each("IP addresses or `unix:///path`, separated by spaces", checkListenAddr),
				Doc:   "Where HTTPS is served, instead of at `client_addr`, of which it takes the IP addresses." + templateDoc,
			},
			{
				Key: "ports.http", Flag: "http-port", Common: true, debug: "HTTPPort",
				field: func(c *Config) any { return &c.Ports.HTTP }, rule: port,
				Doc: "The port of the HTTP API.",
			},
			{
				Key: "ports.https", Flag: "https-port", debug: "HTTPSPort",
				field: func(c *Config) any { return &c.Ports.HTTPS }, rule: port,
				Doc: "The port of the HTTP API with TLS. It needs a certificate: `tls.https.cert_file` and `key_file`, or those of `tls.defaults`.",
			},
			{
				Key: "ports.server", Flag: "server-port", Common: true, debug: "ServerPort",
				field: func(c *Config) any { return &c.Ports.Server }, rule: between(0, 65535),
				Doc: "The port for traffic between servers. It is part of this server's address in its cluster and cannot be off.",
			},
			{
				Key: "ports.serf_lan", Flag: "serf-lan-port", debug: "SerfPortLAN",
				field: func(c *Config) any { return &c.Ports.SerfLAN }, rule: port,
				Doc: "The port, TCP and UDP, of the gossip between the servers of a datacenter.",
			},
			{
				Key: "unix_sockets.mode", Unused: socketUnused,
				field: func(c *Config) any { return &c.UnixSockets.Mode }, debug: "UnixSocketMode",
				rule: text(`octal digits such as "0660"`, checkOctal),
				Doc:  "The permissions of the socket files of `unix://` addresses.",
			},
			{
				Key: "unix_sockets.user", Unused: socketUnused,
				field: func(c *Config) any { return &c.UnixSockets.User }, debug: "UnixSocketUser",
				rule: text("a numeric user id", checkDecimalID),
				Doc:  "The owner of the socket files.",
			},
			{
				Key: "unix_sockets.group", Unused: socketUnused,
				field: func(c *Config) any { return &c.UnixSockets.Group }, debug: "UnixSocketGroup",
				rule: text("a numeric group id", checkDecimalID),
				Doc:  "The group of the socket files.",
			},
		},
	}
}
