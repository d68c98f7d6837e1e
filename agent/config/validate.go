package config

import (
	"errors"
	"fmt"
)

// Validate returns everything that is wrong with c, nil if nothing is. The
// error is of type [Faults]; its faults name the settings but no places. Load
// has called it already for what it returns.
func (c *Config) Validate() error {
	var faults Faults
	for _, f := range c.check() {
		faults = append(faults, Fault{Key: f.option.Key, Why: f.err.Error()})
	}
	return faults.orNil()
}

// finding is a fault before it is known where the value came from.
type finding struct {
	option  *Option
	others  []*Option // that have a part in it
	missing bool      // the setting is needed and not set
	err     error
}

// check applies the rules of the single settings and those between them.
func (c *Config) check() []finding {
	var out []finding
	for _, o := range options {
		if o.rule.check == nil {
			continue
		}
		if err := o.rule.check(o.value(c)); err != nil {
			out = append(out, finding{option: o, err: err})
		}
	}
	for _, r := range crossRules {
		if err := r.check(c); err != nil {
			f := finding{option: optionOf(r.keys[0]), missing: r.missing, err: err}
			for _, k := range r.keys[1:] {
				f.others = append(f.others, optionOf(k))
			}
			out = append(out, f)
		}
	}
	return append(out, c.checkPorts()...)
}

// crossRule is a rule between settings. The first key is the one that is named.
type crossRule struct {
	keys    []string
	missing bool
	check   func(*Config) error
}

// when returns an error with this text if bad.
func when(bad bool, text string) error {
	if bad {
		return errors.New(text)
	}
	return nil
}

var crossRules = []crossRule{
	{keys: []string{"server"}, check: func(c *Config) error {
		return when(!c.Server, "Holdfast has servers only: leave the key out, and point clients at a server")
	}},
	{keys: []string{"data_dir"}, missing: true, check: func(c *Config) error {
		return when(c.DataDir == "" && !c.Dev, "is needed: name a folder for the data, or try Holdfast in memory with -dev")
	}},
	{keys: []string{"node_name"}, missing: true, check: func(c *Config) error {
		return when(c.NodeName == "", "is empty")
	}},
	{keys: []string{"bootstrap", "bootstrap_expect"}, check: func(c *Config) error {
		return when(c.Bootstrap && c.BootstrapExpect > 1, "cannot be on together with bootstrap_expect: the one starts a cluster alone, the other waits for more servers")
	}},
	{keys: []string{"read_replica", "bootstrap"}, check: func(c *Config) error {
		return when(c.ReadReplica && c.Bootstrap, "cannot be on together with bootstrap: a server without a vote starts no cluster, it joins one")
	}},
	{keys: []string{"client_addr"}, check: func(c *Config) error {
		return when(len(c.ClientAddrs) == 0, "is empty: want at least one address")
	}},
	{keys: []string{"default_query_time", "max_query_time"}, check: func(c *Config) error {
		if c.DefaultQueryTime <= c.MaxQueryTime {
			return nil
		}
		return fmt.Errorf("%s is longer than max_query_time, %s", formatDuration(c.DefaultQueryTime), formatDuration(c.MaxQueryTime))
	}},
	{keys: []string{"audit.path"}, missing: true, check: func(c *Config) error {
		a := &c.Audit
		return when(a.Enabled && a.Sink == "file" && a.Path == "" && c.DataDir == "",
			"is needed for an audit log without a data dir: name a file, or set audit.sink to stdout")
	}},
	{keys: []string{"tls.defaults.cert_file", "tls.defaults.key_file"}, check: func(c *Config) error { return c.TLS.Defaults.checkPair() }},
	{keys: []string{"tls.https.cert_file", "tls.https.key_file"}, check: func(c *Config) error { return c.TLS.HTTPS.checkPair() }},
	{keys: []string{"tls.internal_rpc.cert_file", "tls.internal_rpc.key_file"}, check: func(c *Config) error { return c.TLS.RPC.checkPair() }},
}

func (t TLSListener) checkPair() error {
	return when((t.CertFile == "") != (t.KeyFile == ""), "certificate and key belong together: cert_file and key_file are both needed, or neither")
}

// checkPorts finds two listeners on one TCP port. It does not look at the
// addresses: nobody means to use one number for two things.
func (c *Config) checkPorts() []finding {
	taken := make(map[int]*Option)
	var out []finding
	for _, key := range []string{"ports.http", "ports.https", "ports.server", "ports.serf_lan"} {
		o := optionOf(key)
		port := o.value(c).(int)
		if port <= 0 {
			continue
		}
		if first := taken[port]; first != nil {
			out = append(out, finding{option: o, others: []*Option{first}, err: fmt.Errorf("%d is the port of %s already", port, first.Key)})
			continue
		}
		taken[port] = o
	}
	return out
}
