// Package gossip tells the servers of a cluster who is there. It wraps Serf: members,
// their tags, how they are, and the keys that the gossip is encrypted with.
//
// What it says is a rumour. Nothing that must not be lost or decided twice may stand
// on it alone; package agent asks Raft too before it takes a vote from anybody.
package gossip
