// Package rpcpb is the generated code of what servers ask each other.
package rpcpb
