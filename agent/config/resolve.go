package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	sockaddr "github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/go-sockaddr/template"
)

// resolve works out what no source says in so many words: templates, what one
// setting takes from another, and what the host is called.
func (l *loader) resolve() {
	c := l.cfg
	l.templates()
	for _, o := range options {
		if o.inherit != "" && len(l.origins[o]) == 0 {
			l.inherit(o, optionOf(o.inherit))
		}
	}
	if c.Dev && c.DataDir != "" {
		c.DataDir = ""
		l.derive("data_dir", "-dev keeps everything in memory")
		l.notes = append(l.notes, "-dev keeps everything in memory: data_dir is not used")
	}
	l.bootstrap()
	if waits := optionOf("default_query_time"); len(l.origins[waits]) == 0 && c.DefaultQueryTime > c.MaxQueryTime {
		c.DefaultQueryTime = c.MaxQueryTime
		l.derive(waits.Key, "from max_query_time")
	}
	if c.NodeName == "" {
		l.hostName()
	}
	if c.AdvertiseAddr == "" {
		c.AdvertiseAddr = reachableAddr(c.BindAddr)
		l.follows[optionOf("advertise_addr")] = true
		l.derive("advertise_addr", "worked out from bind_addr and the host's addresses")
	}
}

// derive notes that Load filled in an option.
func (l *loader) derive(key, how string) {
	l.origins[optionOf(key)] = []origin{{name: how}}
}

// inherit copies the value of from to o; both have the same type.
func (l *loader) inherit(o, from *Option) {
	switch to := o.field(l.cfg).(type) {
	case *string:
		*to = *from.field(l.cfg).(*string)
	case *bool:
		*to = *from.field(l.cfg).(*bool)
	case *[]string:
		*to = slices.Clone(*from.field(l.cfg).(*[]string))
	default:
		panic(fmt.Sprintf("config: option %s inherits a field of type %T, which resolve.go cannot copy", o.Key, to))
	}
	if o.format(l.cfg) != o.format(Default()) {
		l.origins[o] = []origin{{name: "from " + from.Key}}
	}
	l.follows[o] = true
}

// bootstrap makes the two settings agree. A server that was told of no other
// one starts a cluster by itself, so that one flag, -data-dir, is enough; a read
// replica does not.
func (l *loader) bootstrap() {
	c := l.cfg
	from := l.origins[optionOf("bootstrap")]
	explicit := len(from) > 0 && from[0].kind != ""
	switch {
	case explicit:
	case c.BootstrapExpect > 0:
		c.Bootstrap = c.BootstrapExpect == 1
		l.derive("bootstrap", "from bootstrap_expect")
	case c.Dev:
	case c.ReadReplica: // has no vote to start one with
	case len(c.Join.Start) == 0 && len(c.Join.Retry) == 0 && !l.bad[optionOf("bootstrap_expect")]:
		c.Bootstrap = true
		l.derive("bootstrap", "no other server is named")
	}
}

// hostName gives the server the name of its host.
func (l *loader) hostName() {
	o := optionOf("node_name")
	if l.bad[o] {
		return
	}
	name, err := l.src.Hostname()
	if err == nil && name == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		l.fault(o, origin{}, o.Key, fmt.Errorf("is not set, and the host name cannot be used: %w", err))
		return
	}
	l.cfg.NodeName = name
	l.derive(o.Key, "the host name")
}

// templates puts addresses in the place of templates.
func (l *loader) templates() {
	c := l.cfg
	for _, one := range []struct {
		key  string
		addr *string
	}{{"bind_addr", &c.BindAddr}, {"advertise_addr", &c.AdvertiseAddr}, {"serf_lan", &c.Gossip.SerfLANBind}} {
		words, ok := l.addresses(one.key, []string{*one.addr})
		switch {
		case !ok:
		case len(words) > 1:
			l.faultAt(one.key, fmt.Errorf("%s gives several addresses (%s): want one", quoteShort(*one.addr), strings.Join(words, " ")))
		default:
			*one.addr = words[0]
		}
	}
	for _, many := range []struct {
		key   string
		addrs *[]string
	}{{"client_addr", &c.ClientAddrs}, {"addresses.http", &c.Addresses.HTTP}, {"addresses.https", &c.Addresses.HTTPS}} {
		if words, ok := l.addresses(many.key, *many.addrs); ok {
			*many.addrs = words
		}
	}
}

// addresses works out the templates in words; without any it returns words.
func (l *loader) addresses(key string, words []string) ([]string, bool) {
	if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "{{") }) {
		return words, true
	}
	var out []string
	for _, w := range words {
		text, err := template.Parse(w)
		if err == nil && strings.TrimSpace(text) == "" {
			err = errors.New("it gives no address on this host")
		}
		if err != nil {
			l.faultAt(key, fmt.Errorf("template %s: %w", quoteShort(w), err))
			return nil, false
		}
		out = append(out, strings.Fields(text)...)
	}
	return out, true
}

// faultAt notes a fault where the option was set last.
func (l *loader) faultAt(key string, err error) {
	o := optionOf(key)
	at := origin{}
	if from := l.origins[o]; len(from) > 0 {
		at = from[len(from)-1]
	}
	l.fault(o, at, key, err)
}

// reachableAddr is the address that others can reach a server by that listens
// on bind. It never fails: a host without a network is its own.
func reachableAddr(bind string) string {
	addr, err := netip.ParseAddr(bind)
	if err != nil || !addr.IsUnspecified() {
		return bind
	}
	// Not knowing the default route, as in some containers, is an error to the
	// library and no reason for us not to start.
	for _, find := range []func() (sockaddr.IfAddrs, error){sockaddr.GetPrivateInterfaces, sockaddr.GetPublicInterfaces} {
		found, err := find()
		if err != nil {
			continue
		}
		for _, f := range found {
			ip := sockaddr.ToIPAddr(f.SockAddr)
			if ip == nil {
				continue
			}
			// Who listens on 0.0.0.0 does not hear IPv6; [::] hears both.
			if host, err := netip.ParseAddr((*ip).NetIP().String()); err == nil && (host.Is4() || !addr.Is4()) {
				return host.String()
			}
		}
	}
	return "127.0.0.1"
}
