package config

import (
	"net/netip"
	"strings"
	"time"
)

// hidden stands where a secret would.
const hidden = "hidden"

// Setting is one option with its value and where that came from. Secrets are
// hidden.
type Setting struct {
	Name       string `json:"name"`
	Value      string `json:"value"`
	Source     string `json:"source"` // "file a.hcl:12", "flag -http-port", "env HOLDFAST_…", "default", or a reason
	Default    string `json:"default"`
	Reloadable bool   `json:"reloadable"`
	Unused     string `json:"unused,omitempty"` // why it has no effect yet; empty if it has
}

// settings tells the story of each option.
func (l *loader) settings() []Setting {
	def := Default()
	out := make([]Setting, 0, len(options))
	for _, o := range options {
		s := Setting{
			Name: o.Key, Value: o.shown(l.cfg), Default: o.shown(def), Source: "default",
			Reloadable: o.Reloadable, Unused: o.Unused,
		}
		var from []string
		for _, at := range l.origins[o] {
			from = append(from, at.source())
		}
		if len(from) > 0 {
			s.Source = strings.Join(from, ", ")
		}
		out = append(out, s)
	}
	return out
}

// shown is the value as text, or hidden if it is a secret that is set.
func (o *Option) shown(c *Config) string {
	text := o.format(c)
	if o.Secret && text != "" {
		return hidden
	}
	return text
}

// Change is one option that differs between two configurations. Of a secret it
// says only that it differs.
type Change struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// Diff compares what runs with what was just loaded: changed is what a reload
// puts into force, all of it or none; needRestart is what differs and stays as
// it is until a restart. Both are in the order of the page, and nil if empty.
func Diff(old, new *Config) (changed, needRestart []Change) {
	for _, o := range options {
		if o.format(old) == o.format(new) {
			continue
		}
		c := Change{Name: o.Key, Old: o.shown(old), New: o.shown(new)}
		if o.Reloadable {
			changed = append(changed, c)
		} else {
			needRestart = append(needRestart, c)
		}
	}
	return changed, needRestart
}

// DebugConfig returns every setting for /v1/agent/self: names in upper camel
// case, those of Consul where it has the setting, durations as text, sizes in
// bytes, secrets hidden whether they are set or not. The map is the caller's.
//
// Source: contract, agent, "DebugConfig".
func (c *Config) DebugConfig() map[string]any {
	out := make(map[string]any, len(options))
	for _, o := range options {
		if o.Secret {
			out[o.debugName()] = hidden
			continue
		}
		out[o.debugName()] = debugValue(o.value(c))
	}
	return out
}

// debugValue is v as it stands in JSON; lists and maps are never null.
func debugValue(v any) any {
	switch v := v.(type) {
	case time.Duration:
		return v.String()
	case Bytes:
		return int64(v)
	case []string:
		return append([]string{}, v...)
	case []netip.Prefix:
		words := make([]string, len(v))
		for i, n := range v {
			words[i] = n.String()
		}
		return words
	case map[string]string:
		pairs := make(map[string]string, len(v))
		for k, w := range v {
			pairs[k] = w
		}
		return pairs
	}
	return v
}

// initialisms are the words that are all capitals in a debug name.
var initialisms = map[string]string{
	"acl": "ACL", "ca": "CA", "cidrs": "CIDRs", "http": "HTTP", "https": "HTTPS", "id": "ID", "json": "JSON", "kv": "KV", "lan": "LAN",
	"rpc": "RPC", "tls": "TLS", "ttl": "TTL",
}

// debugName is the name in DebugConfig. Consul leaves out the names of these
// two blocks.
func (o *Option) debugName() string {
	if o.debug != "" {
		return o.debug
	}
	key := strings.TrimPrefix(strings.TrimPrefix(o.Key, "limits."), "performance.")
	var b strings.Builder
	for w := range strings.FieldsFuncSeq(key, func(r rune) bool { return r == '.' || r == '_' }) {
		if caps, ok := initialisms[w]; ok {
			b.WriteString(caps)
			continue
		}
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}
