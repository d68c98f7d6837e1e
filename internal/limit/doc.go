// Package limit names every bound that more than one package must agree on,
// with its default and its reason. A bound that a client can reach has a clear
// error; where an operator may change it, the configuration key is named.
package limit
