// Package acl decides who may do what: tokens, policies, roles, auth methods and
// binding rules as replicated tables, the rule language, and the decisions.
//
// Three parts, each of which knows only those above it:
//
//   - rules: [Parse] reads the text of a policy, [NewAuthorizer] merges the rules of
//     everything that reaches a token, and an [Authorizer] answers and explains. Pure
//     functions of their arguments.
//   - tables: [Tx] changes them inside the state machine, [View] reads one state.
//   - resolution: a [Resolver] finds the [Identity] behind a secret in the state as it
//     is, and keeps what it found as long as the tables are the same.
//
// Source for all rules and texts: the ACL contract.
package acl
