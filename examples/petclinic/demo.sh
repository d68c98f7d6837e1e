#!/usr/bin/env bash
# A real configuration tree in Holdfast: imported, watched, changed by two people at
# once and rolled back. Prints each command and its answer, and fails if an answer is
# not what the text around it says. Needs curl and holdfast, nothing else.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
holdfast=$(command -v "${HOLDFAST_BIN:-$here/../../bin/holdfast}" || command -v holdfast) ||
	{ echo 'no holdfast found; run "make build" first' >&2; exit 1; }
holdfast=$(realpath "$holdfast")

work=$(mktemp -d)
cp -r "$here/config" "$work"
cd "$work"
server=
query=
cleanup() {
	for pid in $query $server; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	cd / && rm -rf "$work"
}
trap cleanup EXIT

say() { printf '\n%s\n' "$*"; }

# show prints a command as one would type it, and runs it.
show() {
	local word line='$'
	for word in "${@/#"$holdfast"/holdfast}"; do
		[[ $word == *[!a-zA-Z0-9@%+=:,./_-]* ]] && word="'$word'"
		line+=" $word"
	done
	echo "$line"
	"$@"
}

fail() {
	printf '\nnot as it should be: %s\n' "$*" >&2
	sed 's/^/server: /' server.log >&2
	exit 1
}

# free_port prints a port that nobody listens on, below those for outgoing connections.
free_port() {
	local port
	while :; do
		port=$((10000 + RANDOM % 20000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
}

# start_server starts a server and waits until it answers. The ports are free when they
# are chosen; if somebody was faster and the server ends at once, others are tried.
start_server() {
	for _ in 1 2 3; do
		http=$(free_port)
		"$holdfast" agent -server -bootstrap -data-dir data -bind 127.0.0.1 \
			-http-port "$http" -server-port "$(free_port)" -serf-lan-port -1 \
			>server.log 2>&1 &
		server=$!
		for _ in {1..600}; do
			curl -fs "http://127.0.0.1:$http/v1/kv/?keys&consistent" >ready && return
			kill -0 "$server" 2>/dev/null || break
			sleep 0.1
		done
		kill -0 "$server" 2>/dev/null && fail "the server is not ready after a minute"
		wait "$server" || true
		rm -rf data
	done
	fail "the server does not start"
}

start_server
export HOLDFAST_HTTP_ADDR=127.0.0.1:$http
kv=http://127.0.0.1:$http/v1/kv
say "A server runs on http://127.0.0.1:$http, its data is in a temporary folder."

say "1. The tree goes in: one key per file."
show "$holdfast" kv import -prefix petclinic/ config
keys=$(curl -fsS "$kv/petclinic/?keys")
files=$(cd config && find . -type f | wc -l)
[[ $(grep -o '"petclinic/' <<<"$keys" | wc -l) -eq $files ]] || fail "there should be $files keys: $keys"

say "   Any client of Consul's API can read it."
show curl -sS "$kv/petclinic/discovery-server.yml?raw"
curl -fsS "$kv/petclinic/discovery-server.yml?raw" | cmp - config/discovery-server.yml || fail "the value differs from the file"

say "2. A service waits for its file to change. It asks with the index that it knows:"
before=$(curl -fsSI "$kv/petclinic/vets-service.yml" | tr -d '\r' | awk 'tolower($1) == "x-consul-index:" { print $2 }')
echo "\$ curl '$kv/petclinic/vets-service.yml?raw&index=$before&wait=60s' &"
curl -fsS "$kv/petclinic/vets-service.yml?raw&index=$before&wait=60s" >woken &
query=$!

say "   Somebody changes another file, and adds one. Nothing comes back:"
show "$holdfast" kv put petclinic/tracing-server.yml "# empty for now"
show "$holdfast" kv put petclinic/new-service.yml "@config/visits-service.yml"
kill -0 "$query" 2>/dev/null || fail "the query was answered by a change to another file"

say "   Then the file itself:"
{ sed 's/ttl: *[0-9]*/ttl: 120/' config/vets-service.yml && echo "# vets change rarely"; } >vets.yml
SECONDS=0
show "$holdfast" kv put petclinic/vets-service.yml "@vets.yml"
wait "$query" || fail "the query ended with code $?"
query=
((SECONDS < 30)) || fail "the query was not woken by the change"
cmp woken vets.yml || fail "the query answered something else"
say "   ... and the query is answered, with the new content:"
diff config/vets-service.yml woken || true

say "3. Two people have the same version of a file in their editors."
version=$(curl -fsS "$kv/petclinic/application.yml" | sed 's/.*"ModifyIndex": *\([0-9]*\).*/\1/')
echo "   Both read it at index $version."
say "   Ann saves first:"
show "$holdfast" kv put -cas -modify-index="$version" petclinic/application.yml "server.port: 8080 # Ann"
say "   Bob saves what he has, and is told that he has lost the race; Ann's change stays:"
code=0
show "$holdfast" kv put -cas -modify-index="$version" petclinic/application.yml "server.port: 9090 # Bob" || code=$?
echo "   (exit code $code)"
((code == 5)) || fail "exit code $code, want 5: lost the race"
show curl -sS "$kv/petclinic/application.yml?raw"
echo
[[ $(curl -fsS "$kv/petclinic/application.yml?raw") == *Ann ]] || fail "Ann's change is gone"

say "4. Ann has thrown away the whole file. Every version is kept:"
show "$holdfast" kv history petclinic/application.yml
say "   The file as it was at index $version, put back unless it has changed again:"
now=$(curl -fsS "$kv/petclinic/application.yml" | sed 's/.*"ModifyIndex": *\([0-9]*\).*/\1/')
echo "\$ curl '$kv/petclinic/application.yml?raw&revision=$version' >application.yml"
curl -fsS "$kv/petclinic/application.yml?raw&revision=$version" >application.yml
show "$holdfast" kv put -cas -modify-index="$now" petclinic/application.yml "@application.yml"
curl -fsS "$kv/petclinic/application.yml?raw" | cmp - config/application.yml || fail "the rollback is not the file of the tree"
echo "   It is the file of the tree again, byte for byte."

say "5. The server is asked to stop."
kill -TERM "$server"
code=0
wait "$server" || code=$?
server=
((code == 0)) || fail "it exited with code $code"
echo "It stopped with exit code 0."
