// Package tlsconf turns the tls blocks of the configuration into settings of
// crypto/tls that follow their files.
//
// It owns which certificates are shown and which are believed: reading and checking
// the files, looking at them again while the server runs, warning before something
// expires, and the rule by which one server knows another. It opens no listener and
// no connection, and makes no certificates (internal/certs does).
//
// # The way through it
//
// [Check] is for those who only want to know whether a configuration can be used;
// config.Load calls it. [Open] reads the files; [Keeper.HTTPS], [Keeper.Incoming]
// and [Keeper.Outgoing] are the settings of the listeners and dialers, each nil when
// there is no TLS there. [Keeper.Run] looks at the files, [Keeper.Reload] does so at
// once. What went wrong with a handshake is said by [Reason].
//
// # Invariants
//
// What comes out of HTTPS, Incoming and Outgoing is used for the life of the server:
// it asks for the current files at each handshake. A set of files is taken whole or
// not at all, so certificate and key always belong together. Nothing is resumed
// where a client's certificate counts: every connection is verified by the
// authorities of its time.
//
// # Who is a server
//
// With verify_server_hostname a server is who has a certificate, from the configured
// authorities, for server.<datacenter>.<domain>. The domain is "consul" unless the
// setting domain says otherwise, since the certificates that exist where Holdfast
// takes over are made out so. The rule counts in both directions: who connects must
// show such a certificate too, verify_incoming or not.
//
// # Why not
//
// Files are read in turn rather than watched by inotify: it works on every file
// system and with every way to replace a file, and costs a few reads per interval.
package tlsconf
