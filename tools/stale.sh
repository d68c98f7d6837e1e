#!/usr/bin/env bash
# Fails when committed generated code differs from what its source generates.
# The Go code of the protobuf schema is generated into a folder aside and compared,
# so that the check never changes the tree it checks.
set -euo pipefail
cd "$(dirname "$0")/.."

aside=$(mktemp -d)
trap 'rm -rf "$aside"' EXIT

go tool -modfile=tools/go.mod buf generate -o "$aside"

stale=0
while IFS= read -r generated; do
	if ! diff -u --label "$generated (committed)" --label "$generated (generated)" \
		"$generated" "$aside/$generated"; then
		stale=1
	fi
done < <(cd "$aside" && find . -type f -name '*.pb.go' | sed 's|^\./||' | sort)

# A generated file whose source is gone is stale too.
while IFS= read -r committed; do
	if [[ ! -e "$aside/$committed" ]]; then
		echo "$committed: no schema generates it any more"
		stale=1
	fi
done < <(git ls-files -co --exclude-standard -- '*.pb.go')

if ((stale)); then
	echo 'generated code is stale; run "make generate"' >&2
	exit 1
fi
echo "generated code is fresh"
