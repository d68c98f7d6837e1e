package contract

// exceptions are the cases that must fail, each with the reason. The list shrinks: a
// case on it that passes fails the test.
var exceptions = map[string]string{
	// What Holdfast changes on purpose, harmless to every known client.
	"conv-head-405":              "HEAD is answered like GET without its body",
	"conv-bad-query":             "a query string that cannot be decoded is 400 with a sentence, not an empty 500",
	"conv-write-no-index-header": "writes carry X-Consul-Index, so that a client can wait for its own write",
	"kv-value-too-large-chunked": "the size limit counts the bytes that arrive, chunked or not",
	"txn-trailing-garbage":       "bytes after the list of operations are refused: they are never what the client meant",
	"blk-never-prefix-spurious":  "a query is woken by nothing but a change of its own result",
	"ses-create-chunked-ignored": "a chunked body of a session create is read like any other",
	"ses-lockdelay-tiny-string":  "a lock-delay given with a unit is what it says",
	"lock-put-resets-lockindex":  "a plain put keeps the lock count, which is a fencing number",
}
