// Package netns gives each server of a test a network stack of its own, as if it were on
// a machine of its own: a network namespace of Linux with two interfaces, one for its
// peers and one for its clients. Taking the first away, or having it drop what comes from
// one peer, is done by the kernel: no byte passes through this process, so it shows what
// package faultnet, a proxy, could hide, as connections that break without a word, and
// lost packets rather than lost bytes.
//
// It needs root and the command ip; New says why it does not work. What a process that
// was killed has left behind the next New removes.
package netns
