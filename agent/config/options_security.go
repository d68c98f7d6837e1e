package config

import (
	"time"
)

// Why these settings have no effect.
const (
	aclRemoteUnused = "every server has the tokens, policies and roles in its own state and looks up none elsewhere"
	oneDatacenter   = "there is one datacenter"
	ownWorkUnused   = "what the server does on its own behalf needs no right"
	httpsOutUnused  = "servers make no HTTPS requests"
)

func aclGroup() group {
	ttl := atLeast(0 * time.Second)
	secret := func(key, legacy, doc string, field func(*Config) any) Option {
		o := Option{Key: "acl.tokens." + key, Secret: true, noFlag: true, field: field, Doc: doc}
		if legacy != "" {
			o.Aliases = []string{legacy}
		}
		return o
	}
	management := secret("initial_management", "acl_master_token", "The token with all rights that a new cluster starts with.",
		func(c *Config) any { return &c.ACL.Tokens.InitialManagement })
	management.Aliases = append(management.Aliases, "acl.tokens.master")
	management.debug = "ACLInitialManagementToken"
	recovery := secret("agent_recovery", "acl_agent_master_token", "The token that works on this server alone, while there is no leader.",
		func(c *Config) any { return &c.ACL.Tokens.AgentRecovery })
	recovery.Aliases = append(recovery.Aliases, "acl.tokens.agent_master")
	recovery.Reloadable = true
	byDefault := secret("default", "acl_token", "The token of requests that bring none.",
		func(c *Config) any { return &c.ACL.Tokens.Default })
	byDefault.Reloadable = true
	agent := secret("agent", "acl_agent_token", "The token for what the server does on its own behalf.",
		func(c *Config) any { return &c.ACL.Tokens.Agent })
	agent.Unused = ownWorkUnused
	replication := secret("replication", "acl_replication_token", "The token that other datacenters are copied with.",
		func(c *Config) any { return &c.ACL.Tokens.Replication })
	replication.Unused = oneDatacenter
	return group{
		title: "Access control",
		intro: "Secrets have no flag, since the command line of a process can be read by others.",
		options: []Option{
			{
				Key: "acl.enabled", debug: "ACLsEnabled",
				field: func(c *Config) any { return &c.ACL.Enabled },
				Doc:   "Checks every request against the rights of its token.",
			},
			{
				Key: "acl.default_policy", Aliases: []string{"acl_default_policy"},
				field: func(c *Config) any { return &c.ACL.DefaultPolicy },
				rule:  oneOf("allow", "deny"),
				Doc:   "What holds where no rule says anything.",
			},
			{
				Key: "acl.down_policy", Aliases: []string{"acl_down_policy"}, Unused: aclRemoteUnused,
				field: func(c *Config) any { return &c.ACL.DownPolicy },
				rule:  oneOf("allow", "deny", "extend-cache", "async-cache"),
				Doc:   "What holds for tokens that cannot be looked up.",
			},
			{
				Key: "acl.enable_key_list_policy", Aliases: []string{"acl_enable_key_list_policy"},
				field: func(c *Config) any { return &c.ACL.EnableKeyListPolicy },
				Doc:   "Makes recursive reads of keys need the right `list`.",
			},
			{
				Key:   "acl.enable_token_persistence",
				field: func(c *Config) any { return &c.ACL.EnableTokenPersistence },
				Doc:   "Keeps tokens that are set over the API in the data dir.",
			},
			{
				Key: "acl.enable_token_replication", Aliases: []string{"enable_acl_replication"}, Unused: oneDatacenter,
				field: func(c *Config) any { return &c.ACL.EnableTokenReplication },
				Doc:   "Copies tokens from the primary datacenter.",
			},
			{
				Key: "acl.hide_existence", Reloadable: true,
				field: func(c *Config) any { return &c.ACL.HideExistence },
				Doc: "Makes a transaction leave out a key that its token may not read also when there is no such key. Without it the " +
					"transaction fails then, as existing clients expect, and so tells whether the key exists.",
			},
			{
				Key: "acl.token_in_query", Reloadable: true,
				field: func(c *Config) any { return &c.ACL.TokenInQuery },
				Doc: "Takes tokens as `?token=` in the URL, where proxies and browsers write them into their logs. Without it such " +
					"requests are refused.",
			},
			{
				Key:   "acl.secrets",
				field: func(c *Config) any { return &c.ACL.Secrets }, rule: oneOf(SecretsClear, SecretsHashed),
				Doc: "How the secrets of tokens are kept. With `clear` whoever has `acl = \"write\"` can read them back, as existing tools " +
					"expect. With `hashed` only a keyed hash is kept: a secret is shown once, when it is made, and is in no log, snapshot " +
					"or backup. The server that leads decides, so set it alike on all; a cluster that is switched to `hashed` drops " +
					"the secrets that it has.",
			},
			{
				Key: "acl.policy_ttl", Unused: aclRemoteUnused,
				field: func(c *Config) any { return &c.ACL.PolicyTTL }, rule: ttl,
				Doc: "How long a policy may be used before it is looked up again.",
			},
			{
				Key: "acl.role_ttl", Unused: aclRemoteUnused,
				field: func(c *Config) any { return &c.ACL.RoleTTL }, rule: ttl,
				Doc: "How long a role may be used before it is looked up again.",
			},
			{
				Key:   "acl.token_max_ttl",
				field: func(c *Config) any { return &c.ACL.TokenMaxTTL }, rule: ttl,
				Doc: "The longest life that a new token may have; it must have an end then. 0: any, and tokens without an end. " +
					"It does not bind tokens that are there already, nor those of a bootstrap and of logins.",
			},
			{
				Key: "acl.token_ttl", Aliases: []string{"acl_ttl"}, Unused: aclRemoteUnused,
				field: func(c *Config) any { return &c.ACL.TokenTTL }, rule: ttl,
				Doc: "How long a token may be used before it is looked up again.",
			},
			management,
			recovery,
			byDefault,
			agent,
			replication,
		},
	}
}

