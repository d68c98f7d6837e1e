package agent

import (
	"maps"
	"net"
	"strconv"

	"github.com/hashicorp/raft"

	"github.com/holdfast-kv/holdfast/agent/gossip"
	"github.com/holdfast-kv/holdfast/fsm"
	"github.com/holdfast-kv/holdfast/httpapi"
	"github.com/holdfast-kv/holdfast/internal/version"
)

// Versions of the gossip protocol that existing tools expect to read.
//
// Source: contract, agent, worked example 3.
const (
	protocolMin, protocolCur, protocolMax = 1, 2, 5
	delegateMin, delegateCur, delegateMax = 2, 4, 5
)

// Members are the servers that this one knows, itself among them. wan gives the names
// that they have across datacenters.
func (a *Agent) Members(wan bool) []httpapi.Member {
	list := []httpapi.Member{}
	if a.gossip == nil {
		list = append(list, a.member())
	} else {
		for _, m := range a.gossip.Members() {
			list = append(list, httpapi.Member{
				Name: m.Name, Addr: m.Addr, Port: m.Port, Tags: m.Tags, Status: int(m.Status),
				ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
				DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
			})
		}
	}
	if wan {
		for i := range list {
			list[i].Name += "." + a.config().Datacenter
		}
	}
	return list
}

// tagACLs is the tag that says whether a server checks rights: 1 or 0.
const tagACLs = "acls"

// tags are what this server says of itself.
//
// Source: contract, agent, section 2.
func (a *Agent) tags() map[string]string {
	cfg := a.config()
	tags := map[string]string{
		tagACLs: "0", "build": version.Version + ":", gossip.TagDatacenter: cfg.Datacenter, gossip.TagID: a.nodeID,
		gossip.TagPort: strconv.Itoa(a.portOfServer()), "raft_vsn": strconv.Itoa(int(raft.ProtocolVersionMax)),
		gossip.TagRole: gossip.RoleServer, "segment": "",
		"vsn": strconv.Itoa(protocolCur), "vsn_min": strconv.Itoa(protocolMin), "vsn_max": strconv.Itoa(protocolMax),
		gossip.TagEntries: strconv.Itoa(fsm.EntryVersion),
	}
	if cfg.ACL.Enabled {
		tags[tagACLs] = "1"
	}
	if cfg.ReadReplica {
		tags[gossip.TagReplica] = "1"
	}
	switch {
	case cfg.BootstrapExpect > 0:
		tags[gossip.TagExpect] = strconv.Itoa(cfg.BootstrapExpect)
	case cfg.Bootstrap:
		tags["bootstrap"] = "1"
	}
	return tags
}

// member is this server as a member.
func (a *Agent) member() httpapi.Member {
	cfg := a.config()
	if a.gossip != nil {
		for _, m := range a.Members(false) {
			if m.Name == cfg.NodeName {
				return m
			}
		}
	}
	return httpapi.Member{
		Name: cfg.NodeName, Addr: cfg.AdvertiseAddr, Port: uint16(max(cfg.Ports.SerfLAN, 0)), Tags: a.tags(), Status: httpapi.MemberAlive,
		ProtocolMin: protocolMin, ProtocolMax: protocolMax, ProtocolCur: protocolCur,
		DelegateMin: delegateMin, DelegateMax: delegateMax, DelegateCur: delegateCur,
	}
}

// CatalogNode is this server as it stands in the catalog.
//
// Source: contract, catalog, the paragraph on what every server registers.
func (a *Agent) CatalogNode() httpapi.CatalogNode {
	cfg := a.config()
	addresses := map[string]string{"lan": cfg.AdvertiseAddr, "wan": cfg.AdvertiseAddr}
	if ip := net.ParseIP(cfg.AdvertiseAddr); ip != nil {
		kind := "_ipv6"
		if ip.To4() != nil {
			kind = "_ipv4"
		}
		addresses["lan"+kind], addresses["wan"+kind] = cfg.AdvertiseAddr, cfg.AdvertiseAddr
	}
	meta := a.meta()
	meta["consul-version"] = version.Version
	return httpapi.CatalogNode{
		ID: a.nodeID, Node: cfg.NodeName, Address: cfg.AdvertiseAddr, Datacenter: cfg.Datacenter,
		TaggedAddresses: addresses, Meta: meta,
	}
}

// meta is the metadata of this node: the operator's, and what clients look for.
func (a *Agent) meta() map[string]string {
	meta := map[string]string{"consul-network-segment": ""}
	maps.Copy(meta, a.config().NodeMeta)
	return meta
}
