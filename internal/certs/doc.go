// Package certs makes certificates: an authority of one's own, and what it issues
// to servers and their clients.
//
// It owns what stands in such certificates: ECDSA keys on P-256, random serial
// numbers, the uses that are allowed. It reads no files, no clock and no
// configuration, and does not know who asks; names and times are arguments.
//
// The way through it: [NewAuthority] or [ReadAuthority], then [Authority.Issue].
//
// Why not a library: what is needed is x509.CreateCertificate and a template, and a
// certificate's content is easier judged in one file of our own.
package certs