func tlsGroup() group {
	g := group{
		title: "TLS",
		intro: "`tls.https` and `tls.internal_rpc` take from `tls.defaults` what they do not set themselves. Certificates, keys and authorities " +
			"are read again when their files change, without a restart; see [TLS](tls.md).",
	}
	g.options = append(g.options, tlsOptions("tls.defaults", "", func(c *Config) *TLSListener { return &c.TLS.Defaults })...)
	g.options = append(g.options, tlsOptions("tls.https", "tls.defaults", func(c *Config) *TLSListener { return &c.TLS.HTTPS })...)
	g.options = append(g.options, tlsOptions("tls.internal_rpc", "tls.defaults", func(c *Config) *TLSListener { return &c.TLS.RPC })...)
	for i := range g.options {
		o := &g.options[i]
		switch o.Key {
		case "tls.https.verify_incoming":
			o.Aliases = []string{"verify_incoming_https"}
			o.Doc = "Takes HTTPS connections only from clients that show a certificate of the authorities. Plain HTTP is not bound by it: turn it off with a `ports.http` of -1."
		case "tls.https.verify_outgoing":
			o.Unused = httpsOutUnused
		case "tls.internal_rpc.verify_incoming":
			o.Aliases = []string{"verify_incoming_rpc"}
		}
	}
	g.options = append(g.options, Option{
		Key: "tls.internal_rpc.verify_server_hostname", Aliases: []string{"verify_server_hostname", "tls.defaults.verify_server_hostname"},
		field: func(c *Config) any { return &c.TLS.VerifyServerHostname },
		Doc: "Takes other servers only with a certificate for `server.<datacenter>.<domain>`, in both directions: a client's certificate does not do. " +
			"Connections to other servers are encrypted then, `verify_outgoing` or not, and other servers must show a certificate, `verify_incoming` or not.",
	}, Option{
		Key: "domain", debug: "DNSDomain", fold: foldDomain,
		field: func(c *Config) any { return &c.Domain },
		rule:  text("a domain name", checkDomain),
		Doc:   "The domain in the name that `verify_server_hostname` looks for. There is no DNS server, so it has no other use.",
	})
	return g
}

// tlsOptions are the rows of one listener. A block that takes from another one
// has no older names.
func tlsOptions(block, from string, of func(*Config) *TLSListener) []Option {
	rows := []Option{
		{
			Key:   "ca_file",
			field: func(c *Config) any { return &of(c).CAFile },
			Doc:   "The certificates, in PEM, that a certificate of the other side must come from.",
		},
		{
			Key:   "ca_path",
			field: func(c *Config) any { return &of(c).CAPath },
			Doc:   "A folder of such files.",
		},
		{
			Key:   "cert_file",
			field: func(c *Config) any { return &of(c).CertFile },
			Doc:   "The certificate of this server, in PEM. It is read again when it changes.",
		},
		{
			Key:   "key_file",
			field: func(c *Config) any { return &of(c).KeyFile },
			Doc:   "The private key that belongs to `cert_file`.",
		},
		{
			Key:   "tls_cipher_suites",
			field: func(c *Config) any { return &of(c).CipherSuites },
			rule:  each("names of cipher suites, as in Go's `crypto/tls`, that are not known to be insecure", checkCipherSuite),
			Doc:   "The cipher suites of TLS 1.2, by the names of Go's `crypto/tls`. Empty: Go's choice. TLS 1.3 has no choice.",
		},
		{
			Key: "tls_min_version", fold: foldTLSVersion,
			field: func(c *Config) any { return &of(c).MinVersion },
			rule:  oneOf("TLSv1_2", "TLSv1_3"),
			Doc:   "The oldest version that is accepted. Versions before 1.2 are insecure and refused.",
		},
		{
			Key:   "verify_incoming",
			field: func(c *Config) any { return &of(c).VerifyIncoming },
			Doc:   "Takes connections only from those who have a certificate.",
		},
		{
			Key:   "verify_outgoing",
			field: func(c *Config) any { return &of(c).VerifyOutgoing },
			Doc:   "Makes connections only to those who have a certificate.",
		},
	}
	for i := range rows {
		o := &rows[i]
		name := o.Key
		o.Key = block + "." + name
		if from == "" {
			o.Aliases = []string{name}
		} else {
			o.inherit = from + "." + name
		}
	}
	return rows
}
