// Package login turns somebody else's credential into rights: a signed token of an
// identity provider, or a certificate that a client has shown.
//
// A method says which credentials count; its configuration is one JSON object, which
// [Normalize] checks. [Methods] looks at a credential and returns the [Subject] behind
// it: values and lists that the method's binding rules may speak of. [Bind] asks the
// rules what the subject gets. [CheckRule] refuses rules that could not work.
//
// # Invariants
//
//   - Only asymmetric signatures count, and only by keys that the method names.
//   - Requests go to URLs in the configuration of a method and to where its provider
//     says its keys are, nowhere else; they are bounded in time, size and number.
//   - Nothing here is part of applying the log: what comes of a login is put into it.
//
// # Why not
//
// The verifier of the OIDC library that others use asks the provider when a method is
// made and whenever a token names a key that is not known. Here a method can be written
// while its provider is away, and a client cannot make the server ask at will.
package login
